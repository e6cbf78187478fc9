"""Reference solutions of the exercises in notebooks/6_1_trends.ipynb."""

import numpy as np


def my_blind_accuracy(questions, answers):
    """The most common answer to each question is right as often as it occurs (6.1.9)."""
    right = 0
    for question in np.unique(questions):
        right += np.bincount(answers[questions == question]).max()
    return right / len(questions)


def my_best_split(A, alpha, B, beta, C):
    """α A / N^α = β B / D^β with D = C / (6 N) (6.1.13)."""
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    N = G * (C / 6) ** (beta / (alpha + beta))
    return N, C / 6 / N


def my_route(p, capacity):
    """A token gets its place if fewer than `capacity` before it asked for the same (6.1.17)."""
    asked = p.argmax(1)[:, None] == np.arange(p.shape[1])
    kept = asked & (np.cumsum(asked, axis=0) <= capacity)
    return np.where(kept, p, 0.0)
