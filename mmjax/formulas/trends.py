"""Section 6.1: losses by group, the best answer without an image, scaling laws, experts."""

import math
from fractions import Fraction

import numpy as np


def group_negatives(pairs, group):
    """Which pairs a loss compares when a batch is cut into groups (6.1.1): bool [N, N]."""
    return np.array([[n // group == m // group for m in range(pairs)] for n in range(pairs)])


def scaling_loss(E, A, alpha, B, beta, parameters, tokens):
    """E + A / N^α + B / D^β (6.1.10)."""
    return E + A / parameters**alpha + B / tokens**beta


def huber(residual, delta):
    """r² / 2 up to δ, then a straight line (6.1.12)."""
    size = abs(residual)
    return size**2 / 2 if size <= delta else delta * (size - delta / 2)


def mixture_of_experts(x, router, experts, k=1):
    """A loop over tokens and experts (6.1.15) to (6.1.17).

    x [N, M], router [M, X]; experts: functions [M] → [M]. Returns y [N, M] and the gates [N, X].
    """
    x = np.asarray(x, np.float64)
    outputs, gates = [], []
    for row in x:
        scores = row @ np.asarray(router, np.float64)
        p = np.exp(scores - scores.max())
        p /= p.sum()
        chosen = sorted(range(len(p)), key=lambda e: (-p[e], e))[:k]
        total = 1.0 if k == 1 else sum(p[e] for e in chosen)
        gate = np.array([p[e] / total if e in chosen else 0.0 for e in range(len(p))])
        outputs.append(sum(gate[e] * np.asarray(experts[e](row)) for e in chosen))
        gates.append(gate)
    return np.array(outputs), np.array(gates)


def load_balance(probabilities, k=1):
    """X Σ_e f_e P_e, f_e = (how often expert e is chosen) / (k N) (6.1.18)."""
    p = np.asarray(probabilities, np.float64)
    tokens, experts = p.shape
    often = [0] * experts
    for row in p:
        for e in sorted(range(experts), key=lambda e: (-row[e], e))[:k]:
            often[e] += 1
    return experts * sum(often[e] / (k * tokens) * p[:, e].mean() for e in range(experts))


def capacity(tokens, experts, k, factor):
    """⌈factor k N / X⌉, at most N (6.1.20), in fractions: 1.1 · 10 is 11."""
    return min(tokens, math.ceil(Fraction(str(factor)) * k * tokens / experts))
