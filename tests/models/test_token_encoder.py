"""The small encoder: a literal one in NumPy, padding without influence, empty rows, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.models.token_encoder import (
    TextTokenEncoder,
    TextTokenEncoderConfig,
    TokenEncoder,
    TokenEncoderConfig,
)
from tests.models.test_encoders import compiled, literal_transformer, parameters

B, T, FEATURES, E, V = 3, 5, 7, 4, 11
SIZES = TransformerConfig(layers=2, width=6, heads=2, hidden=13)
CONFIG = TokenEncoderConfig(FEATURES, T, SIZES, E)
TEXT = TextTokenEncoderConfig(V, T, SIZES, E)
RNG = np.random.default_rng(0)
MASK = jnp.asarray([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)


def make(kind=TokenEncoder, dtype=np.float32):
    """An encoder with parameters drawn at random, biases and scales too."""
    config = CONFIG if kind is TokenEncoder else TEXT
    graph, state = nnx.split(kind(config, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(1)
    draw = lambda p: jnp.asarray(0.4 * rng.normal(size=p.shape), dtype)  # noqa: E731
    return nnx.merge(graph, jax.tree.map(draw, state))


def inputs(kind, dtype=np.float32):
    if kind is TokenEncoder:
        return jnp.asarray(RNG.normal(size=(B, T, FEATURES)), dtype)
    return jnp.asarray(RNG.integers(0, V, (B, T)), jnp.int32)


KINDS = pytest.mark.parametrize("kind", [TokenEncoder, TextTokenEncoder])


@KINDS
def test_is_the_literal_one(x64, kind):
    model, tokens = make(kind, np.float64), inputs(kind, np.float64)
    p = parameters(model)
    expected = []
    for row, real in zip(np.asarray(tokens), np.asarray(MASK), strict=True):
        if kind is TokenEncoder:
            x = row @ p["input"]["linear"]["kernel"] + p["input"]["linear"]["bias"]
        else:
            x = p["input"]["embedding"][row]
        x = (x + p["input"]["positions"])[real]
        if real.any():  # padding simply does not exist
            x = literal_transformer(p["transformer"], x, SIZES.heads)
            expected.append(x.mean(axis=0) @ p["projection"]["kernel"])
        else:
            expected.append(np.zeros(E))
    np.testing.assert_allclose(compiled(model)(tokens, MASK), expected, atol=1e-12)


@KINDS
def test_no_mask_means_that_all_tokens_are_real(kind):
    model, tokens = make(kind), inputs(kind)
    encode = compiled(model)
    every = jnp.ones((B, T), bool)
    np.testing.assert_allclose(encode(tokens), encode(tokens, every), atol=1e-6)


@KINDS
def test_padding_has_no_influence_on_values_and_gradients(kind):
    """Not even NaN behind the mask gets through."""
    graph, state = nnx.split(make(kind))
    tokens = inputs(kind)
    if kind is TokenEncoder:
        other = jnp.where(MASK[:, :, None], tokens, jnp.nan)
    else:
        other = jnp.where(MASK, tokens, V - 1 - tokens)

    def total(state, tokens):
        out = nnx.merge(graph, state)(tokens, MASK)
        return (out**2).sum(), out

    run = jax.jit(jax.grad(total, has_aux=True))
    (gradient, out), (other_gradient, other_out) = run(state, tokens), run(state, other)
    assert np.isfinite(out).all() and not out[2].any()
    np.testing.assert_array_equal(out, other_out)
    jax.tree.map(np.testing.assert_array_equal, gradient, other_gradient)


def test_a_row_without_tokens_sends_back_no_gradient():
    model, tokens = make(), inputs(TokenEncoder)
    gradient = jax.grad(lambda t: (compiled(model)(t, MASK) ** 2).sum())(tokens)
    assert np.isfinite(gradient).all()
    nothing = np.abs(gradient).sum(axis=2) == 0
    np.testing.assert_array_equal(nothing, ~np.asarray(MASK))


@KINDS
def test_shorter_arrays_are_allowed(kind):
    model, tokens = make(kind), inputs(kind)
    mask = jnp.arange(T)[None, :] < jnp.asarray([[3]] * B)
    short = compiled(model)(tokens[:, :3])
    np.testing.assert_allclose(short, compiled(model)(tokens, mask), atol=1e-6)


def test_tokens_before_pooling():
    model, tokens = make(), inputs(TokenEncoder)
    assert model.tokens(tokens, MASK).shape == (B, T, SIZES.width)


@KINDS
@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_exports(kind, platform):
    graph, state = nnx.split(make(kind))

    def loss(state, tokens, mask):
        return nnx.merge(graph, state)(tokens, mask).sum()

    step = jax.jit(jax.value_and_grad(loss))
    exported = jax.export.export(step, platforms=[platform])(state, inputs(kind), MASK)
    assert exported.platforms == (platform,)


GOOD = np.zeros((B, T, FEATURES), np.float32)
WRONG = {
    "other features": (GOOD[:, :, :3], None, ValueError, r"'tokens'.*\[B, T, 7\]"),
    "too long": (np.zeros((B, 6, FEATURES), np.float32), None, ValueError, "'tokens'.*1 to 5"),
    "no tokens": (GOOD[:, :0], None, ValueError, "'tokens'"),
    "empty batch": (GOOD[:0], None, ValueError, "'tokens'"),
    "whole numbers": (GOOD.astype(np.int32), None, TypeError, "'tokens'.*floating-point"),
    "mask shape": (GOOD, np.ones((B, 4), bool), ValueError, r"'mask'.*bool \[3, 5\]"),
    "mask dtype": (GOOD, np.ones((B, T), np.float32), TypeError, "'mask'.*True = a real token"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    tokens, mask, error, message = WRONG[name]
    mask = None if mask is None else jnp.asarray(mask)
    with pytest.raises(error, match=message):
        make()(jnp.asarray(tokens), mask)


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        (np.full((B, T), V), ValueError, "'tokens'.*below the vocabulary 11.*11 to 11"),
        (np.full((B, T), -1), ValueError, "'tokens'.*at least 0"),
        (np.zeros((B, T), np.float32), TypeError, "'tokens'.*whole numbers"),
        (np.zeros((B, T, 1), int), ValueError, r"'tokens'.*\[B, T\]"),
    ],
)
def test_wrong_texts_are_named(tokens, error, message):
    tokens = jnp.asarray(tokens, jnp.float32 if tokens.dtype == np.float32 else jnp.int32)
    with pytest.raises(error, match=message):
        make(TextTokenEncoder)(tokens)


@pytest.mark.parametrize("name", ["features", "length", "embedding"])
def test_configs_name_an_empty_size(name):
    sizes = {"features": 2, "length": 3, "transformer": SIZES, "embedding": 4} | {name: 0}
    with pytest.raises(ValueError, match=f"'{name}'.*at least 1, got 0"):
        TokenEncoderConfig(**sizes)


def test_text_config_names_an_empty_vocabulary():
    with pytest.raises(ValueError, match="'vocabulary'.*at least 1, got 0"):
        TextTokenEncoderConfig(0, 3, SIZES, 4)
