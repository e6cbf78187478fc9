"""Who meets in a batch: in a contrastive loss, the rest of the batch are the wrong answers.

Sources: Robinson et al. (2021), "Contrastive learning with hard negative samples", for why wrong
answers should be close to the right one. Neighbours in a batch are our own simplest form of it.
"""

from collections.abc import Iterator

import numpy as np

from mmjax.checks import require, require_type


def one_of_each(
    groups: np.ndarray, batch_size: int, *, seed: int, run: int = 1
) -> Iterator[np.ndarray]:
    """Endless batches of example numbers int [batch_size], with no group twice in a batch.

    groups: int [N], the group of each example, such as the character that a picture shows. An epoch
    visits each group once, with one of its examples drawn at random. So every group counts alike,
    however many examples it has; in a random order of the examples, it would count in proportion.

    `run` groups that stand side by side in the order of their numbers come together. If neighbours
    in number are alike, as characters in the order of Unicode are, each example meets `run` − 1
    hard negatives. Where the runs begin is drawn anew for each epoch. 1 leaves all to chance.

    Groups that fill no run or no batch wait for another epoch. Raises TypeError or ValueError for
    arguments that do not fit: at least one batch must come out of the groups, and `run` must
    divide the batch.
    """
    where, groups = "one_of_each", np.asarray(groups)
    whole = groups.ndim == 1 and np.issubdtype(groups.dtype, np.integer)
    require_type(whole, where, "groups", expected="whole numbers [N]", got=groups)
    numbers, counts = np.unique(groups, return_counts=True)
    ok = 1 <= batch_size <= len(numbers)
    expected = f"between 1 and the number of groups {len(numbers)}"
    require(ok, where, "batch_size", expected=expected, got=batch_size)
    divides = run >= 1 and batch_size % run == 0
    expected = f"a divisor of batch_size = {batch_size}"
    require(divides, where, "run", expected=expected, got=run)
    return _one_of_each(groups, counts, batch_size, run, np.random.default_rng(seed))


def _one_of_each(groups, counts, batch_size, run, rng):
    members = np.argsort(groups, kind="stable")  # the examples of group 0, then those of group 1, …
    first = np.cumsum(counts) - counts
    runs = len(counts) // run
    while True:
        shifted = np.roll(np.arange(len(counts)), rng.integers(len(counts)))
        order = rng.permutation(shifted[: runs * run].reshape(runs, run)).reshape(-1)
        chosen = members[first[order] + rng.integers(counts[order])]
        for start in range(0, len(chosen) - batch_size + 1, batch_size):
            yield chosen[start : start + batch_size]
