"""The sigmoid loss and label smoothing, against the formula and against torch."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.losses import clip_loss, info_nce, normalize, sigmoid_loss

N, E = 7, 5
RNG = np.random.default_rng(0)


def pairs(dtype=np.float64, number=N):
    u, v = (RNG.standard_normal((number, E)) for _ in range(2))
    return [jnp.asarray(formulas.normalize(x), dtype) for x in (u, v)]


def negatives():
    mask = RNG.random((N, N)) < 0.7
    mask[2] = False  # a picture without any negative
    return mask


SCALE, BIAS = math.log(7.0), -1.3


@pytest.mark.parametrize("block_size", [1, 3, 256])
@pytest.mark.parametrize("masked", [False, True])
def test_sigmoid_loss_is_the_formula(x64, masked, block_size):
    u, v = pairs()
    mask = negatives() if masked else None
    jax_mask = None if mask is None else jnp.asarray(mask)
    ours = sigmoid_loss(u, v, SCALE, BIAS, negatives=jax_mask, block_size=block_size)
    theirs = formulas.sigmoid_loss(np.asarray(u), np.asarray(v), SCALE, BIAS, mask)
    assert float(ours) == pytest.approx(theirs, rel=1e-13)


@pytest.mark.parametrize("masked", [False, True])
def test_its_gradients_are_finite_differences_of_the_formula(x64, masked):
    u, v = pairs()
    mask = negatives() if masked else None
    jax_mask = None if mask is None else jnp.asarray(mask)

    def loss(*arguments):
        return sigmoid_loss(*arguments, negatives=jax_mask, block_size=3)

    arguments = [u, v, jnp.asarray(SCALE), jnp.asarray(BIAS)]
    gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*arguments)
    for i, gradient in enumerate(gradients):
        direction = RNG.standard_normal(gradient.shape)
        shifted = []
        for h in (1e-5, -1e-5):
            moved = [np.asarray(a) for a in arguments]
            moved[i] = moved[i] + h * direction
            shifted.append(formulas.sigmoid_loss(*moved, mask))
        expected = (shifted[0] - shifted[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_agrees_with_the_formula_of_open_clip_and_transformers_in_torch():
    torch = pytest.importorskip("torch")
    u, v = pairs(np.float32)
    images, texts = tensors = [torch.tensor(np.asarray(x), requires_grad=True) for x in (u, v)]
    logits = math.exp(SCALE) * images @ texts.T + BIAS
    signs = 2 * torch.eye(N) - 1
    theirs = -torch.nn.functional.logsigmoid(signs * logits).sum(dim=-1).mean()
    theirs.backward()
    ours, gradients = jax.value_and_grad(
        lambda u, v: sigmoid_loss(u, v, SCALE, BIAS, block_size=2), argnums=(0, 1)
    )(u, v)
    assert float(ours) == pytest.approx(theirs.item(), rel=1e-5)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), atol=2e-6)


def test_memory_is_a_block_and_not_the_matrix():
    array, number = jax.ShapeDtypeStruct((2048, 8), jnp.float32), jnp.zeros(())

    def gradient(u, v, s, b):
        return jax.grad(lambda *a: sigmoid_loss(*a, block_size=64), (0, 1, 2, 3))(u, v, s, b)

    memory = jax.jit(gradient).lower(array, array, number, number).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 2048 * 2048


def test_extreme_logits_stay_finite():
    u = normalize(jnp.eye(4, 5))
    loss, gradient = jax.value_and_grad(lambda s: sigmoid_loss(u, -u, s, 0.0))(jnp.asarray(6.0))
    assert jnp.isfinite(loss) and jnp.isfinite(gradient)
    # Diagonal: softplus of e^6; the twelve others have logit 0, which is ln 2 each.
    assert float(loss) == pytest.approx(math.exp(6) + 3 * math.log(2), rel=1e-6)


def test_bfloat16_is_close_and_accumulates_wide():
    u, v = pairs(np.float32)
    narrow = sigmoid_loss(u.astype(jnp.bfloat16), v.astype(jnp.bfloat16), SCALE, BIAS)
    assert narrow.dtype == jnp.float32
    assert float(narrow) == pytest.approx(float(sigmoid_loss(u, v, SCALE, BIAS)), rel=0.02)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_exports(platform):
    array, number = jax.ShapeDtypeStruct((6, 5), jnp.float32), jnp.zeros(())
    gradient = jax.jit(jax.grad(lambda *a: sigmoid_loss(*a, block_size=4), (0, 1, 2, 3)))
    exported = jax.export.export(gradient, platforms=[platform])(array, array, number, number)
    assert exported.platforms == (platform,)


@pytest.mark.parametrize("masked", [False, True])
def test_smoothed_info_nce_is_the_formula(x64, masked):
    u, v = pairs()
    mask = negatives() if masked else None
    jax_mask = None if mask is None else jnp.asarray(mask)
    options = {"negatives": jax_mask, "label_smoothing": 0.1}
    numbers = np.asarray(u), np.asarray(v)
    there = formulas.smoothed_info_nce(*numbers, SCALE, 0.1, mask)
    back = formulas.smoothed_info_nce(*numbers[::-1], SCALE, 0.1, None if mask is None else mask.T)
    assert float(info_nce(u, v, SCALE, **options)) == pytest.approx(there, rel=1e-13)
    assert float(clip_loss(u, v, SCALE, **options)) == pytest.approx((there + back) / 2, rel=1e-13)
    plain = formulas.info_nce(*numbers, SCALE, mask)
    assert formulas.smoothed_info_nce(*numbers, SCALE, 0.0, mask) == pytest.approx(plain, rel=1e-13)
    gradient = jax.grad(lambda u: clip_loss(u, v, SCALE, **options))(u)
    assert jnp.isfinite(gradient).all()


def test_torch_smooths_the_same_way():
    torch = pytest.importorskip("torch")
    u, v = pairs(np.float32)
    logits = math.exp(SCALE) * torch.tensor(np.asarray(u)) @ torch.tensor(np.asarray(v)).T
    theirs = torch.nn.functional.cross_entropy(logits, torch.arange(N), label_smoothing=0.2)
    ours = info_nce(u, v, SCALE, label_smoothing=0.2)
    assert float(ours) == pytest.approx(theirs.item(), rel=1e-5)


WRONG = {
    "logit_bias": lambda u, v: sigmoid_loss(u, v, SCALE, jnp.zeros(3)),
    "logit_scale": lambda u, v: sigmoid_loss(u, v, jnp.zeros(3), BIAS),
    "text_embeddings": lambda u, v: sigmoid_loss(u, v[1:], SCALE, BIAS),
    "block_size": lambda u, v: sigmoid_loss(u, v, SCALE, BIAS, block_size=0),
    "label_smoothing": lambda u, v: clip_loss(u, v, SCALE, label_smoothing=1.0),
}


@pytest.mark.parametrize("argument", WRONG)
def test_wrong_arguments_are_named(argument):
    with pytest.raises(ValueError, match=f"argument '{argument}'"):
        WRONG[argument](*pairs(np.float32))
