"""Who meets in a batch: in a contrastive loss, the rest of the batch are the wrong answers."""

from collections.abc import Iterator

import numpy as np

from mmjax.checks import require, require_type


def one_of_each(groups: np.ndarray, batch_size: int, *, seed: int) -> Iterator[np.ndarray]:
    """Endless batches of example numbers int [batch_size], with no group twice in a batch.

    groups: int [N], the group of each example, such as the character that a picture shows. An epoch
    visits each group once, in random order, with one of its examples drawn at random; the last
    groups, where they are too few for a batch, are left out of it. So every group counts alike,
    however many examples it has; in a random order of the examples, it would count in proportion.
    No batch holds a pair that is no negative.

    Raises TypeError for groups that are no whole numbers [N], ValueError unless the batch has at
    least one example and at most as many as there are groups.
    """
    where, groups = "one_of_each", np.asarray(groups)
    whole = groups.ndim == 1 and np.issubdtype(groups.dtype, np.integer)
    require_type(whole, where, "groups", expected="whole numbers [N]", got=groups)
    _, counts = np.unique(groups, return_counts=True)
    ok = 1 <= batch_size <= len(counts)
    expected = f"between 1 and the number of groups {len(counts)}"
    require(ok, where, "batch_size", expected=expected, got=batch_size)
    return _one_of_each(groups, counts, batch_size, np.random.default_rng(seed))


def _one_of_each(groups, counts, batch_size, rng):
    members = np.argsort(groups, kind="stable")  # the examples of group 0, then those of group 1, …
    first = np.cumsum(counts) - counts
    while True:
        order = rng.permutation(len(counts))
        chosen = members[first + rng.integers(counts)][order]
        for start in range(0, len(chosen) - batch_size + 1, batch_size):
            yield chosen[start : start + batch_size]
