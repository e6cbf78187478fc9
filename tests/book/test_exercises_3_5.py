"""The exercises of section 3.5: the notebook's checks accept the solutions, and only those."""

import math

import numpy as np
import pytest

from mmjax.formulas import convolution as cost

NAMES = {
    1: "my_prices",
    2: "my_noisy_logits",
    3: "my_smoothed_gradient",
    4: "my_sigmoid_loss",
    5: "my_depthwise",
    6: "my_price",
}


@pytest.fixture
def notebook(exercises):
    return exercises("3_5_align", "section_3_5")


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def smoothed_beside_the_right_one(z, epsilon):
    N = len(z)
    share = epsilon / (N - 1)
    return (softmax(z) - np.where(np.eye(N, dtype=bool), 1 - epsilon, share)) / N


def unstable_sigmoid(z):
    y = 2 * np.eye(len(z)) - 1
    loss = np.log1p(np.exp(-y * z)).sum() / len(z)
    return loss, (-y / (1 + np.exp(y * z))).sum() / len(z)


def averaged_sigmoid(z):
    y = 2 * np.eye(len(z)) - 1
    wrong = np.exp(-np.logaddexp(0, y * z))
    return np.logaddexp(0, -y * z).mean(), -(y * wrong).mean()


PAPER = {"share": 0.5, "impossible": math.log(0.2), "likely": math.log(0.8 * math.e**3 + 0.2)}
WRONG = {
    "the price without the square": (1, PAPER | {"pairs": 1e6 / 0.8}),
    "the share for twice the pairs": (1, PAPER | {"pairs": 1e6 / 0.64, "share": 0.293}),
    "clean pairs": (2, lambda p, eta: np.log(p / np.outer(p.sum(1), p.sum(0)))),
    "uniform texts": (2, lambda p, eta: np.log((1 - eta) * p / np.outer(p.sum(1), p.sum(0)) + 1)),
    "smoothing beside the right one": (3, smoothed_beside_the_right_one),
    "not divided by N": (3, lambda z, e: softmax(z) - (1 - e) * np.eye(len(z)) - e / len(z)),
    "overflow": (4, unstable_sigmoid),
    "a mean over all pairs": (4, averaged_sigmoid),
    "turned round": (5, lambda x, k, s: cost.depthwise_convolution(x, k[::-1, ::-1], s)),
    "stride forgotten": (5, lambda x, k, s: cost.depthwise_convolution(x, k)),
    "weak signals only": (6, lambda eta, rho: 1 / (1 - eta) ** 2),
    "as if cleaned": (6, lambda eta, rho: 1 / (1 - eta)),
}


def test_common_mistakes_get_a_hint(notebook):
    notebook.verdict(1)
    for number in (2, 3, 4, 5, 6):
        notebook.verdict(number)
    for name, (number, wrong) in WRONG.items():
        line = notebook.verdict(number, **{NAMES[number]: wrong})
        assert line.startswith("not yet right: ") and "Hint: " in line, name
