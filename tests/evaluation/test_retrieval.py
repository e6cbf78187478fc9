"""Ranks: a literal oracle, the tie rule, and what cannot depend on the order of things."""

import numpy as np
import pytest

from mmjax.evaluation import median_rank, rank_of_target, recall_at_k


def literal_rank(scores, target):
    """The target's place in a list where whoever ties with it stands in front of it."""
    place = 1
    for m, score in enumerate(scores):
        if m != target and score >= scores[target]:
            place += 1
    return place


def draw(seed, values=4):
    """Few different values, so that ties are common."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, values, (11, 7)).astype(np.float32), rng.integers(0, 7, 11)


@pytest.mark.parametrize("values", [1, 2, 4, 1000])
def test_rank_is_the_literal_count(values):
    scores, targets = draw(values, values)
    expected = [literal_rank(*pair) for pair in zip(scores.tolist(), targets, strict=True)]
    assert rank_of_target(scores, targets).tolist() == expected


def test_rank_by_hand():
    scores = np.array([[0.5, 0.9, 0.1], [0.5, 0.9, 0.1], [0.5, 0.9, 0.1], [0.9, 0.9, 0.1]])
    assert rank_of_target(scores, np.array([1, 0, 2, 0])).tolist() == [1, 2, 3, 2]
    assert recall_at_k(scores, np.array([1, 0, 2, 0]), 1) == 0.25
    assert recall_at_k(scores, np.array([1, 0, 2, 0]), 2) == 0.75
    assert median_rank(scores, np.array([1, 0, 2, 0])) == 2


def test_a_model_that_cannot_tell_is_last_not_first():
    scores, targets = np.zeros((5, 7)), np.arange(5)
    assert rank_of_target(scores, targets).tolist() == [7] * 5
    assert [recall_at_k(scores, targets, k) for k in (1, 5, 6, 7)] == [0, 0, 0, 1]
    assert median_rank(scores, targets) == 7


def test_recall_never_falls_with_k_and_ends_at_one():
    scores, targets = draw(0)
    recalls = [recall_at_k(scores, targets, k) for k in range(1, 8)]
    assert recalls == sorted(recalls) and recalls[-1] == 1
    ranks = rank_of_target(scores, targets)
    assert recalls == [np.mean(ranks <= k) for k in range(1, 8)]


def test_the_order_of_the_candidates_changes_nothing():
    scores, targets = draw(1)
    order = np.random.default_rng(2).permutation(7)
    moved = np.argsort(order)[targets]
    np.testing.assert_array_equal(
        rank_of_target(scores[:, order], moved), rank_of_target(scores, targets)
    )


def test_infinite_scores_have_a_place():
    scores = np.array([[-np.inf, 0.0, np.inf]])
    ranks = [int(rank_of_target(scores, np.array([target]))[0]) for target in range(3)]
    assert ranks == [3, 2, 1]


GOOD = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("scores", "targets", "error", "message"),
    [
        (np.zeros(3), np.zeros(1, int), ValueError, r"'scores'.*\[N, M\].*float64\[3\]"),
        (np.zeros((0, 3)), np.zeros(0, int), ValueError, "'scores'.*at least 1"),
        (np.zeros((2, 0)), np.zeros(2, int), ValueError, "'scores'.*at least 1"),
        (GOOD, np.zeros(2), TypeError, "'targets'.*whole numbers.*float64"),
        (GOOD, np.zeros(3, int), ValueError, r"'targets'.*\[2\].*int64\[3\]"),
        (GOOD, np.array([0, 3]), ValueError, "'targets'.*from 0 to 2, got 0 to 3"),
        (GOOD, np.array([-1, 0]), ValueError, "'targets'.*from 0 to 2, got -1 to 0"),
        (np.array([[0, np.nan, 1]]), np.zeros(1, int), ValueError, "'scores'.*no NaN"),
    ],
)
def test_errors_name_the_argument(scores, targets, error, message):
    with pytest.raises(error, match=message):
        rank_of_target(scores, targets)


@pytest.mark.parametrize("k", [0, -1])
def test_recall_names_a_wrong_k(k):
    with pytest.raises(ValueError, match=f"'k': expected at least 1, got {k}"):
        recall_at_k(GOOD, np.zeros(2, int), k)
