"""The exercises of section 2.1: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {1: "my_frame_mask", 2: "my_join", 3: "my_filter", 4: "my_untubelets"}


@pytest.fixture
def notebook(exercises):
    return exercises("2_1_modalities", "section_2_1")


def begins_inside(lengths, samples, length, hop):
    starts = np.arange(1 + (samples - length) // hop) * hop
    return starts[None, :] < lengths[:, None]


def joins_again(parts, pair):
    """Takes a part that was just joined for the left half of the next pair."""
    hits = [i for i in range(len(parts) - 1) if tuple(parts[i : i + 2]) == pair]
    gone = {i + 1 for i in hits}
    return tuple(
        "".join(pair) if i in hits else part for i, part in enumerate(parts) if i not in gone
    )


def without_norm(frequencies, low, centre, high):
    rise, fall = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    return np.maximum(0, np.minimum(rise, fall))


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, begins_inside),
        (1, lambda lengths, *_: np.arange(5)[None] < lengths[:, None]),  # samples, not frames
        (2, joins_again),
        (2, lambda parts, pair: tuple("".join(parts).replace("".join(pair), "|"))),
        (3, without_norm),
        (3, lambda f, low, centre, high: without_norm(f, low, centre, high) / (high - low)),
        (4, lambda tokens, frames, side, shape: tokens.reshape(shape)),  # no transposition
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
