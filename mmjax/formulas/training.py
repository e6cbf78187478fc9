"""How an answer is counted, and how parameters move (sections 2.2 and 3.4)."""

import math

import numpy as np

from mmjax.formulas.attention import log_sum_exp


def rank_of_target(scores, target):
    """The place of the right candidate for scores [J] of one query: 1 + |{k ≠ y : c_k ≥ c_y}|."""
    return 1 + sum(1 for k, c in enumerate(scores) if k != target and c >= scores[target])


def recall_at_k(scores, targets, k):
    """The share of queries n whose right candidate has a rank of at most k, for scores [N, J]."""
    ranks = [rank_of_target(row, target) for row, target in zip(scores, targets, strict=True)]
    return sum(1 for rank in ranks if rank <= k) / len(ranks)


def warmup_cosine(t, peak, steps, warmup):
    """The learning rate of step t: a straight line up, then half a cosine down to zero."""
    if t < warmup:
        return peak * t / warmup
    return peak * (1 + math.cos(math.pi * (t - warmup) / (steps - warmup))) / 2


def clip_by_norm(g, limit):
    """The vector g, scaled down to the length `limit` if it is longer: g · min(1, limit / ‖g‖)."""
    g = np.asarray(g, np.float64)
    length = math.sqrt((g**2).sum())
    return g if length <= limit else g * limit / length


def adamw_step(theta, m, v, g, t, rate, b1, b2, epsilon, weight_decay):
    """One step of AdamW, t = 0 for the first; returns the new (theta, m, v).

    m' = β₁ m + (1 − β₁) g,  v' = β₂ v + (1 − β₂) g²,
    θ' = θ − η (m' / (1 − β₁^{t+1}) / (√(v' / (1 − β₂^{t+1})) + ε) + λ θ).
    """
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    mean, square = m / (1 - b1 ** (t + 1)), v / (1 - b2 ** (t + 1))
    step = mean / (np.sqrt(square) + epsilon) + weight_decay * theta
    return theta - rate * step, m, v


def orthogonalize(G, steps=5):
    """Nearly U Vᵀ for G = U Σ Vᵀ: p(σ) = 3.4445 σ − 4.7750 σ³ + 2.0315 σ⁵, from σ / ‖σ‖ on."""
    U, values, V = np.linalg.svd(np.asarray(G, np.float64), full_matrices=False)
    values = values / math.sqrt((values**2).sum())
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return (U * values) @ V


def muon_step(W, D, G, rate, momentum, weight_decay):
    """One step of Muon for W [M, F]; returns the new (W, D).

    D' = G + μ D,  W' = W − η (√max(1, F/M) orth(G + μ D') + λ W).
    """
    M, F = W.shape
    D = G + momentum * D
    direction = math.sqrt(max(1, F / M)) * orthogonalize(G + momentum * D)
    return W - rate * (direction + weight_decay * W), D


def cross_entropy(logits, labels, label_smoothing=0.0):
    """mean_n Σ_c −t_nc log softmax(z_n)_c with t_nc = (1 − ε) [c = y_n] + ε / C, for z [N, C]."""
    logits = np.asarray(logits, np.float64)
    N, C = logits.shape
    total = 0.0
    for n in range(N):
        for c in range(C):
            target = (1 - label_smoothing) * (c == labels[n]) + label_smoothing / C
            total -= target * (logits[n, c] - log_sum_exp(logits[n]))
    return total / N
