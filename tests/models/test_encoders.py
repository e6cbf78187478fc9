"""Encoders: a literal Transformer in NumPy, padding without influence, errors that name names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig, masked_mean


def literal_attention(p, x, heads, mask):
    """One sequence [T, M]. A column of ones in x, and the bias is one more row of the kernel."""
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    kernels = []
    for name in ("query", "key", "value"):
        kernel = np.concatenate([p[name]["kernel"], p[name]["bias"][None]])
        kernels.append(np.stack(np.split(kernel, heads, axis=1)))
    out = formulas.multi_head_attention(x, x, *kernels, p["output"]["kernel"], mask)
    return out + p["output"]["bias"]


def literal_transformer(p, x, heads, mask=None):
    for layer in range(len(p["blocks"]["mlp_norm"]["scale"])):
        block = jax.tree.map(lambda stacked, n=layer: stacked[n], p["blocks"])
        x = x + literal_attention(
            block["attention"], formulas.layer_norm(x, **block["attention_norm"]), heads, mask
        )
        y = formulas.layer_norm(x, **block["mlp_norm"])
        y = formulas.gelu(y @ block["mlp"]["expand"]["kernel"] + block["mlp"]["expand"]["bias"])
        x = x + y @ block["mlp"]["contract"]["kernel"] + block["mlp"]["contract"]["bias"]
    return formulas.layer_norm(x, **p["norm"])


def literal_image_encoder(p, image, patch_size, heads):
    """One image [side, side, C]: the patches row by row, each read row by row."""
    side, patches = image.shape[0] // patch_size, []
    for i in range(side):
        for j in range(side):
            rows = slice(i * patch_size, (i + 1) * patch_size)
            columns = slice(j * patch_size, (j + 1) * patch_size)
            patches.append(image[rows, columns].reshape(-1))
    x = np.stack(patches) @ p["patch"]["kernel"] + p["patch"]["bias"] + p["positions"]
    return literal_transformer(p["transformer"], x, heads).mean(axis=0)


def literal_text_encoder(p, tokens, real, heads):
    """One text: only its real tokens exist."""
    x = np.stack([p["embedding"][token] for token in tokens]) + p["positions"][: len(tokens)]
    x = literal_transformer(p["transformer"], x, heads, np.tile(real, (len(tokens), 1)))
    return x[real].mean(axis=0)


def parameters(module):
    return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(module)))


def compiled(module):
    """The module as one program; called eagerly, its loop over the layers would compile anew."""
    graph, state = nnx.split(module)
    run = jax.jit(lambda state, *arguments: nnx.merge(graph, state)(*arguments))
    return lambda *arguments: run(state, *arguments)


def test_image_encoder_is_the_literal_one(wide):
    model, batch = wide
    p = parameters(model.image_encoder)
    images = np.asarray(batch["images"][:3])
    expected = [literal_image_encoder(p, image, 3, 2) for image in images]
    encode = compiled(model.image_encoder)
    np.testing.assert_allclose(encode(batch["images"])[:3], expected, atol=1e-11)


def test_text_encoder_is_the_literal_one(wide):
    model, batch = wide
    tokens, real = np.asarray(batch["tokens"]), np.asarray(batch["real"])
    assert set(real.sum(axis=1)) == {1, 2, 3, 4, 5}
    p = parameters(model.text_encoder)
    expected = [literal_text_encoder(p, *pair, 2) for pair in zip(tokens, real, strict=True)]
    encoded = compiled(model.text_encoder)(batch["tokens"], batch["real"])
    np.testing.assert_allclose(encoded, expected, atol=1e-11)


def test_patches_have_no_order_but_their_positions(wide):
    """Patches that change places together with their positions give the same vector."""
    model, batch = wide
    images = batch["images"]
    swapped = jnp.concatenate([images[:, 3:], images[:, :3]], axis=1)  # upper and lower half
    before = compiled(model.image_encoder)(images)
    assert not np.allclose(compiled(model.image_encoder)(swapped), before)
    graph, state = nnx.split(model.image_encoder)
    moved = state["positions"][...][np.array([2, 3, 0, 1])]
    state["positions"] = state["positions"].replace(moved)
    after = compiled(nnx.merge(graph, state))(swapped)
    np.testing.assert_allclose(after, before, atol=1e-11)


def test_padding_has_no_influence(model, batch):
    """Whatever token stands behind the mask, values and gradients are the same to the last bit."""
    tokens, real = batch["tokens"], batch["real"]
    other = jnp.where(real, tokens, 12 - tokens)
    assert (other != tokens).any()
    graph, state = nnx.split(model.text_encoder)

    def total(state, tokens):
        out = nnx.merge(graph, state)(tokens, real)
        return (out**2).sum(), out

    run = jax.jit(jax.grad(total, has_aux=True))
    (gradient, out), (other_gradient, other_out) = run(state, tokens), run(state, other)
    np.testing.assert_array_equal(out, other_out)
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(other_gradient), strict=True)
    for ours, others in pairs:
        np.testing.assert_array_equal(ours, others)
    assert not np.asarray(gradient["embedding"][...])[0].any(), "token 0 is never real"


def test_a_shorter_array_with_less_padding_gives_the_same(wide):
    encode = compiled(wide[0].text_encoder)
    tokens = jnp.asarray([[3, 1, 4, 0, 0]], jnp.int32)
    padded = encode(tokens, tokens > 0)
    np.testing.assert_allclose(encode(tokens[:, :3], tokens[:, :3] > 0), padded, atol=1e-12)


def test_masked_mean_counts_real_tokens_only():
    x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    real = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    means = masked_mean(jnp.asarray(x), jnp.asarray(real))
    np.testing.assert_allclose(means[0], x[0].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(means[1], (x[1, 0] + x[1, 2]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(means[2], [0, 0])
    gradient = jax.grad(lambda x: masked_mean(x, jnp.asarray(real)).sum())(jnp.asarray(x))
    np.testing.assert_allclose(gradient[:, :, 0], real / np.maximum(real.sum(1, keepdims=True), 1))


def test_masked_mean_of_bfloat16_sums_in_float32():
    """In bfloat16 a running sum of ones stands still at 256."""
    x = jnp.ones((1, 1000, 2), jnp.bfloat16)
    means = masked_mean(x, jnp.ones((1, 1000), bool))
    assert means.dtype == jnp.bfloat16
    np.testing.assert_array_equal(means.astype(jnp.float32), 1)


@pytest.mark.parametrize("shape", [(6, 6, 2), (2, 6, 5, 2), (2, 6, 6, 1), (0, 6, 6, 2)])
def test_image_encoder_names_wrong_images(model, shape):
    with pytest.raises(ValueError, match=r"'images'.*\[B, 6, 6, 2\] with at least one image, got"):
        model.image_encoder(jnp.zeros(shape))


def test_image_encoder_refuses_whole_numbers(model):
    """0 to 255 would saturate everything without a word."""
    with pytest.raises(TypeError, match="'images'.*floating-point.*uint8"):
        model.image_encoder(jnp.zeros((2, 6, 6, 2), jnp.uint8))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"image_size": 6, "patch_size": 4}, "'patch_size'.*divisor of image_size 6, got 4"),
        ({"patch_size": 0}, "'patch_size'.*at least 1, got 0"),
        ({"image_size": 0}, "'image_size'.*at least 1, got 0"),
        ({"channels": 0}, "'channels'.*at least 1, got 0"),
    ],
)
def test_image_config_names_sizes_that_do_not_fit(sizes, message):
    with pytest.raises(ValueError, match=message):
        ImageEncoderConfig(**sizes)


@pytest.mark.parametrize("name", ["vocabulary", "length"])
def test_text_config_names_a_size_that_is_empty(name):
    with pytest.raises(ValueError, match=f"'{name}'.*at least 1, got 0"):
        TextEncoderConfig(**({"vocabulary": 13, "length": 5} | {name: 0}))


TOKENS, REAL = np.zeros((2, 5), np.int32), np.ones((2, 5), bool)


@pytest.mark.parametrize(
    ("tokens", "real", "error", "message"),
    [
        (TOKENS.astype(np.float32), REAL, TypeError, r"'tokens'.*whole numbers.*float32\[2, 5\]"),
        (TOKENS[0], REAL, ValueError, r"'tokens'.*\[B, T\].*int32\[5\]"),
        (np.zeros((2, 6), np.int32), np.ones((2, 6), bool), ValueError, "'tokens'.*1 to 5 tokens"),
        (TOKENS[:0], REAL[:0], ValueError, "'tokens'.*at least one text"),
        (TOKENS, REAL.astype(np.float32), TypeError, "'real'.*bool.*float32"),
        (TOKENS, REAL[:, :4], ValueError, r"'real'.*\[2, 5\].*bool\[2, 4\]"),
        (TOKENS, REAL[:1], ValueError, r"'real'.*\[2, 5\].*bool\[1, 5\]"),
        (TOKENS + 13, REAL, ValueError, "'tokens'.*below the vocabulary 13, got 13 to 13"),
        (TOKENS - 1, REAL, ValueError, "'tokens'.*at least 0 .* got -1 to -1"),
    ],
)
def test_text_encoder_names_wrong_arguments(model, tokens, real, error, message):
    with pytest.raises(error, match=message):
        model.text_encoder(jnp.asarray(tokens), jnp.asarray(real))
