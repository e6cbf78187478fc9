"""Templates are filled in a known order; an ensemble is the direction of a mean of directions."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.evaluation import ensemble_templates, fill_templates, zero_shot_scores


def draw(dtype=np.float64):
    """R, K, E = 3, 5, 7, with vectors of very different lengths."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(3, 5, 7)) * rng.uniform(0.1, 50, (3, 5, 1))).astype(dtype)


def test_every_name_stands_in_every_template():
    texts = fill_templates(["a {}.", "{}, drawn"], ["cat", "dog", "{}"])
    assert texts == ["a cat.", "a dog.", "a {}.", "cat, drawn", "dog, drawn", "{}, drawn"]
    assert fill_templates(iter(["{}"]), iter(["x"])) == ["x"]


def test_texts_become_the_axes_of_the_ensemble():
    texts = fill_templates(["{}!", "a {}"], ["x", "yy", "zzz"])
    lengths = np.array([len(text) for text in texts], np.float32).reshape(2, 3)
    assert lengths.tolist() == [[2, 3, 4], [3, 4, 5]]


def test_ensemble_is_the_literal_formula():
    got = ensemble_templates(draw())
    np.testing.assert_allclose(got, formulas.ensemble_templates(draw()), atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-15)


def test_by_hand():
    w = [[[3.0, 0.0]], [[0.0, 0.5]]]  # lengths do not count: halfway between the axes
    np.testing.assert_allclose(ensemble_templates(np.array(w)), [[0.5**0.5] * 2], rtol=1e-15)


def test_the_order_and_the_lengths_do_not_count_and_one_template_is_its_direction():
    w = draw()
    expected = ensemble_templates(w)
    scale = np.random.default_rng(1).uniform(0.1, 9, (3, 5, 1))
    np.testing.assert_allclose(ensemble_templates(w[[2, 0, 1]] * scale), expected, atol=1e-14)
    unit = w[0] / np.linalg.norm(w[0], axis=1, keepdims=True)
    np.testing.assert_allclose(ensemble_templates(w[:1]), unit, atol=1e-15)


def test_scores_are_mean_cosines_divided_by_the_length_of_the_mean():
    w = draw()
    unit = w / np.linalg.norm(w, axis=2, keepdims=True)
    images = np.random.default_rng(2).normal(size=(4, 7))
    cosines = np.einsum("ne,rke->rnk", images, unit).mean(0)
    shared = np.sqrt(np.einsum("rke,ske->k", unit, unit)) / 3
    np.testing.assert_allclose(
        zero_shot_scores(images, ensemble_templates(w)), cosines / shared, atol=1e-13
    )


@pytest.mark.parametrize(("given", "back"), [("float16", "float32"), ("float32", "float32")])
def test_at_least_float32(given, back):
    got = ensemble_templates(draw(given))
    assert got.dtype == back
    np.testing.assert_allclose(got, ensemble_templates(draw()), atol=2e-3)


def test_bfloat16_of_jax_is_taken():
    assert ensemble_templates(jnp.ones((2, 3, 5), jnp.bfloat16)).dtype == np.float32


@pytest.mark.parametrize(
    ("templates", "names", "error", "message"),
    [
        ("a {}", ["x"], TypeError, "'templates'.*list of strings"),
        (["a {}"], "x", TypeError, "'names'.*list of strings"),
        (["a {}"], [1], TypeError, "'names'.*list of strings"),
        ([], ["x"], ValueError, "'templates'.*at least one"),
        (["a {}"], [], ValueError, "'names'.*at least one"),
        (["a"], ["x"], ValueError, "'templates'.*one '{}', got 'a'"),
        (["{} and {}"], ["x"], ValueError, "'templates'.*one '{}'"),
    ],
)
def test_wrong_templates_are_named(templates, names, error, message):
    with pytest.raises(error, match=message):
        fill_templates(templates, names)


@pytest.mark.parametrize(
    ("embeddings", "error", "message"),
    [
        (np.ones((2, 3, 5), int), TypeError, r"floating-point.*int64\[2, 3, 5\]"),
        (np.ones((2, 3, 5), complex), TypeError, "floating-point"),
        (np.ones((2, 3)), ValueError, r"\[R, K, E\].*float64\[2, 3\]"),
        (np.ones((0, 3, 5)), ValueError, r"\[R, K, E\]"),
        (np.full((2, 3, 5), np.nan), ValueError, "finite"),
        (np.zeros((2, 3, 5)), ValueError, r"zero vector at \[template, name\] = \[0, 0\]"),
        (np.array([[[1.0, 0]], [[-1.0, 0]]]), ValueError, "vectors of name 0 that cancel"),
    ],
)
def test_wrong_embeddings_are_named(embeddings, error, message):
    with pytest.raises(error, match=message):
        ensemble_templates(embeddings)
