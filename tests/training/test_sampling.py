"""Batches of one example from each group, and neighbours that stay together."""

import itertools

import numpy as np
import pytest

from mmjax.training import one_of_each

SIZES = (1, 7, 2, 1, 5, 3, 1, 1, 2, 1, 4)  # of eleven groups, numbered 0, 10, 20, …
GROUPS = np.random.default_rng(0).permutation(np.repeat(10 * np.arange(11), SIZES))


def take(count, **options):
    return list(itertools.islice(one_of_each(GROUPS, **options), count))


def test_an_epoch_visits_each_group_once():
    rows = np.array(take(30, batch_size=3, seed=0)).reshape(10, 9)  # ten epochs of three batches
    for groups in GROUPS[rows]:
        assert len(groups) == len(set(groups.tolist())) == 9


def test_every_example_of_a_group_gets_its_turn_and_every_group_counts_alike():
    rows = np.concatenate(take(2000, batch_size=11, seed=0))
    assert (np.bincount(GROUPS[rows], minlength=101)[::10] == 2000).all()
    shown = np.bincount(rows, minlength=len(GROUPS))
    for group, size in zip(10 * np.arange(11), SIZES, strict=True):
        share = shown[group == GROUPS] / 2000
        np.testing.assert_allclose(share, 1 / size, atol=5 * np.sqrt(0.25 / 2000))


def test_neighbours_come_together_and_no_pair_is_always_torn_apart():
    together = set()
    for rows in take(400, batch_size=4, seed=0, run=2):
        runs = (GROUPS[rows] // 10).reshape(2, 2)
        assert ((runs[:, 0] + 1) % 11 == runs[:, 1]).all()
        together |= set(runs[:, 0].tolist())
    assert together == set(range(11))


def test_without_runs_neighbours_meet_by_chance_only():
    pairs = (GROUPS[np.array(take(400, batch_size=2, seed=0))] // 10).tolist()
    share = np.mean([(a + 1) % 11 == b for a, b in pairs])
    assert share == pytest.approx(1 / 10, abs=0.06)


def test_the_seed_fixes_the_order():
    first, again, other = (np.array(take(5, batch_size=3, seed=s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        (GROUPS, {"batch_size": 0}, "'batch_size'.*between 1 and the number of groups 11, got 0"),
        (GROUPS, {"batch_size": 12}, "'batch_size'.*groups 11, got 12"),
        (GROUPS, {"batch_size": 9, "run": 2}, "'run'.*a divisor of batch_size = 9, got 2"),
        (GROUPS, {"batch_size": 9, "run": 0}, "'run'.*got 0"),
    ],
)
def test_wrong_arguments_are_named_at_once(groups, options, message):
    with pytest.raises(ValueError, match=message):
        one_of_each(groups, seed=0, **options)


@pytest.mark.parametrize("groups", [GROUPS / 1.0, GROUPS[:, None]])
def test_groups_are_whole_numbers(groups):
    with pytest.raises(TypeError, match="'groups'.*whole numbers"):
        one_of_each(groups, 2, seed=0)
