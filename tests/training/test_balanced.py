"""Balanced batches: reproducible, every member reachable, and clear errors."""

import itertools

import numpy as np
import pytest

from mmjax.training.balanced import balanced_batches, group_weights

GROUPS = np.array([4, 4, 4, 4, 4, 1, 1])


def test_the_seed_fixes_the_order_and_every_example_comes():
    first, again, other = (
        np.array(list(itertools.islice(balanced_batches(GROUPS, 3, seed=s), 50))) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other) and set(first.ravel()) == set(range(7))
    assert first.shape == (50, 3)


def test_weights_are_even_over_groups():
    weights = group_weights(GROUPS)
    np.testing.assert_allclose(weights, [0.7] * 5 + [1.75] * 2)
    np.testing.assert_allclose(weights.mean(), 1)


@pytest.mark.parametrize(
    ("groups", "size", "error", "message"),
    [
        (GROUPS * 1.0, 2, TypeError, "'groups': expected whole numbers"),
        (GROUPS[:0], 2, TypeError, "'groups': expected whole numbers"),
        (GROUPS, 0, ValueError, "'batch_size': expected at least 1, got 0"),
    ],
)
def test_bad_input_raises_one_clear_error(groups, size, error, message):
    with pytest.raises(error, match=message):
        balanced_batches(groups, size, seed=0)
