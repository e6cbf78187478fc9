"""The convolutional stem: the formula in loops, what a token has seen, a captioner with one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.formulas import convolution as oracle
from mmjax.models.captioner import Captioner, CaptionerConfig
from mmjax.models.convolution_stem import ConvolutionStem

B, H, W, C = 2, 7, 13, 3
CHANNELS = (5, 11)


def build(channels=CHANNELS, seed=0):
    """Every parameter drawn at random, so that no norm or bias hides a mistake."""
    stem = ConvolutionStem(C, channels, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(seed)
    nnx.update(
        stem, jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), nnx.state(stem))
    )
    return stem


def number(parameter):
    return np.asarray(parameter[...], np.float64)


@pytest.mark.equation("5.1.25")
def test_the_tokens_are_the_formula(x64):
    stem, images = build(), np.random.default_rng(1).random((B, H, W, C))
    tokens = jax.jit(stem.__call__)(jnp.asarray(images))
    assert tokens.shape == (B, 2 * 4, 11)
    for b in range(B):
        x = images[b]
        for layer, norm in zip(stem.maps, stem.norms, strict=True):
            kernel = number(layer.kernel).reshape(3, 3, x.shape[2], -1)
            y = oracle.convolution(x, kernel, 2) + number(layer.bias)
            scale, bias = number(norm.scale), number(norm.bias)
            x = np.array([[formulas.layer_norm(v, scale, bias) for v in row] for row in y])
            x = formulas.gelu(x)
        np.testing.assert_allclose(tokens[b], x.reshape(8, 11), atol=1e-10)


@pytest.mark.equation("5.1.26")
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_token_has_seen_a_window_that_overlaps_with_its_neighbours(x64, layers):
    stem = build((4, 5, 6)[:layers])
    side, step = 8 * 2**layers, 2**layers
    image = jnp.asarray(np.random.default_rng(2).random((1, side, side, C)))
    middle = (side // step // 2) * (side // step + 1)  # on the diagonal, far from the border

    seen = jax.grad(lambda image: stem(image)[0, middle].sum())(image)[0]
    rows = np.flatnonzero(np.abs(seen).sum((1, 2)))
    assert len(rows) == rows[-1] - rows[0] + 1 == 2 ** (layers + 1) - 1 > step


def test_a_picture_moved_by_the_distance_of_two_tokens_gives_moved_tokens(x64):
    stem, image = build(), np.zeros((1, 32, 32, C))
    image[0, 12:18, 9:17] = np.random.default_rng(3).random((6, 8, C))
    before = np.asarray(stem(jnp.asarray(image))).reshape(8, 8, -1)
    after = np.asarray(stem(jnp.asarray(np.roll(image, 4, axis=2)))).reshape(8, 8, -1)
    np.testing.assert_allclose(after[1:-1, 2:-1], before[1:-1, 1:-2], atol=1e-12)


def test_a_captioner_with_a_stem_is_one_that_gets_its_tokens():
    sizes = TransformerConfig(layers=1, width=8, heads=2)
    config, stem = CaptionerConfig(11, 8, 13, 7, sizes, sizes), build()
    plain = Captioner(config, rngs=nnx.Rngs(0))
    stemmed = Captioner(config, stem=stem, rngs=nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(4).random((B, H, W, C)), jnp.float32)
    words = jnp.asarray(np.random.default_rng(5).integers(3, 13, (B, 7)), jnp.int32)
    here = jnp.ones((B, 8), bool).at[1].set(False)
    a = stemmed(images, words, image_mask=here)
    np.testing.assert_array_equal(a, plain(stem(images), words, image_mask=here))
    state = stemmed.start(images, 7, image_mask=here)
    for t in range(7):  # and writing with the cache is the whole forward pass
        logits, state = stemmed.step(words[:, t], state)
        np.testing.assert_allclose(logits, a[:, t], atol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="'channels': expected numbers of at least 1"):
        ConvolutionStem(C, (), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="'inputs': expected at least 1, got 0"):
        ConvolutionStem(0, CHANNELS, rngs=nnx.Rngs(0))
    stem = build()
    with pytest.raises(ValueError, match=r"'images': expected \[B, H, W, 3\]"):
        stem(jnp.zeros((B, H, W, 1)))
    with pytest.raises(TypeError, match="'images': expected a floating-point array"):
        stem(jnp.zeros((B, H, W, C), jnp.uint8))
