"""Reference solutions of the exercises in notebooks/2_3_fusion.ipynb."""

import numpy as np


def my_shares(s, present):
    """Softmax over what is there, shifted by the largest of it (2.3.4)."""
    weights = np.zeros(len(s))
    if present.any():
        e = np.exp(s[present] - s[present].max())
        weights[present] = e / e.sum()
    return weights


def my_gate_gradient(v, a, dz):
    """g ∘ (v − z) ∘ dz (2.3.15)."""
    g = np.exp(a - a.max(axis=0))
    g = g / g.sum(axis=0)
    return g * (v - (g * v).sum(axis=0)) * dz


def my_errors(sigma):
    """The two sides of (2.3.18)."""
    free = (1 / (sigma**-2.0).sum(axis=1)).mean()
    fixed = 1 / (1 / (sigma**2).mean(axis=0)).sum()
    return np.array([free, fixed])
