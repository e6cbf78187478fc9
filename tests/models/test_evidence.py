"""Encoders whose evidence adds, and recommenders from a history: formulas, absence, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig
from mmjax.models.evidence import EvidenceConfig, EvidenceEncoder
from mmjax.models.history import HistoryRecommender, IdentityRecommender

TINY = TransformerConfig(layers=1, width=8, heads=2)
IMAGE, TEXT = ImageEncoderConfig(4, 3, 2, TINY), TextEncoderConfig(11, 5, TINY)


@pytest.fixture(scope="module")
def encoder():
    config = EvidenceConfig(IMAGE, TEXT, tags=(3, 2), hidden=7, embedding=5)
    return EvidenceEncoder(config, rngs=nnx.Rngs(0))


@nnx.jit
def run(model, *arguments):
    return model(*arguments)


def batch(seen, read):
    rng = np.random.default_rng(0)
    images, tokens = rng.random((3, 4, 4, 3), np.float32), rng.integers(0, 11, (3, 5))
    real = np.arange(5) < np.array([[5], [2], [3]])
    return [jnp.asarray(x) for x in (images, tokens, real, np.array(seen), np.array(read))]


def layer(linear, x):
    return x @ np.asarray(linear.kernel[...], np.float64) + np.asarray(linear.bias[...], np.float64)


@pytest.mark.equation("5.4.18")
def test_the_encoder_is_the_formula(encoder):
    seen, read = [True, True, False], [True, False, True]
    images, tokens, real, *there = batch(seen, read)
    f = np.asarray(encoder.image_encoder(images), np.float64)
    g = np.asarray(encoder.text_encoder(tokens, real), np.float64)
    hidden = formulas.gelu(layer(encoder.inner, f * np.c_[seen] + g * np.c_[read]))
    h, tags = run(encoder, images, tokens, real, *there)
    np.testing.assert_allclose(h, formulas.normalize(layer(encoder.outer, hidden)), atol=1e-5)
    logits = layer(encoder.tagger, hidden)
    np.testing.assert_allclose(tags[0], logits[:, :3], atol=1e-5)
    np.testing.assert_allclose(tags[1], logits[:, 3:], atol=1e-5)


def test_what_is_not_there_has_no_influence(encoder):
    images, tokens, real, *there = batch([True, True, False], [True, False, True])
    h, _ = run(encoder, images, tokens, real, *there)
    other = run(encoder, images.at[2].set(9.0), tokens.at[1].set(3), real, *there)[0]
    np.testing.assert_array_equal(h, other)
    assert (run(encoder, images.at[0].set(9.0), tokens, real, *there)[0] != h).any()

    def first(images):
        return encoder(images, tokens, real, *there)[0].sum()

    gradient = np.asarray(jax.jit(jax.grad(first))(images))
    assert not gradient[2].any() and gradient[0].any()


def test_errors_of_the_encoder(encoder):
    images, tokens, real, *there = batch([True] * 3, [True] * 3)
    with pytest.raises(TypeError, match=r"'seen': expected bool \[3\]"):
        encoder(images, tokens, real, jnp.ones(3), there[1])
    with pytest.raises(ValueError, match=r"'read': expected bool \[3\]"):
        encoder(images, tokens, real, there[0], jnp.ones(2, bool))
    wide = TextEncoderConfig(11, 5, TransformerConfig(layers=1, width=12, heads=2))
    with pytest.raises(ValueError, match="'text': expected width 8"):
        EvidenceConfig(IMAGE, wide, tags=(2,))
    for wrong in ({"tags": ()}, {"tags": (0,)}, {"tags": (2,), "hidden": 0}):
        with pytest.raises(ValueError, match=f"'{'hidden' if 'hidden' in wrong else 'tags'}'"):
            EvidenceConfig(IMAGE, TEXT, **wrong)


@pytest.fixture(scope="module")
def recommender():
    return HistoryRecommender(5, width=7, embedding=3, rngs=nnx.Rngs(1))


def draw():
    rng = np.random.default_rng(2)
    return rng.normal(size=(2, 3, 5)).astype(np.float32), rng.normal(size=(11, 5)).astype("f4")


@pytest.mark.equation("5.4.23")
def test_the_score_is_the_formula_and_the_order_no_matter(recommender):
    histories, vectors = draw()
    mean = formulas.gelu(layer(recommender.purchase, histories.astype(np.float64))).mean(1)
    u = layer(recommender.taste[1], formulas.gelu(layer(recommender.taste[0], mean)))
    p = formulas.gelu(layer(recommender.product[0], vectors.astype(np.float64)))
    expected = u @ layer(recommender.product[1], p).T
    scores = run(recommender, histories, vectors)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    moved = run(recommender, histories[:, [2, 0, 1]], vectors)
    np.testing.assert_allclose(scores, moved, atol=1e-6)


def test_identities_are_rows_of_a_table():
    model = IdentityRecommender(11, 5, width=7, rngs=nnx.Rngs(3))
    histories, numbers = jnp.asarray([[0, 4], [10, 4]]), jnp.arange(11)
    table = model.table[...]
    expected = run(model.recommender, table[histories], table)
    np.testing.assert_allclose(run(model, histories, numbers), expected, atol=1e-6)

    def loss(table):
        scores = model.recommender(table[histories], table[jnp.asarray([0, 4])])
        return jax.nn.logsumexp(scores, axis=1).sum()

    gradient = np.asarray(jax.jit(jax.grad(loss))(table))
    assert set(np.flatnonzero(gradient.any(1))) == {0, 4, 10}  # a cold product learns nothing


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.int32])
def test_a_number_that_no_product_has_is_nan_inside_jit(dtype):
    model = IdentityRecommender(131, 5, width=7, rngs=nnx.Rngs(3))
    wrong = 200 if dtype == jnp.uint8 else -1
    histories = jnp.asarray([[0, 4], [wrong, 4], [7, 3]], dtype)
    numbers = jnp.asarray([0, 127, wrong], dtype)
    scores = run(model, histories, numbers)
    unknown = np.zeros((3, 3), bool)
    unknown[1], unknown[:, 2] = True, True
    np.testing.assert_array_equal(np.isnan(scores), unknown)
    for bad in ((histories, numbers[:2]), (histories[::2], numbers)):
        with pytest.raises(
            ValueError, match=f"expected at least 0 and below .* 131, got .*{wrong}"
        ):
            model(*bad)


def test_errors_of_the_recommenders(recommender):
    histories, vectors = (jnp.asarray(x) for x in draw())
    with pytest.raises(ValueError, match="'histories'.*E = 5"):
        recommender(histories[..., :4], vectors)
    with pytest.raises(ValueError, match=r"'vectors'.*\[N, E\]"):
        recommender(histories, vectors[None])
    with pytest.raises(TypeError, match="'vectors'.*floating-point"):
        recommender(histories, vectors.astype(int))
    with pytest.raises(ValueError, match="'width': expected at least 1"):
        HistoryRecommender(5, width=0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="'number': expected at least 1"):
        IdentityRecommender(0, 5, rngs=nnx.Rngs(0))
    model = IdentityRecommender(3, 5, width=7, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match="'histories'.*whole numbers"):
        model(jnp.zeros((2, 2)), jnp.arange(3))
    with pytest.raises(ValueError, match="'histories': expected at least one number"):
        model(jnp.zeros((2, 0), int), jnp.arange(3))
    with pytest.raises(ValueError, match="'numbers': expected at least one number"):
        model(jnp.zeros((2, 1), int), jnp.arange(0))
