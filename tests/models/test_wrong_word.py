"""The one-block model of sections 3.1 and 3.2: its sequence, its masks, its errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.models.wrong_word import WrongWord, WrongWordConfig

CONFIG = WrongWordConfig(patches=4, patch_width=9, length=6, vocabulary=11, width=8, heads=2)


@pytest.fixture(scope="module")
def model():
    return WrongWord(CONFIG, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def batch():
    patches = jax.random.uniform(jax.random.key(0), (3, 4, 9))
    return patches, jnp.array([[1, 4, 5, 2, 0, 0], [1, 6, 3, 7, 2, 0], [1, 8, 9, 10, 4, 2]])


def test_only_words_can_be_wrong(model, batch):
    logits = model(*batch)
    assert logits.shape == (3, 6)
    np.testing.assert_array_equal(logits > -1e8, batch[1] >= 3)


def test_the_weights_have_blocks_and_no_padding(model, batch):
    weights = model.weights(*batch)
    assert weights.shape == (3, 2, 10, 10)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert (weights[0, :, :, 8:] == 0).all()


def test_without_crossing_words_know_nothing_of_the_picture(model, batch):
    patches, words = batch
    np.testing.assert_array_equal(
        model(patches, words, across=False), model(1 - patches, words, across=False)
    )
    assert jnp.abs(model(patches, words) - model(1 - patches, words)).max() > 1e-4
    weights = model.weights(patches, words, across=False)
    assert (weights[:, :, :4, 4:] == 0).all() and (weights[:, :, 4:, :4] == 0).all()


def test_grouped_keys_and_values(batch):
    config = WrongWordConfig(4, 9, 6, 11, width=8, heads=4, key_value_heads=1)
    model = WrongWord(config, rngs=nnx.Rngs(0))
    assert model.block.attention.key.kernel[...].shape == (8, 2)
    assert model(*batch).shape == (3, 6)


@pytest.mark.parametrize(
    ("patches", "words", "error", "argument"),
    [
        (np.zeros((1, 4, 9), np.uint8), np.ones((1, 6), int), TypeError, "patches"),
        (np.zeros((1, 5, 9), np.float32), np.ones((1, 6), int), ValueError, "patches"),
        (np.zeros((1, 4, 9), np.float32), np.ones((2, 6), int), ValueError, "words"),
    ],
)
def test_wrong_inputs_are_named(model, patches, words, error, argument):
    with pytest.raises(error, match=f"argument '{argument}'"):
        model(patches, words)
