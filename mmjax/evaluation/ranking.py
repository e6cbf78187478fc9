"""Ranking with more than one right answer, some better than others: DCG, NDCG and recall.

`mmjax.evaluation.retrieval` is for one right answer a query. Here every candidate has a gain.

Ties. Candidates with equal scores have no order, so what is measured is the expectation over all of
their orders: each of them gets the mean discount of the places that they fill together. A model
that gives every candidate the same score then has the value of a random order.

Sources: Järvelin & Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques"; McSherry
& Najork (2008), "Computing information retrieval performance measures efficiently in the presence
of tied scores".
"""

import jax.numpy as jnp
import numpy as np

from mmjax.checks import require, require_type


def dcg_at_k(scores: np.ndarray, gains: np.ndarray, k: int) -> np.ndarray:
    """Discounted cumulated gain of the first k: Σ_{j ≤ k} gain at place j / log₂(1 + j).

    scores [N, M] floating-point without NaN, gains [N, M], finite and at least 0 (for grades r it
    is usual to give 2^r − 1). Returns float64 [N]. Ties: see the module.
    Raises TypeError or ValueError for arrays that do not fit, or k outside 1 to M.
    """
    scores, gains = _checked(scores, gains, k, "dcg_at_k")
    discounts = np.zeros(scores.shape[1])
    discounts[:k] = 1 / np.log2(np.arange(2, k + 2))
    return _expected_sum(scores, gains, discounts)


def ndcg_at_k(scores: np.ndarray, gains: np.ndarray, k: int) -> np.ndarray:
    """DCG@k divided by that of the best order, which puts larger gains first: float64 [N].

    1 is a perfect order. A query without any gain has no best order; its value is NaN, so leave it
    out. Arguments and errors as in `dcg_at_k`.
    """
    found = dcg_at_k(scores, gains, k)
    best = dcg_at_k(np.asarray(gains, np.float64), gains, k)
    return np.divide(found, best, out=np.full_like(best, np.nan), where=best > 0)


def relevant_recall_at_k(scores: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """The share of a query's relevant candidates among the first k: float64 [N].

    |relevant ∩ first k| / |relevant|; NaN for a query without any. With more than k of them it
    stays below 1. scores as in `dcg_at_k`, relevant bool [N, M]. Ties: see the module, and note
    that `retrieval.recall_at_k`, for one right answer, counts them against the query instead.
    Raises TypeError or ValueError for arrays that do not fit, or k outside 1 to M.
    """
    where, relevant = "relevant_recall_at_k", np.asarray(relevant)
    require_type(relevant.dtype == bool, where, "relevant", expected="bool [N, M]", got=relevant)
    scores, relevant = _checked(scores, relevant, k, where, "relevant")
    counts = np.zeros(scores.shape[1])
    counts[:k] = 1
    found, number = _expected_sum(scores, relevant, counts), relevant.sum(axis=1)
    return np.divide(found, number, out=np.full(len(found), np.nan), where=number > 0)


def _expected_sum(scores, gains, weights) -> np.ndarray:
    """Σ_j weight_j · gain at place j, in expectation over the orders of equal scores: [N]."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    gain = np.take_along_axis(gains, order, axis=1).astype(np.float64)
    # Groups of equal scores, numbered through all rows; the weight of a place becomes its group's.
    first = np.ones(ranked.shape, bool)
    first[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    group = np.cumsum(first.ravel()) - 1
    total = np.bincount(group, np.broadcast_to(weights, ranked.shape).ravel())
    mean = (total / np.bincount(group))[group].reshape(ranked.shape)
    return (mean * gain).sum(axis=1)


def _checked(scores, gains, k, where, name="gains") -> tuple[np.ndarray, np.ndarray]:
    scores, gains = np.asarray(scores), np.asarray(gains)
    is_float = jnp.issubdtype(scores.dtype, jnp.floating)  # bfloat16 too
    require_type(is_float, where, "scores", expected="floating-point [N, M]", got=scores)
    fits = scores.ndim == 2 and 0 not in scores.shape
    require(fits, where, "scores", expected="[N, M] with N and M at least 1", got=scores)
    require(not np.isnan(scores).any(), where, "scores", expected="no NaN", got="NaN")
    require(gains.shape == scores.shape, where, name, expected=f"{list(scores.shape)}", got=gains)
    ok = bool(np.isfinite(gains).all()) and gains.min() >= 0
    require(ok, where, name, expected="finite numbers, at least 0", got="others")
    ok, expected = 1 <= k <= scores.shape[1], f"from 1 to {scores.shape[1]}"
    require(ok, where, "k", expected=expected, got=k)
    return scores.astype(np.float64), gains
