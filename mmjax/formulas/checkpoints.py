"""What published models compute that our own do not (section 3.6)."""

import itertools
import math

import numpy as np

from mmjax.formulas.contrastive import normalize


def ensemble_templates(W):
    """v_k = m_k / ‖m_k‖ with m_k = 1/R Σ_r w_rk / ‖w_rk‖, name by name: [R, K, E] → [K, E]."""
    R, K = len(W), len(W[0])
    rows = []
    for k in range(K):
        total = 0.0
        for r in range(R):
            total = total + normalize(W[r][k])
        rows.append(normalize(total / R))
    return np.array(rows)


def best_split(text, log_probabilities, unknown):
    """The pieces with the largest Σ ln p, among all 2^(T−1) ways to cut T characters."""
    best, found = -math.inf, None
    for cuts in itertools.product((False, True), repeat=len(text) - 1):
        ends = [t + 1 for t, cut in enumerate(cuts) if cut] + [len(text)]
        pieces = [text[s:t] for s, t in zip([0, *ends], ends, strict=False)]
        total = 0.0
        for piece in pieces:
            lost = unknown if len(piece) == 1 else -math.inf
            total += log_probabilities.get(piece, lost)
        if total > best:
            best, found = total, pieces
    return found, best
