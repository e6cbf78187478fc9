"""The exercises of section 2.2: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {1: "my_mean_of_here", 2: "my_best_fit", 3: "my_probability", 4: "my_break_even"}


@pytest.fixture
def notebook(exercises):
    return exercises("2_2_representation", "section_2_2")


@pytest.fixture
def prepared(notebook):
    """A check may use names of an earlier one."""

    def upto(number):
        for earlier in range(1, number):
            notebook.verdict(earlier)
        return notebook

    return upto


@pytest.mark.parametrize("number", NAMES)
def test_a_blank_is_not_solved_and_the_solution_is_correct(prepared, number):
    notebook, name = prepared(number), NAMES[number]
    assert notebook.verdict(number) == "not solved yet."
    assert notebook.verdict(number, **{name: getattr(notebook.solutions, name)}) == "correct."


def times_the_mask(vectors, here):
    """0 · NaN is NaN."""
    count = np.maximum(here.sum(axis=1, keepdims=True), 1)
    return (vectors * here.T[:, :, None]).sum(axis=0) / count


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, times_the_mask),
        (1, lambda vectors, here: np.nan_to_num(vectors).mean(axis=0)),  # divided by all
        (2, lambda a, b, prior: np.log(a @ b.T)),  # the prior forgotten
        (2, lambda a, b, prior: (a / prior) @ b.T),  # the logarithm forgotten
        (3, lambda here, rate: (1 - rate) ** sum(here) * rate ** (len(here) - sum(here))),
        (4, lambda F_a, F_b, F_ab, E: -(-(F_a + F_b) // (F_ab - 2 * E))),  # equal is not fewer
    ],
)
def test_a_common_mistake_gets_a_hint(prepared, number, wrong):
    line = prepared(number).verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
