"""The exercises of section 3.6: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {1: "my_kernel", 2: "my_end", 3: "my_split", 4: "my_ensemble"}


@pytest.fixture
def notebook(exercises):
    return exercises("3_6_public_checkpoints", "section_3_6")


def greedy(text, ln_p, unknown):
    """The longest piece at each place, whatever its probability."""
    pieces = []
    while text:
        length = next((n for n in (3, 2, 1) if text[:n] in ln_p), 1)
        pieces.append(text[:length])
        text = text[length:]
    return pieces


def unit(x, axis):
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, lambda K: K.reshape(len(K), -1).T),  # colour first
        (1, lambda K: K.transpose(3, 2, 1, 0).reshape(-1, len(K))),  # column before row
        (2, lambda tokens, end: tokens.argmax(axis=1)),  # only where the end is the largest id
        (2, lambda tokens, end: (tokens == end).cumsum(1).argmax(1)),  # the last end
        (2, lambda tokens, end: (tokens != end).sum(axis=1)),  # padding of another kind
        (3, greedy),
        (3, lambda text, ln_p, unknown: list(text)),
        (4, lambda w: unit(w.mean(axis=0), 1)),  # long vectors count more
        (4, lambda w: unit(w, 2).mean(axis=0)),  # shorter than 1
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
