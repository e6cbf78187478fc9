"""Reference solutions of the exercises in notebooks/1_background.ipynb."""

import math


def my_fused_posterior(a, b):
    """Independent noises: multiply, then make the sum one (1.2.2)."""
    return a * b / (a * b).sum()


def my_circle_given_disc(epsilon):
    """(1.2.4) for the circle and for each of the two other shapes; the prior cancels."""
    circle, other = (1 - epsilon) / 2 + epsilon / 6, epsilon / 6
    return circle / (circle + 2 * other)


def my_both(d1, d2):
    """Φ of the root of the sum of squares (1.2.9)."""
    return (1 + math.erf(math.sqrt(d1**2 + d2**2) / math.sqrt(2))) / 2


my_pair = ("audio", "video")
"""At u = 1 the two that are best alone are also the best pair."""
