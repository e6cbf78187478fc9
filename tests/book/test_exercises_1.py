"""The exercises of section 1: the notebook's checks accept the solutions, and only those."""

import pytest

NAMES = {1: "my_fused_posterior", 2: "my_circle_given_disc", 3: "my_both", 4: "my_pair"}


@pytest.fixture
def notebook(exercises):
    return exercises("1_background", "section_1")


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


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, lambda a, b: a * b),  # not normalised
        (1, lambda a, b: (a / a.sum() + b / b.sum()) / 2),  # a mean in place of a product
        (2, lambda epsilon: (1 - epsilon) + epsilon / 6),
        (3, lambda a1, a2: 1 - (1 - a1) * (1 - a2)),  # right unless both are wrong
        (4, ("video", "text")),  # the two that are best alone
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
