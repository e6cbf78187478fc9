"""DCG, NDCG and recall with several right answers: formulas, ties, a peer, wrong arguments."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.evaluation import dcg_at_k, ndcg_at_k, relevant_recall_at_k


def draw(seed, values=1000, shape=(5, 7)):
    """Few different scores make ties; many make none."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, values, shape).astype(np.float64), rng.integers(0, 4, shape) * 1.0


@pytest.mark.equation("5.4.7")
def test_dcg_and_ndcg_are_the_formulas():
    scores, gains = draw(0)
    for k in (1, 3, 7):
        for n in range(5):
            listed = gains[n][np.argsort(-scores[n])]
            assert dcg_at_k(scores, gains, k)[n] == pytest.approx(formulas.dcg(listed, k))
            assert ndcg_at_k(scores, gains, k)[n] == pytest.approx(formulas.ndcg(listed, k))


def test_dcg_by_hand():
    """3/log₂2 + 1/log₂3 + 0 + 7/log₂5; the best order is 7, 3, 1."""
    scores, gains = np.array([[4.0, 3, 2, 1]]), np.array([[3.0, 1, 0, 7]])
    found = 3 + 1 / np.log2(3) + 7 / np.log2(5)
    np.testing.assert_allclose(dcg_at_k(scores, gains, 4), [found])
    best = 7 + 3 / np.log2(3) + 1 / 2
    np.testing.assert_allclose(ndcg_at_k(scores, gains, 4), [found / best])
    np.testing.assert_allclose(dcg_at_k(scores, gains, 2), [3 + 1 / np.log2(3)])


@pytest.mark.equation("5.4.8")
@pytest.mark.parametrize("values", [1, 2, 3])
def test_ties_are_the_mean_over_all_orders(values):
    scores, gains = draw(values, values, (3, 5))
    for k in (1, 2, 4):
        expected = [formulas.expected_dcg(s, g, k) for s, g in zip(scores, gains, strict=True)]
        np.testing.assert_allclose(dcg_at_k(scores, gains, k), expected, rtol=1e-12)


@pytest.mark.equation("5.4.9")
def test_recall_is_the_share_found():
    scores, _ = draw(4)
    relevant = np.random.default_rng(5).random((5, 7)) < 0.5
    relevant[:, 0] = True
    for k in (1, 3, 7):
        first = [set(np.argsort(-row)[:k]) for row in scores]
        right = [set(np.flatnonzero(row)) for row in relevant]
        expected = [len(f & r) / len(r) for f, r in zip(first, right, strict=True)]
        np.testing.assert_allclose(relevant_recall_at_k(scores, relevant, k), expected)
    equal = np.zeros((5, 7))  # a model that cannot tell finds k of 7, whatever is relevant
    np.testing.assert_allclose(relevant_recall_at_k(equal, relevant, 3), 3 / 7)


def test_the_order_of_the_candidates_changes_nothing():
    scores, gains = draw(6, 3)
    order = np.random.default_rng(7).permutation(7)
    moved = dcg_at_k(scores[:, order], gains[:, order], 4)
    np.testing.assert_allclose(moved, dcg_at_k(scores, gains, 4))


def test_bfloat16_scores_are_taken():
    scores, gains = draw(8, 11)  # whole numbers up to 10 are exact
    narrow = jnp.asarray(scores, jnp.bfloat16)
    for metric, right in ((ndcg_at_k, gains), (relevant_recall_at_k, gains > 0)):
        np.testing.assert_array_equal(metric(narrow, right, 3), metric(scores, right, 3))


def test_nothing_to_find_is_nan_and_no_warning():
    scores = np.array([[2.0, 1.0], [1.0, 2.0]])
    gains = np.array([[0, 0], [0, 1]])
    np.testing.assert_array_equal(ndcg_at_k(scores, gains, 2), [np.nan, 1])
    np.testing.assert_array_equal(relevant_recall_at_k(scores, gains > 0, 1), [np.nan, 1])


@pytest.mark.parametrize("values", [2, 4, 1000])
def test_scikit_learn_agrees(values):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, gains = draw(values, values, (7, 11))
    gains[:, 0] = 3
    for k in (1, 5, 11):
        found = ndcg_at_k(scores, gains, k)
        each = [
            metrics.ndcg_score(g[None], s[None], k=k) for g, s in zip(gains, scores, strict=True)
        ]
        np.testing.assert_allclose(found, each, rtol=1e-12)
        found = dcg_at_k(scores, gains, k).mean()
        np.testing.assert_allclose(found, metrics.dcg_score(gains, scores, k=k), rtol=1e-12)


GOOD = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("scores", "gains", "k", "error", "name"),
    [
        (np.zeros(3), GOOD, 1, ValueError, "scores"),
        (np.zeros((0, 3)), np.zeros((0, 3)), 1, ValueError, "scores"),
        (np.zeros((2, 3), int), GOOD, 1, TypeError, "scores"),
        (np.full((2, 3), np.nan), GOOD, 1, ValueError, "scores"),
        (GOOD, np.zeros((3, 2)), 1, ValueError, "gains"),
        (GOOD, GOOD - 1, 1, ValueError, "gains"),
        (GOOD, GOOD + np.inf, 1, ValueError, "gains"),
        (GOOD, GOOD, 0, ValueError, "k"),
        (GOOD, GOOD, 4, ValueError, "k"),
    ],
)
def test_errors_name_the_argument(scores, gains, k, error, name):
    with pytest.raises(error, match=f"dcg_at_k: argument '{name}'"):
        dcg_at_k(scores, gains, k)


def test_relevance_is_true_or_false():
    with pytest.raises(TypeError, match="relevant_recall_at_k: argument 'relevant'.*bool"):
        relevant_recall_at_k(GOOD, GOOD, 1)
    with pytest.raises(ValueError, match="relevant_recall_at_k: argument 'relevant'"):
        relevant_recall_at_k(GOOD, np.zeros((3, 2), bool), 1)
