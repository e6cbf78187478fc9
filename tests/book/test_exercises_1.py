"""The exercises of section 1: the notebook's checks accept the solutions, and only those."""

import pytest

NAMES = {1: "my_fused_posterior", 2: "my_circle_given_disc", 3: "my_both", 4: "my_pair"}


@pytest.fixture
def notebook(exercises):
    return exercises("1_background", "section_1")


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
