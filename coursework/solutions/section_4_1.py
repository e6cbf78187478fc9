"""Reference solutions of the exercises in notebooks/4_1_attention_mathematics.ipynb.

Each name is the one of the blank in the notebook; tests run them through the notebook's checks.
"""

import math

import numpy as np


def my_softmax(z):
    """Exercise 1. The shift by the maximum leaves the softmax as it is (4.1.14)."""
    e = np.exp(z - z.max())
    return e / e.sum()


# Exercise 2. P is [8, 12, 1024, 1024]; two products (4.1.44); both grow like T · S.
my_bill = {
    "weights_bytes": 2 * 8 * 12 * 1024 * 1024,
    "flops": 8 * 12 * 2 * 1024 * 1024 * (64 + 64),
    "longer": 4 * 4,
}


def my_scale(width, correlation):
    """Exercise 3. The root of what (4.1.12) leaves, on top of the usual 1 / √D."""
    return 1 / math.sqrt(width * (1 + (width - 1) * correlation**2))


def my_masked_softmax(scores, mask):
    """Exercise 4. (4.1.32), one row at a time; an empty row stays zero."""
    weights = np.zeros(scores.shape)
    for t in range(len(scores)):
        allowed = mask[t]
        if allowed.any():
            weights[t, allowed] = my_softmax(scores[t, allowed])
    return weights


def my_jacobian_times(p, x):
    """Exercise 5. (diag(p) − p pᵀ) x = p ∘ x − p (p·x): two passes over S numbers."""
    return p * (x - p @ x)


def my_scale_gradient(Q, K, V, dO, c):
    """Exercise 6. Z = c Q Kᵀ, so ∂L/∂c = Σ dZ ∘ Q Kᵀ with dZ from (4.1.26)."""
    products = Q @ K.T
    P = np.stack([my_softmax(row) for row in c * products])
    dP = dO @ V.T
    dZ = P * (dP - (P * dP).sum(axis=1, keepdims=True))
    return (dZ * products).sum()


def my_merge(first, second):
    """Exercise 7. (4.1.39); a state that has read nothing counts for nothing."""
    m = max(first[0], second[0])
    total, weighted = 0.0, np.zeros_like(first[2])
    for m_part, total_part, weighted_part in (first, second):
        if m_part > -math.inf:
            factor = math.exp(m_part - m)
            total, weighted = total + factor * total_part, weighted + factor * weighted_part
    return m, total, weighted
