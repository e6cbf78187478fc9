"""Contrastive losses against the formula, torch, optax and open_clip; in blocks and whole."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mmjax import formulas
from mmjax.losses import (
    MAX_LOGIT_SCALE,
    blockwise_clip_loss,
    clip_loss,
    info_nce,
    normalize,
    similarity_logits,
)

RNG = np.random.default_rng(0)
N, E = 11, 5
SCALE = math.log(7.0)
LOSSES = (info_nce, clip_loss, blockwise_clip_loss)


def unit(*shape):
    x = RNG.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


IMAGES, TEXTS = unit(N, E), unit(N, E)
NEGATIVES = {
    "none": None,
    "random": RNG.random((N, N)) < 0.6,
    "no negative at all": np.zeros((N, N), bool),
    "one row without negatives": np.arange(N)[:, None] * np.ones((1, N)) != 3,
}


def arguments(dtype=np.float64):
    return jnp.asarray(IMAGES, dtype), jnp.asarray(TEXTS, dtype), jnp.asarray(SCALE, dtype)


def as_mask(negatives):
    return None if negatives is None else jnp.asarray(negatives)


def value_and_gradients(loss, *args, **options):
    return jax.jit(jax.value_and_grad(lambda *a: loss(*a, **options), (0, 1, 2)))(*args)


def central_differences(function, arrays, step=1e-6):
    """The gradient of a function of NumPy arrays, one entry after another."""
    gradients = [np.zeros(np.shape(a)) for a in arrays]
    for n, gradient in enumerate(gradients):
        for i in np.ndindex(*gradient.shape):
            values = []
            for sign in (1, -1):
                moved = [np.array(a, np.float64) for a in arrays]
                moved[n][i] += sign * step
                values.append(function(*moved))
            gradient[i] = (values[0] - values[1]) / (2 * step)
    return gradients


def assert_same(actual, expected, tolerance):
    np.testing.assert_allclose(actual[0], expected[0], rtol=tolerance, atol=tolerance)
    for a, e in zip(actual[1], expected[1], strict=True):
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)


# --- the formula -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NEGATIVES)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_is_the_formula(x64, loss, name):
    oracle = formulas.info_nce if loss is info_nce else formulas.clip_loss
    expected = oracle(IMAGES, TEXTS, SCALE, NEGATIVES[name])
    actual = loss(*arguments(), negatives=as_mask(NEGATIVES[name]))
    assert actual.dtype == jnp.float64
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_differences_of_the_formula(x64, loss):
    oracle = formulas.info_nce if loss is info_nce else formulas.clip_loss
    negatives = NEGATIVES["random"]
    small = IMAGES[:7], TEXTS[:7], SCALE
    expected = central_differences(lambda *a: oracle(*a, negatives[:7, :7]), small)
    arrays = [jnp.asarray(a) for a in small]
    _, actual = value_and_gradients(loss, *arrays, negatives=as_mask(negatives[:7, :7]))
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, atol=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_identical_embeddings_start_at_log_n(x64, loss):
    same = jnp.asarray(np.tile(unit(1, E), (N, 1)))
    np.testing.assert_allclose(loss(same, same, jnp.asarray(SCALE)), math.log(N), rtol=1e-13)


def test_both_directions_count_and_they_differ(x64):
    images, texts, scale = arguments()
    there, back = info_nce(images, texts, scale), info_nce(texts, images, scale)
    assert abs(there - back) > 1e-3
    for loss in (clip_loss, blockwise_clip_loss):
        np.testing.assert_allclose(loss(images, texts, scale), (there + back) / 2, rtol=1e-13)
        np.testing.assert_allclose(loss(texts, images, scale), (there + back) / 2, rtol=1e-13)


def test_the_stored_scale_is_a_logarithm_of_the_inverse_temperature(x64):
    images, texts, _ = arguments()
    logits = similarity_logits(images, texts, jnp.asarray(math.log(1 / 0.07)))
    np.testing.assert_allclose(logits, IMAGES @ TEXTS.T / 0.07, rtol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_scale_is_capped_at_100_and_its_gradient_stops_there(x64, loss):
    images, texts, _ = arguments()
    at, above = jnp.asarray(MAX_LOGIT_SCALE), jnp.asarray(9.0)
    np.testing.assert_allclose(loss(images, texts, above), loss(images, texts, at), rtol=1e-13)
    assert jax.grad(lambda s: loss(images, texts, s))(above) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_pairs_that_are_no_negatives_have_no_influence(loss):
    images, texts, scale = arguments(np.float32)
    negatives = jnp.ones((N, N), bool).at[:, 4].set(False).at[4, :].set(False)
    _, (d_images, _, _) = value_and_gradients(loss, images, texts, scale, negatives=negatives)
    np.testing.assert_allclose(d_images[4], np.zeros(E), atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_opposite_pairs_at_the_cap_stay_finite(loss):
    """Logits of ± 100: e^100 is beyond float32, so exp and then log(· + ε) gives inf or log ε."""
    images = jnp.asarray(np.tile(unit(1, E), (4, 1)), jnp.float32)
    texts = images * jnp.asarray([[-1.0], [1.0], [1.0], [1.0]])
    value, gradients = value_and_gradients(loss, images, texts, jnp.float32(MAX_LOGIT_SCALE))
    oracle = formulas.info_nce if loss is info_nce else formulas.clip_loss
    np.testing.assert_allclose(value, oracle(images, texts, MAX_LOGIT_SCALE), rtol=1e-5)
    assert all(np.isfinite(g).all() for g in gradients)


def test_forgotten_normalisation_changes_the_loss(x64):
    images, texts, scale = arguments()
    raw = 3.0 * images, 0.5 * texts
    assert abs(clip_loss(*raw, scale) - clip_loss(images, texts, scale)) > 0.1
    normalised = clip_loss(*(normalize(x) for x in raw), scale)
    np.testing.assert_allclose(normalised, clip_loss(images, texts, scale), rtol=1e-10)


# --- other people's implementations ------------------------------------------------------------


def test_agrees_with_optax(x64):
    images, texts, scale = arguments()
    logits = jnp.exp(scale) * images @ texts.T
    there = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.arange(N)).mean()
    back = optax.softmax_cross_entropy_with_integer_labels(logits.T, jnp.arange(N)).mean()
    np.testing.assert_allclose(info_nce(images, texts, scale), there, rtol=1e-13)
    np.testing.assert_allclose(clip_loss(images, texts, scale), (there + back) / 2, rtol=1e-13)


@pytest.mark.parametrize("loss", [clip_loss, blockwise_clip_loss])
def test_agrees_with_the_formula_of_open_clip_in_torch(x64, loss):
    torch = pytest.importorskip("torch")
    images, texts, scale = tensors = [
        torch.tensor(a, requires_grad=True) for a in (IMAGES, TEXTS, np.float64(SCALE))
    ]
    logits_per_image = scale.exp() * images @ texts.T
    labels = torch.arange(N)
    cross_entropy = torch.nn.functional.cross_entropy
    total = (
        cross_entropy(logits_per_image, labels) + cross_entropy(logits_per_image.T, labels)
    ) / 2
    total.backward()
    expected = total.item(), [t.grad.numpy() for t in tensors]
    assert_same(value_and_gradients(loss, *arguments()), expected, 1e-12)


# --- in blocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [1, 4, 11, 64])
@pytest.mark.parametrize("name", NEGATIVES)
def test_blocks_give_the_number_and_the_gradients_of_the_whole(x64, name, block_size):
    negatives = as_mask(NEGATIVES[name])
    actual = value_and_gradients(
        blockwise_clip_loss, *arguments(), negatives=negatives, block_size=block_size
    )
    assert_same(actual, value_and_gradients(clip_loss, *arguments(), negatives=negatives), 1e-12)


@pytest.mark.parametrize("dtype, tolerance", [(jnp.float32, 1e-6), (jnp.bfloat16, 0.01)])
@pytest.mark.parametrize("loss", LOSSES)
def test_narrow_embeddings_are_summed_in_float32(loss, dtype, tolerance):
    images, texts, scale = (x.astype(dtype) for x in arguments(np.float32))
    value, (d_images, *_) = value_and_gradients(loss, images, texts, scale)
    assert value.dtype == jnp.float32 and d_images.dtype == dtype
    oracle = formulas.info_nce if loss is info_nce else formulas.clip_loss
    wide = [np.asarray(x, np.float64) for x in (images, texts, scale)]
    np.testing.assert_allclose(value, oracle(*wide), rtol=tolerance)


def memory(loss, pairs, **options):
    x, scale = jax.ShapeDtypeStruct((pairs, 8), jnp.float32), jnp.float32(SCALE)
    step = jax.jit(jax.value_and_grad(lambda *a: loss(*a, **options), (0, 1, 2)))
    return step.lower(x, x, scale).compile().memory_analysis().temp_size_in_bytes


def test_memory_of_the_blocks_grows_with_the_batch_and_not_with_its_square():
    short, long = (memory(blockwise_clip_loss, n, block_size=16) for n in (512, 2048))
    assert long < 4.5 * short
    assert long < 2048 * 2048  # a quarter of the matrix of logits
    assert memory(clip_loss, 2048) >= 4 * 2048 * 2048


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("loss", LOSSES)
def test_exports(loss, platform):
    x, scale = jax.ShapeDtypeStruct((N, E), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    step = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
    assert jax.export.export(step, platforms=[platform])(x, x, scale).platforms == (platform,)


# --- normalize and wrong arguments -------------------------------------------------------------


def test_normalize(x64):
    x = RNG.standard_normal((3, E))
    np.testing.assert_allclose(normalize(jnp.asarray(x)), formulas.normalize(x), rtol=1e-11)
    zero = jnp.zeros((2, E))
    assert not normalize(zero).any()
    assert np.isfinite(jax.grad(lambda z: normalize(z).sum())(zero)).all()
    assert normalize(jnp.ones((2, E), jnp.bfloat16)).dtype == jnp.float32


GOOD = {"first": np.ones((3, 2), np.float32), "second": np.ones((3, 2), np.float32)}
WRONG = {
    "empty batch": ({"first": np.ones((0, 2), np.float32)}, ValueError, "first"),
    "rank": ({"first": np.ones((1, 3, 2), np.float32)}, ValueError, "first"),
    "integers": ({"first": np.ones((3, 2), np.int32)}, TypeError, "first"),
    "other batch": ({"second": np.ones((4, 2), np.float32)}, ValueError, "second"),
    "other width": ({"second": np.ones((3, 5), np.float32)}, ValueError, "second"),
    "other dtype": ({"second": np.ones((3, 2), np.float16)}, TypeError, "second"),
    "scale": ({"logit_scale": jnp.zeros(1)}, ValueError, "logit_scale"),
    "mask shape": ({"negatives": jnp.ones((3, 4), bool)}, ValueError, "negatives"),
    "mask dtype": ({"negatives": jnp.ones((3, 3))}, TypeError, "negatives"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("loss", LOSSES)
def test_wrong_arguments_are_named(loss, name):
    changed, error, argument = WRONG[name]
    given = {**GOOD, "logit_scale": jnp.zeros(()), "negatives": None} | changed
    sides = ("queries", "keys") if loss is info_nce else ("image_embeddings", "text_embeddings")
    argument = dict(zip(("first", "second"), sides, strict=True)).get(argument, argument)
    with pytest.raises(error, match=f"{loss.__name__}: argument '{argument}'"):
        loss(
            jnp.asarray(given["first"]),
            jnp.asarray(given["second"]),
            given["logit_scale"],
            negatives=given["negatives"],
        )


def test_block_size_must_be_positive():
    with pytest.raises(ValueError, match="argument 'block_size'"):
        blockwise_clip_loss(*arguments(np.float32), block_size=0)
