"""Strips of frames as tokens: windows by a loop, filters that slide, and errors."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.models.strip_encoder import StripEncoder, StripEncoderConfig, windows

SIZES = TransformerConfig(layers=1, width=5, heads=1, hidden=7)
CONFIG = StripEncoderConfig(2, 6, 11, 3, SIZES, channels=2, filters=4, scale=3.0)


@pytest.mark.parametrize(("window", "stride", "columns"), [(5, 2, 11), (3, 2, 8), (3, 1, 7)])
def test_windows_are_those_of_a_loop(window, stride, columns):
    x = np.random.default_rng(0).normal(size=(3, columns, 2)).astype(np.float32)
    got, r = windows(jnp.asarray(x), window, stride), window // 2
    assert got.shape == (3, -(-columns // stride), window * 2)
    for j in range(got.shape[1]):
        for k in range(window):
            at = stride * j + k - r
            part = got[:, j, 2 * k : 2 * k + 2]
            np.testing.assert_array_equal(part, x[:, at] if 0 <= at < columns else 0)


def test_a_token_reads_one_strip_of_one_frame():
    """Before the Transformer mixes them: without its blocks, changing a strip changes a token."""
    model = StripEncoder(CONFIG, rngs=nnx.Rngs(0))
    model.transformer = lambda x: x
    video = np.random.default_rng(1).random((1, 2, 6, 11, 2), np.float32)
    changed = video.copy()
    changed[0, 1, 2:4] += 1  # strip 1 of frame 1
    different = np.abs(model(jnp.asarray(video)) - model(jnp.asarray(changed))).max((0, 2)) > 1e-4
    np.testing.assert_array_equal(different, [False, False, False, False, True, False])


def test_the_scale_multiplies_the_pixels():
    one = StripEncoder(StripEncoderConfig(2, 6, 11, 3, SIZES, channels=2), rngs=nnx.Rngs(0))
    scaled = StripEncoder(
        StripEncoderConfig(2, 6, 11, 3, SIZES, channels=2, scale=3.0), rngs=nnx.Rngs(0)
    )
    video = jnp.asarray(np.random.default_rng(2).random((1, 2, 6, 11, 2)), jnp.float32)
    np.testing.assert_allclose(one(3 * video), scaled(video), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: StripEncoderConfig(2, 7, 11, 3, SIZES), ValueError, "'strips'"),
        (lambda: StripEncoderConfig(2, 6, 11, 3, SIZES, filters=0), ValueError, "'filters'"),
        (lambda: windows(jnp.zeros((1, 5, 2)), 4, 1), ValueError, "'window'"),
        (lambda: windows(jnp.zeros((1, 5, 2)), 3, 0), ValueError, "'stride'"),
        (
            lambda: StripEncoder(CONFIG, rngs=nnx.Rngs(0))(jnp.zeros((1, 2, 6, 10, 2))),
            ValueError,
            "'videos'",
        ),
        (
            lambda: StripEncoder(CONFIG, rngs=nnx.Rngs(0))(jnp.zeros((1, 2, 6, 11, 2), int)),
            TypeError,
            "'videos'",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
