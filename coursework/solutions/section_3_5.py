"""Reference solutions of the exercises in notebooks/3_5_align.ipynb."""

import math

import numpy as np

# (3.5.6) with η = 0.2; 1 / (1 − η)² = 4; (3.5.4); (3.5.3).
my_prices = {
    "pairs": 1e6 / 0.64,
    "share": 0.5,
    "impossible": math.log(0.2),
    "likely": math.log(0.8 * math.e**3 + 0.2),
}


def my_noisy_logits(p, eta):
    """ln( p_η / (p(x) p(y)) ) (3.5.2), (3.5.1)."""
    apart = np.outer(p.sum(axis=1), p.sum(axis=0))
    return np.log(((1 - eta) * p + eta * apart) / apart)


def my_smoothed_gradient(z, epsilon):
    """(softmax − target) / N, the softmax shifted by the largest logit of its row (3.5.9)."""
    N = len(z)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    target = (1 - epsilon) * np.eye(N) + epsilon / N
    return (e / e.sum(axis=1, keepdims=True) - target) / N


def my_sigmoid_loss(z):
    """(3.5.11) and (3.5.12), with −ln σ(t) = ln(1 + e^{−t})."""
    N = len(z)
    y = 2 * np.eye(N) - 1
    loss = np.logaddexp(0, -y * z).sum() / N
    wrong = np.exp(-np.logaddexp(0, y * z))  # σ(−y z)
    return loss, -(y * wrong).sum() / N


def my_depthwise(x, kernel, stride):
    """The first half of (3.5.22)."""
    (height, width, C), k = x.shape, len(kernel)
    r = k // 2
    padded = np.pad(x, ((r, r), (r, r), (0, 0)))
    y = np.zeros((math.ceil(height / stride), math.ceil(width / stride), C))
    for i, j in np.ndindex(*y.shape[:2]):
        window = padded[stride * i : stride * i + k, stride * j : stride * j + k]
        y[i, j] = (window * kernel).sum(axis=(0, 1))
    return y


def my_price(eta, rho):
    """The squared ratio of scatter to mean with noise, over the same without (3.5.18)."""

    def scatter(eta):
        mean = (1 - eta) * rho
        return (1 + 2 * (1 - eta) * rho**2 - mean**2) / mean**2

    return scatter(eta) / scatter(0.0)
