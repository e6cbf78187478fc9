"""Reference solutions of the exercises in notebooks/2_2_representation.ipynb."""

import math

import numpy as np


def my_mean_of_here(vectors, here):
    """Choose, add, divide by the number of what is here, at least 1 (2.2.15)."""
    kept = np.where(here.T[:, :, None], vectors, 0)
    return kept.sum(axis=0) / np.maximum(here.sum(axis=1, keepdims=True), 1)


def my_best_fit(posteriors_a, posteriors_b, prior):
    """The sum over the states is a product of two matrices (2.2.10)."""
    return np.log((posteriors_a / prior) @ posteriors_b.T)


def my_probability(here, rate):
    """Each stays with probability 1 − r; what comes back when all were hidden (2.2.16)."""
    size, K = sum(here), len(here)
    if size == 0:
        return 0.0
    return (1 - rate) ** size * rate ** (K - size) + (size == 1) * rate**K / K


def my_break_even(F_a, F_b, F_ab, E):
    """N (F_a + F_b) + 2 N² E < N² F_ab, so N > (F_a + F_b) / (F_ab − 2 E)."""
    return math.floor((F_a + F_b) / (F_ab - 2 * E)) + 1
