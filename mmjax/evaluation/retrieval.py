"""Ranking: how far up the list the right answer stands, and how often it is near the top."""

import numpy as np

from mmjax.checks import require, require_type


def rank_of_target(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The place of the right candidate in each query's list, 1 for the best.

    rank_n = 1 + |{m ≠ target_n : score_nm ≥ score_n,target}|

    Ties count against the query: a candidate with the same score stands in front of the target. A
    model that gives every candidate the same score is therefore always last, not always first.

    scores [N, M] floating-point without NaN, targets int [N]; returns int [N].
    Raises TypeError or ValueError for arrays that do not fit, targets out of range, or NaN.
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    where = "rank_of_target"
    fits = scores.ndim == 2 and 0 not in scores.shape
    require(fits, where, "scores", expected="[N, M] with N and M at least 1", got=scores)
    is_whole = np.issubdtype(targets.dtype, np.integer)
    require_type(is_whole, where, "targets", expected="whole numbers [N]", got=targets)
    expected = f"[{len(scores)}]"
    require(targets.shape == (len(scores),), where, "targets", expected=expected, got=targets)
    inside = targets.min() >= 0 and targets.max() < scores.shape[1]
    expected, got = f"from 0 to {scores.shape[1] - 1}", f"{targets.min()} to {targets.max()}"
    require(inside, where, "targets", expected=expected, got=got)
    require(not np.isnan(scores).any(), where, "scores", expected="no NaN", got="NaN")
    own = np.take_along_axis(scores, targets[:, None], axis=1)
    return (scores >= own).sum(axis=1)


def recall_at_k(scores: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Share of the queries whose right candidate is among the first k: mean of [rank ≤ k].

    With one right answer a query this is also the top-k accuracy. Ties count against the query, as
    in `rank_of_target`. Raises ValueError for k below 1.
    """
    require(k >= 1, "recall_at_k", "k", expected="at least 1", got=k)
    return float((rank_of_target(scores, targets) <= k).mean())


def median_rank(scores: np.ndarray, targets: np.ndarray) -> float:
    """The median of `rank_of_target`: half of the right answers stand at this place or above."""
    return float(np.median(rank_of_target(scores, targets)))
