"""Batches in which every group counts alike, however rare it is.

In expectation the loss of such a batch is that of all examples with the weights N / (G n_g).
"""

from collections.abc import Iterator

import numpy as np

from mmjax.checks import require, require_type


def balanced_batches(groups: np.ndarray, batch_size: int, *, seed: int) -> Iterator[np.ndarray]:
    """Endless batches of example numbers int [batch_size]: first a group at random, then a member.

    groups: int [N], the group of each example. All groups are equally likely, and so are the
    members of one; an example can be twice in a batch. A `sampler` for `fit`.
    Raises TypeError for groups that are no whole numbers [N], ValueError for a batch below 1.
    """
    where, groups = "balanced_batches", np.asarray(groups)
    whole = groups.ndim == 1 and np.issubdtype(groups.dtype, np.integer) and groups.size > 0
    require_type(whole, where, "groups", expected="whole numbers [N]", got=groups)
    require(batch_size >= 1, where, "batch_size", expected="at least 1", got=batch_size)
    return _balanced(group_weights(groups), batch_size, np.random.default_rng(seed))


def group_weights(groups: np.ndarray) -> np.ndarray:
    """N / (G n_g) for each example: their mean is 1, and each group has the same sum. float [N]."""
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return len(groups) / (len(counts) * counts[index])


def _balanced(weights, batch_size, rng):
    edges = np.cumsum(weights / weights.sum())
    while True:
        yield np.searchsorted(edges / edges[-1], rng.random(batch_size), side="right")
