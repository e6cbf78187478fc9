"""The exercises of section 2.3: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {1: "my_shares", 2: "my_gate_gradient", 3: "my_errors"}


@pytest.fixture
def notebook(exercises):
    return exercises("2_3_fusion", "section_2_3")


def test_every_exercise_has_a_blank_and_a_check(notebook):
    blanks, checks = notebook.tagged("exercise"), notebook.tagged("check")
    assert len(blanks) == len(checks) == len(NAMES)
    for name, blank, check in zip(NAMES.values(), blanks, checks, strict=True):
        assert name in blank and name in check


@pytest.mark.parametrize("number", NAMES)
def test_a_blank_is_not_solved_and_the_solution_is_correct(notebook, number):
    name = NAMES[number]
    assert notebook.verdict(number) == "not solved yet."
    assert notebook.verdict(number, **{name: getattr(notebook.solutions, name)}) == "correct."


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
