"""Reference solutions of the exercises in notebooks/5_2_cross_modal_retrieval.ipynb."""

import math

import numpy as np


def my_rank(scores, right):
    """One more than the wrong candidates that reach the best right one (5.2.3)."""
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + (~right & (scores >= best)).sum(axis=1)


def my_chance_mrr(r, M):
    """Sum over the ranks K of (recall@K − recall@(K − 1)) / K, by (5.2.6)."""
    recall = [1 - math.comb(M - r, K) / math.comb(M, K) for K in range(M - r + 2)]
    return sum((recall[K] - recall[K - 1]) / K for K in range(1, M - r + 2))


def my_search_step(kept_scores, kept_indices, block_scores, start):
    """The best k of what was kept and of the block (5.2.13); a stable sort keeps ties in order."""
    Q, k = kept_scores.shape
    numbers = start + np.arange(block_scores.shape[1])
    scores = np.concatenate([kept_scores, block_scores], axis=1)
    indices = np.concatenate([kept_indices, np.tile(numbers, (Q, 1))], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(indices, order, axis=1)


def my_hubs(scores, k):
    """How often each candidate is among the first k (5.2.16), and the skewness of it (5.2.17)."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    counts = np.bincount(first.ravel(), minlength=scores.shape[1])
    centred = counts - counts.mean()
    return counts, (centred**3).mean() / (centred**2).mean() ** 1.5
