"""Reference solutions of the exercises in notebooks/1_background.ipynb."""

import math


def my_fused_posterior(a, b):
    """Independent noises: multiply, then make the sum one (1.2.2)."""
    return a * b / (a * b).sum()


def my_circle_given_disc(epsilon):
    """(1.2.4) for the circle and for each of the two other shapes; the prior cancels."""
    circle, other = (1 - epsilon) / 2 + epsilon / 6, epsilon / 6
    return circle / (circle + 2 * other)


def phi(d):
    """The normal distribution function."""
    return (1 + math.erf(d / math.sqrt(2))) / 2


def inverse_phi(accuracy):
    """The d with phi(d) = accuracy, by halving an interval."""
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if phi(middle) < accuracy else (low, middle)
    return low


def my_both(a1, a2):
    """Φ of the root of the sum of squares (1.2.9)."""
    return phi(math.hypot(inverse_phi(a1), inverse_phi(a2)))


my_pair = ("audio", "video")
"""Alone the sound is the worst, as it knows no colour. But the video knows the colour, and at shape
and motion the sound is better than the video."""
