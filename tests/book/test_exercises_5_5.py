"""The exercises of section 5.5: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {1: "my_auc", 2: "my_calibration_error", 3: "my_decisions", 4: "my_picture_log_ratio"}


@pytest.fixture
def notebook(exercises):
    return exercises("5_5_healthcare", "section_5_5")


def pairs(scores, labels):
    return scores[labels == 1][:, None], scores[labels == 0][None, :]


def by_bins(p, y, bins, side, weight):
    edges = np.arange(1, bins) / bins
    bin_of, total = np.searchsorted(edges, p, side), 0.0
    filled = [bin_of == k for k in range(bins) if (bin_of == k).any()]
    for inside in filled:
        share = inside.mean() if weight else 1 / len(filled)
        total += share * abs(p[inside].mean() - y[inside].mean())
    return total


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, lambda s, y: (np.greater(*pairs(s, y))).mean()),  # ties lose
        (1, lambda s, y: (np.greater_equal(*pairs(s, y))).mean()),  # ties win
        (2, lambda p, y, bins: by_bins(p, y, bins, "left", weight=False)),
        (2, lambda p, y, bins: by_bins(p, y, bins, "right", weight=True)),  # the other edge
        (2, lambda p, y, bins: np.abs(p - y).mean()),
        (3, lambda z, old, new, c_fp, c_fn: 1 / (1 + np.exp(-z)) >= c_fp / (c_fp + c_fn)),
        (3, lambda z, old, new, c_fp, c_fn: z + np.log(new / old) >= np.log(c_fp / c_fn)),
        (
            3,
            lambda z, old, new, c_fp, c_fn: (
                z + np.log(new / (1 - new)) - np.log(old / (1 - old)) >= np.log(c_fn / c_fp)
            ),
        ),
        (
            4,  # overflows
            lambda ell, q0, q1: np.log(
                (1 - q1 + q1 * np.exp(ell).mean()) / (1 - q0 + q0 * np.exp(ell).mean())
            ),
        ),
        (
            4,  # the best place in place of the mean
            lambda ell, q0, q1: (
                np.logaddexp(np.log(1 - q1), np.log(q1) + ell.max())
                - np.logaddexp(np.log(1 - q0), np.log(q0) + ell.max())
            ),
        ),
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
