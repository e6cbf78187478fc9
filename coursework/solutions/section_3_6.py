"""Reference solutions of the exercises in notebooks/3_6_public_checkpoints.ipynb."""

import numpy as np


def my_kernel(K):
    """Kernel [M, 3, P, P] of a convolution → map of patches [P·P·3, M] (3.6.4)."""
    return K.transpose(2, 3, 1, 0).reshape(-1, len(K))


def my_end(tokens, end):
    """Place of the first end in each row (3.6.8): argmax takes the first of equal values."""
    return (tokens == end).argmax(axis=1)


def my_split(text, ln_p, unknown):
    """The most probable pieces, by keeping the best cut of every beginning (3.6.15)."""
    best = [(0.0, [])] + [None] * len(text)
    for t in range(1, len(text) + 1):
        options = []
        for s in range(t):
            score = ln_p.get(text[s:t], unknown if t - s == 1 else None)
            if score is not None:
                options.append((best[s][0] + score, [*best[s][1], text[s:t]]))
        best[t] = max(options, key=lambda option: option[0])
    return best[-1][1]


def my_ensemble(w):
    """Vectors [R, K, E] of K names in R templates → unit vectors [K, E]."""
    mean = (w / np.linalg.norm(w, axis=2, keepdims=True)).mean(axis=0)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)
