"""What a representation costs and what it can know (section 2.2)."""

import numpy as np


def representation_parameters(kind, rows, lengths, L, M, F, E):
    """Parameters of a model of K modalities: kind "joint", "coordinated" or "crossattention".

    rows [K]: the rows of each input's matrix (features and a bias, or the vocabulary); lengths [K]:
    its positions; L layers of width M and hidden width F; embedding width E.
    """
    K, block = len(rows), 4 * M * M + 4 * M + 2 * M * F + F + M + 4 * M
    inputs = sum((row + length) * M for row, length in zip(rows, lengths, strict=True))
    if kind == "joint":
        return inputs + K * M + L * block + 2 * M + M * E
    if kind == "coordinated":
        return inputs + K * (L * block + 2 * M + M * E) + 1
    cross = 4 * M * M + 4 * M + 2 * M
    return inputs + K * (L * (block + cross) + 2 * M + M * E)


def representation_operations(kind, features, lengths, L, M, F, E):
    """Operations of all matrix products for one example; features [K], 0 for words (a table)."""
    K, T = len(lengths), sum(lengths)
    inputs = sum(2 * t * f * M for f, t in zip(features, lengths, strict=True))
    if kind == "joint":
        return inputs + L * (8 * T * M * M + 4 * T * T * M + 4 * T * M * F) + 2 * M * E
    total = inputs + 2 * K * M * E
    for t in lengths:
        total += L * (8 * t * M * M + 4 * t * t * M + 4 * t * M * F)
        if kind == "crossattention":
            total += L * (4 * t * M * M + 4 * (T - t) * M * M + 4 * t * (T - t) * M)
    return total


def best_fit(posteriors_a, posteriors_b, prior):
    """p(a, b) / (p(a) p(b)) = Σ_s p(s|a) p(s|b) / p(s) for posteriors [N, S], [M, S] → [N, M]."""
    score = np.zeros((len(posteriors_a), len(posteriors_b)))
    for n, p in enumerate(posteriors_a):
        for m, q in enumerate(posteriors_b):
            score[n, m] = sum(p[s] * q[s] / prior[s] for s in range(len(prior)))
    return score
