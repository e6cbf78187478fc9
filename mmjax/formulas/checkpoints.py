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


def quick_gelu(x):
    """x σ(1.702 x)."""
    x = np.asarray(x, np.float64)
    return x / (1 + np.exp(-1.702 * x))


def gelu_tanh(x):
    """x/2 (1 + tanh √(2/π) (x + 0.044715 x³))."""
    x = np.asarray(x, np.float64)
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def end_of_text(tokens, end):
    """The first place t with tokens[t] = end, for one text."""
    for t, token in enumerate(tokens):
        if token == end:
            return t
    raise ValueError(f"end_of_text: argument 'tokens': expected one that is {end}, got none")


def transformer_parameters(M, F, L):
    """N(M, F, L): L blocks of four maps, a perceptron, their biases and two norms; a last norm."""
    return L * (4 * M**2 + 4 * M + 2 * M * F + F + M + 4 * M) + 2 * M


def clip_parameters(side, P, M, F, L, V, S, M_text, F_text, L_text, E):
    """How many numbers a CLIP has: the tower of the pictures, that of the texts, the scale."""
    T = (side // P) ** 2
    picture = 3 * P**2 * M + M + (T + 1) * M + 2 * M + transformer_parameters(M, F, L) + M * E
    text = V * M_text + S * M_text + transformer_parameters(M_text, F_text, L_text) + M_text * E
    return picture + text + 1
