"""Ranking where a query has several right answers, such as the captions of one picture.

Query n and candidate m belong together when they are of one group. The rules for equal scores are
two: against the model, for what a model is given credit for, and by lot, for what could be
expected of any.
"""

import math

import jax.numpy as jnp
import numpy as np

from mmjax.checks import require, require_type


def rank_in_groups(
    scores: np.ndarray, query_groups: np.ndarray, candidate_groups: np.ndarray
) -> np.ndarray:
    """The place of the first right candidate in each query's list, 1 for the best.

    rank_n = 1 + |{m wrong for n : score_nm ≥ max over the right m' of score_nm'}|

    Ties count against the query: a wrong candidate with the score of the best right one stands in
    front of it. Right candidates never stand in each other's way. With one right candidate each it
    is `rank_of_target`.

    scores [N, M] floating-point without NaN; query_groups int [N], candidate_groups int [M].
    Returns int [N].
    Raises TypeError or ValueError for arrays that do not fit, NaN, or a query whose group has no
    candidate.
    """
    scores, right = _checked(scores, query_groups, candidate_groups, "rank_in_groups")
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + (~right & (scores >= best)).sum(axis=1)


def recall_in_groups(
    scores: np.ndarray, query_groups: np.ndarray, candidate_groups: np.ndarray, k: int
) -> float:
    """Share of the queries with a right candidate among the first k: mean of [rank ≤ k].

    Ties count against the query, as in `rank_in_groups`. Raises ValueError for k below 1.
    """
    require(k >= 1, "recall_in_groups", "k", expected="at least 1", got=k)
    return float((rank_in_groups(scores, query_groups, candidate_groups) <= k).mean())


def recall_by_lot(
    scores: np.ndarray,
    query_groups: np.ndarray,
    candidate_groups: np.ndarray,
    k: int,
    *,
    tolerance: float = 0.0,
) -> float:
    """The recall at k to be expected when equal scores are put in order by lot.

    With b candidates above the best right one, and r right and w wrong ones equal to it, k − b
    places are left to draw from r + w:

    P(a right one among the first k) = 1 − C(w, k − b) / C(r + w, k − b);
    it is 0 for k ≤ b, and 1 for k > b + r + w

    Scores that differ by at most `tolerance` count as equal: what two ways of rounding make of one
    number. Of the best possible scores this is the recall that no model exceeds on average.
    Raises as `rank_in_groups`, and ValueError for k below 1 or a negative tolerance.
    """
    where = "recall_by_lot"
    require(k >= 1, where, "k", expected="at least 1", got=k)
    require(tolerance >= 0, where, "tolerance", expected="at least 0", got=tolerance)
    scores, right = _checked(scores, query_groups, candidate_groups, where)
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    # Not |s − best| ≤ tolerance: two infinite scores are equal, and their difference is NaN.
    above = scores > best + tolerance
    equal = ~above & (scores >= best - tolerance)
    counts = zip(
        above.sum(axis=1), (equal & right).sum(axis=1), (equal & ~right).sum(axis=1), strict=True
    )
    return sum(_hit(k - int(b), int(r), int(w)) for b, r, w in counts) / len(scores)


def chance_recall_at_k(right: int, candidates: int, k: int) -> float:
    """The recall at k of an order by lot: 1 − C(M − r, k) / C(M, k), and k / M for r = 1.

    right: r, the right candidates of a query; candidates: M of them in all.
    Raises ValueError unless 1 ≤ r ≤ M and k ≥ 1.
    """
    where = "chance_recall_at_k"
    inside = 1 <= right <= candidates
    require(inside, where, "right", expected=f"from 1 to {candidates}", got=right)
    require(k >= 1, where, "k", expected="at least 1", got=k)
    return _hit(k, right, candidates - right)


def _hit(places: int, right: int, wrong: int) -> float:
    """Probability that `places` drawn out of right + wrong hold a right one."""
    if places <= 0:
        return 0.0
    if places > wrong:
        return 1.0
    return 1 - math.comb(wrong, places) / math.comb(right + wrong, places)


def _checked(scores, query_groups, candidate_groups, where) -> tuple[np.ndarray, np.ndarray]:
    """The scores and right bool [N, M], True where query and candidate are of one group."""
    scores = np.asarray(scores)
    is_float = jnp.issubdtype(scores.dtype, jnp.floating)  # bfloat16 too
    require_type(is_float, where, "scores", expected="floating-point [N, M]", got=scores)
    fits = scores.ndim == 2 and 0 not in scores.shape
    require(fits, where, "scores", expected="[N, M] with N and M at least 1", got=scores)
    groups = []
    given = (("query_groups", query_groups), ("candidate_groups", candidate_groups))
    for (name, group), size in zip(given, scores.shape, strict=True):
        group = np.asarray(group)
        is_whole = np.issubdtype(group.dtype, np.integer)
        require_type(is_whole, where, name, expected=f"whole numbers [{size}]", got=group)
        require(group.shape == (size,), where, name, expected=f"[{size}]", got=group)
        groups.append(group)
    require(not np.isnan(scores).any(), where, "scores", expected="no NaN", got="NaN")
    right = groups[0][:, None] == groups[1][None, :]
    alone = np.flatnonzero(~right.any(axis=1)).tolist()
    expected = "a candidate in the group of every query"
    require(not alone, where, "candidate_groups", expected=expected, got=f"none for {alone[:10]}")
    return scores.astype(np.float64), right
