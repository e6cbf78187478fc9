"""The exercises of section 2.3: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {1: "my_shares", 2: "my_gate_gradient", 3: "my_errors"}


@pytest.fixture
def notebook(exercises):
    return exercises("2_3_fusion", "section_2_3")


def softmax(s):
    e = np.exp(s - s.max(axis=0))
    return e / e.sum(axis=0)


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, lambda s, present: softmax(s)),  # reads what is missing
        (1, lambda s, present: softmax(s) * present),  # no longer sums to one
        (2, lambda v, a, dz: softmax(a) * (1 - softmax(a)) * v * dz),  # the sigmoid's
        (2, lambda v, a, dz: softmax(a) * v * dz),  # without the mean
        (3, lambda sigma: np.full(2, (1 / (sigma**-2.0).sum(axis=1)).mean())),
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
