"""Encoding in batches is encoding at once, and the scores are cosines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.evaluation import encode_in_batches, zero_shot_scores


def draw(n):
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, 5)).astype(np.float32), rng.integers(0, 9, n)


def encode(x, y):
    return jnp.tanh(x * 3) + y.astype(jnp.float32)[:, None]


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 11])
def test_batches_give_what_one_pass_gives(n):
    """4 a batch: a part of one, exactly one, a ragged last one, several full ones."""
    x, y = draw(n)
    parts = encode_in_batches(jax.jit(encode), x, y, batch_size=4)
    assert isinstance(parts, np.ndarray) and parts.shape == (n, 5)
    # Programs for other batch sizes round differently: 1e-7 for numbers near 1.
    whole = encode(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(parts, whole, rtol=1e-6, atol=1e-6)


def test_one_program_serves_a_ragged_last_batch():
    shapes = []
    encode_in_batches(lambda x: shapes.append(x.shape) or jnp.asarray(x), draw(11)[0], batch_size=4)
    assert shapes == [(4, 5)] * 3


def test_encode_names_wrong_arguments():
    with pytest.raises(ValueError, match="'arrays'.*at least one example, got 0"):
        encode_in_batches(encode, *draw(0))
    with pytest.raises(ValueError, match=r"'arrays'.*one length, got \[4, 3\]"):
        encode_in_batches(encode, draw(4)[0], draw(3)[1])
    with pytest.raises(ValueError, match="'arrays'.*at least one array"):
        encode_in_batches(encode)
    with pytest.raises(ValueError, match="'batch_size'.*at least 1, got 0"):
        encode_in_batches(encode, *draw(4), batch_size=0)


def test_scores_are_cosines():
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(3, 5)), rng.normal(size=(7, 5))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    scores = zero_shot_scores(images, texts)
    assert scores.shape == (3, 7)
    for n, image in enumerate(images):
        for k, text in enumerate(texts):
            np.testing.assert_allclose(scores[n, k], sum(image * text), atol=1e-12)
    np.testing.assert_allclose(np.diag(zero_shot_scores(images, images)), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("images", "texts", "message"),
    [
        ((3, 5), (7, 4), r"'text_embeddings'.*\[K, 5\].*float64\[7, 4\]"),
        ((3, 5), (5,), r"'text_embeddings'.*\[K, 5\].*float64\[5\]"),
        ((5,), (7, 5), r"'image_embeddings'.*\[N, E\].*float64\[5\]"),
    ],
)
def test_scores_name_wrong_shapes(images, texts, message):
    with pytest.raises(ValueError, match=message):
        zero_shot_scores(np.zeros(images), np.zeros(texts))
