"""A question about each scene, with its answer: six kinds, answers of one or two words."""

from typing import NamedTuple

import numpy as np

from mmjax.data.scenes.world import ATTRIBUTES, COLOURS, LANES, SHAPES, Scenes

KINDS = ("count", "colour", "shape", "size", "motion", "exists")
NUMBERS = ("one", "two", "three")
ANSWERS = (*NUMBERS, *(v for values in ATTRIBUTES.values() for v in values), "yes", "no")
"""Every answer there is."""


class Question(NamedTuple):
    """A question, its answer and its kind. `answer` is one of ANSWERS, `kind` one of KINDS."""

    text: str
    answer: str
    kind: str


def ask_questions(scenes: Scenes, *, seed: int) -> list[Question]:
    """One question a scene. The kinds are equally likely; so are the objects that may be asked for.

    "is there a …" has the answer yes in about half of the scenes: else nobody would have to look.
    """
    rng = np.random.default_rng(seed)
    return [_ask(scenes, i, KINDS[rng.integers(len(KINDS))], rng) for i in range(len(scenes))]


def _ask(scenes: Scenes, i: int, kind: str, rng) -> Question:
    lanes = np.flatnonzero(scenes.present[i])
    if kind == "count":
        return Question("how many shapes are there", NUMBERS[len(lanes) - 1], kind)
    if kind == "exists":
        return _exists(scenes, i, lanes, rng)
    lane = int(rng.choice(lanes))
    place = f"in the {LANES[lane]}" if LANES[lane] == "middle" else f"at the {LANES[lane]}"
    answer = ATTRIBUTES[kind][getattr(scenes, kind)[i, lane]]
    asked = {
        "colour": f"what colour is the shape {place}",
        "shape": f"what shape is {place}",
        "size": f"how large is the shape {place}",
        "motion": f"what does the shape {place} do",
    }
    return Question(asked[kind], answer, kind)


def _exists(scenes: Scenes, i: int, lanes: np.ndarray, rng) -> Question:
    there = {(int(scenes.colour[i, k]), int(scenes.shape[i, k])) for k in lanes}
    yes = rng.random() < 0.5
    pairs = [(c, s) for c in range(len(COLOURS)) for s in range(len(SHAPES))]
    options = [pair for pair in pairs if (pair in there) == yes]
    colour, shape = options[rng.integers(len(options))]
    text = f"is there a {COLOURS[colour]} {SHAPES[shape]}"
    return Question(text, "yes" if yes else "no", "exists")
