"""Batches with one example from each group."""

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


def test_the_seed_fixes_the_order():
    first, again, other = (np.array(take(5, batch_size=3, seed=s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("size", [0, 12])
def test_a_batch_has_no_more_examples_than_there_are_groups(size):
    message = f"'batch_size'.*between 1 and the number of groups 11, got {size}"
    with pytest.raises(ValueError, match=message):
        one_of_each(GROUPS, size, seed=0)


@pytest.mark.parametrize("groups", [GROUPS / 1.0, GROUPS[:, None]])
def test_groups_are_whole_numbers(groups):
    with pytest.raises(TypeError, match="'groups'.*whole numbers"):
        one_of_each(groups, 2, seed=0)
