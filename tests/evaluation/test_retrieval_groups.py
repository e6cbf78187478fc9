"""Ranks with several right answers: a literal oracle, a slow sort, lots drawn, both tie rules."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.evaluation import (
    chance_recall_at_k,
    rank_in_groups,
    rank_of_target,
    recall_at_k,
    recall_by_lot,
    recall_in_groups,
)


def draw(seed, values=4):
    """Scores with many ties, five groups; every group has a candidate."""
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(5), rng.integers(0, 5, 6)])
    return rng.integers(0, values, (7, 11)).astype(np.float32), rng.integers(0, 5, 7), groups


def slow_rank(scores, right):
    """A sort that puts the wrong ones first among equals, then a walk to the first right one."""
    order = sorted(range(len(scores)), key=lambda m: (-scores[m], right[m]))
    place = 1
    for m in order:
        if right[m]:
            return place
        place += 1
    raise AssertionError("no right candidate")


@pytest.mark.parametrize("values", [1, 2, 4, 1000])
def test_rank_is_the_formula_and_the_slow_sort(values):
    scores, queries, candidates = draw(values, values)
    right = queries[:, None] == candidates[None]
    ranks = rank_in_groups(scores, queries, candidates).tolist()
    assert ranks == [formulas.rank_in_group(*pair) for pair in zip(scores, right, strict=True)]
    assert ranks == [slow_rank(*pair) for pair in zip(scores, right, strict=True)]


def test_bfloat16_scores_are_taken():
    scores, *groups = draw(2)
    narrow = jnp.asarray(scores, jnp.bfloat16)
    np.testing.assert_array_equal(rank_in_groups(narrow, *groups), rank_in_groups(scores, *groups))
    by_lot = [recall_by_lot(x, *groups, 3, tolerance=1e-6) for x in (narrow, scores)]
    assert by_lot[0] == by_lot[1]


def test_rank_by_hand():
    scores = np.array([[0.9, 0.5, 0.5, 0.1]] * 3)
    groups = np.array([0, 1, 2, 1])
    assert rank_in_groups(scores, np.array([0, 1, 2]), groups).tolist() == [1, 3, 3]
    assert recall_in_groups(scores, np.array([0, 1, 2]), groups, 1) == pytest.approx(1 / 3)
    assert recall_in_groups(scores, np.array([0, 1, 2]), groups, 3) == 1


def test_right_answers_do_not_stand_in_each_others_way():
    scores = np.array([[0.9, 0.8, 0.7]])
    assert rank_in_groups(scores, np.array([1]), np.array([1, 1, 1])).tolist() == [1]
    assert rank_in_groups(np.zeros((1, 3)), np.array([1]), np.array([1, 0, 1])).tolist() == [2]


def test_one_right_answer_each_is_the_rank_of_the_target():
    scores, _, _ = draw(3)
    targets = np.array([0, 10, 3, 3, 7, 1, 2])
    ranks = rank_in_groups(scores, targets, np.arange(11))
    np.testing.assert_array_equal(ranks, rank_of_target(scores, targets))
    for k in (1, 5):
        expected = recall_at_k(scores, targets, k)
        assert recall_in_groups(scores, targets, np.arange(11), k) == expected


def test_a_caption_more_never_hurts():
    scores, queries, candidates = draw(4, 1000)
    few = rank_in_groups(scores[:, :8], queries, candidates[:8])
    groups = np.concatenate([candidates[:8], np.repeat(queries[0], 3)])
    more = rank_in_groups(scores, queries, groups)
    mine = queries == queries[0]
    assert (more[mine] <= few[mine]).all() and (more[mine] < few[mine]).any()


@pytest.mark.parametrize("values", [1, 2, 3])
def test_recall_by_lot_is_the_count_of_all_orders(values):
    rng = np.random.default_rng(values)
    scores = rng.integers(0, values, (5, 6)).astype(float)
    queries, candidates = rng.integers(0, 3, 5), np.array([0, 1, 2, 1, 0, 1])
    right = queries[:, None] == candidates[None]
    for k in (1, 2, 3, 6):
        each = [formulas.hit_by_lot(s, r, k) for s, r in zip(scores, right, strict=True)]
        assert recall_by_lot(scores, queries, candidates, k) == pytest.approx(np.mean(each))


def test_the_two_tie_rules_agree_without_ties_and_differ_with_them():
    scores, queries, candidates = draw(5, 10**6)
    against = [recall_in_groups(scores, queries, candidates, k) for k in (1, 2, 5)]
    assert [recall_by_lot(scores, queries, candidates, k) for k in (1, 2, 5)] == against
    same, one = np.zeros((2, 8)), np.arange(2)
    assert recall_in_groups(same, one, np.arange(8), 3) == 0
    assert recall_by_lot(same, one, np.arange(8), 3) == pytest.approx(3 / 8)


def test_what_is_nearly_equal_can_count_as_equal():
    scores = np.array([[1.0, 1.0 + 1e-12, 0.0, -np.inf], [-np.inf, -np.inf, -np.inf, -np.inf]])
    one, all_ = np.array([0, 0]), np.arange(4)
    assert recall_by_lot(scores, one, all_, 1, tolerance=1e-9) == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert recall_by_lot(scores, one, all_, 1) == pytest.approx((0 + 1 / 4) / 2)


@pytest.mark.parametrize(("r", "M", "k"), [(1, 7, 3), (3, 7, 2), (7, 7, 1), (2, 5, 5)])
def test_chance_is_what_a_constant_score_gets_by_lot(r, M, k):
    groups = (np.arange(M) >= r).astype(int)
    by_lot = recall_by_lot(np.zeros((1, M)), np.array([0]), groups, k)
    assert chance_recall_at_k(r, M, k) == pytest.approx(by_lot)
    assert chance_recall_at_k(r, M, k) == pytest.approx(formulas.chance_recall(r, M, k))


GOOD, ONE = np.zeros((2, 3)), np.zeros(2, int)
THREE = np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros(3), ONE, THREE), ValueError, r"'scores'.*\[N, M\].*float64\[3\]"),
        ((GOOD, np.zeros(2), THREE), TypeError, "'query_groups'.*whole numbers.*float64"),
        ((GOOD, ONE, np.zeros(2, int)), ValueError, r"'candidate_groups'.*\[3\].*int64\[2\]"),
        ((GOOD, np.array([0, 5]), THREE), ValueError, r"'candidate_groups'.*every query.*\[1\]"),
        ((np.full((2, 3), np.nan), ONE, THREE), ValueError, "'scores'.*no NaN"),
    ],
)
def test_errors_name_the_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        rank_in_groups(*arguments)
    with pytest.raises(error, match=message):
        recall_by_lot(*arguments, 1)


def test_wrong_numbers_are_named():
    for function in (recall_in_groups, recall_by_lot):
        with pytest.raises(ValueError, match="'k': expected at least 1, got 0"):
            function(GOOD, ONE, THREE, 0)
    with pytest.raises(ValueError, match="'tolerance': expected at least 0, got -1"):
        recall_by_lot(GOOD, ONE, THREE, 1, tolerance=-1)
    with pytest.raises(ValueError, match="'right': expected from 1 to 5, got 6"):
        chance_recall_at_k(6, 5, 1)
    with pytest.raises(ValueError, match="'k': expected at least 1, got 0"):
        chance_recall_at_k(1, 5, 0)
