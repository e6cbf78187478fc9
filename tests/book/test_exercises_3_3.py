"""The exercises of section 3.3: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {
    1: "my_shared",
    2: "my_widest",
    3: "my_mask",
    4: "my_path",
    5: "my_effect",
    6: "my_best_answer",
}


@pytest.fixture
def notebook(exercises):
    return exercises("3_3_multimodal_transformer", "section_3_3")


def test_blanks_are_not_solved_and_solutions_are_correct(notebook):
    for number, name in NAMES.items():
        assert notebook.verdict(number) == "not solved yet."
        assert notebook.verdict(number, **{name: getattr(notebook.solutions, name)}) == "correct."


def test_common_mistakes_get_a_hint(notebook):
    def weights(lengths, Z):
        return sum((t + Z) ** 2 for t in lengths)

    def at_most(lengths):  # as many is not fewer
        return max(Z for Z in range(-1, 99) if weights(lengths, Z) <= sum(lengths) ** 2)

    def equal_lengths(lengths):  # (3.3.14) where it does not hold
        K = len(lengths)
        return int(np.ceil((np.sqrt(K) - 1) / K * sum(lengths))) - 1

    def lanes_apart(tables, g):  # forgets that the other lanes have other motions
        chance = tables[:, g].sum(axis=0)
        return chance / chance.sum()

    mistakes = [
        (
            1,
            lambda parts, here: (parts * here[..., None, None]).sum(0) / here.sum(0)[:, None, None],
        ),
        (1, lambda parts, here: np.where(here[..., None, None], parts, 0).mean(0)),
        (2, at_most),
        (2, equal_lengths),
        (3, lambda kind: (kind[:, None] == kind) | (kind == -1)),  # shared tokens read only shared
        (4, lambda to, of, K: to.mean(0) @ of.mean(0)),
        (4, lambda to, of, K: (to @ of).mean(0) / K),  # head by head
        (5, lambda P, v, s: -P[s] * v[s]),  # the others do not take over
        (5, lambda P, v, s: P[s] / (1 - P[s]) * (v[s] - P @ v)),  # the other way round
        (6, lanes_apart),
    ]
    for number, wrong in mistakes:
        notebook.namespace |= dict.fromkeys(NAMES.values())
        line = notebook.verdict(number, **{NAMES[number]: wrong})
        assert line.startswith("not yet right: ") and "Hint: " in line, (number, line)
