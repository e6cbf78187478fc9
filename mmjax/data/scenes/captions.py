"""What a scene says: a sentence from a small grammar, and the way back.

    Sentence -> Clause | Clause and Clause | Clause and Clause and Clause     from top to bottom
    Clause   -> a [Size] [Colour] Shape Motion Place
    Size     -> small | little | large | big            and so on, the words of WORDS
    Place    -> at the top | in the middle | at the bottom

Where an attribute has several words, each is as likely. A size or a colour is left out with
probability `omit`. With probability ε a word for a size, colour, shape or motion is replaced by one
drawn uniformly from all words for that attribute; places are never wrong.
"""

import re

import numpy as np

from mmjax.checks import require
from mmjax.data.scenes.world import ATTRIBUTES, Scenes

WORDS = {
    "size": (("small", "little"), ("large", "big")),
    "colour": (("red",), ("green",), ("blue",), ("yellow",)),
    "shape": (("circle", "disc"), ("square", "box"), ("triangle", "wedge")),
    "motion": (
        ("stays", "rests"),
        ("slides left", "drifts left"),
        ("slides right", "drifts right"),
        ("bounces", "jumps"),
        ("blinks", "flashes"),
    ),
}
"""The words for each value of each attribute, in the order of a clause."""

PLACES = ("at the top", "in the middle", "at the bottom")
OPTIONAL = ("size", "colour")

VALUE_OF = {name: {w: v for v, ws in enumerate(WORDS[name]) for w in ws} for name in WORDS}
"""For each attribute: the value that a word stands for."""


def _choices(name: str) -> str:
    return "|".join(VALUE_OF[name])


CLAUSE = re.compile(
    rf"a (?:(?P<size>{_choices('size')}) )?(?:(?P<colour>{_choices('colour')}) )?"
    rf"(?P<shape>{_choices('shape')}) (?P<motion>{_choices('motion')}) "
    rf"(?P<place>{'|'.join(PLACES)})"
)


def render_captions(
    scenes: Scenes, *, noise: float = 0.0, omit: float = 0.0, seed: int | None = None
) -> list[str]:
    """The captions of N scenes. Without a seed every value has its first word and none is left out.

    noise: ε, the probability that a word is replaced. omit: the probability that a size or a
    colour is not said.
    Raises ValueError for a probability outside [0, 1], or one above 0 without a seed.
    """
    for argument, value in (("noise", noise), ("omit", omit)):
        ok = 0 <= value <= 1
        require(ok, "render_captions", argument, expected="a probability", got=value)
        ok = value == 0 or seed is not None
        require(ok, "render_captions", "seed", expected=f"a seed for {argument}", got=seed)
    rng = None if seed is None else np.random.default_rng(seed)
    captions = []
    for i, lanes in enumerate(scenes.present):
        clauses = []
        for lane in np.flatnonzero(lanes):
            values = {name: int(getattr(scenes, name)[i, lane]) for name in WORDS}
            clauses.append(_clause(values, PLACES[lane], noise, omit, rng))
        captions.append(" and ".join(clauses))
    return captions


def _clause(values: dict[str, int], place: str, noise: float, omit: float, rng) -> str:
    words = ["a"]
    for name, value in values.items():
        options = WORDS[name][value]
        if rng is None:
            words.append(options[0])
            continue
        if name in OPTIONAL and rng.random() < omit:
            continue
        if rng.random() < noise:
            options = tuple(VALUE_OF[name])
        words.append(options[rng.integers(len(options))])
    return " ".join([*words, place])


def parse_caption(caption: str) -> dict[int, dict[str, str]]:
    """Reads a caption back: for each lane that is mentioned, its words by attribute.

    "a small disc blinks at the top" -> {0: {"size": "small", "shape": "disc", "motion": "blinks"}}
    Raises ValueError for a sentence outside the grammar, or a lane mentioned twice.
    """
    found: dict[int, dict[str, str]] = {}
    for clause in caption.split(" and "):
        match = CLAUSE.fullmatch(clause)
        expected = "a sentence of the grammar"
        require(match is not None, "parse_caption", "caption", expected=expected, got=repr(caption))
        words = {name: word for name, word in match.groupdict().items() if word is not None}
        lane = PLACES.index(words.pop("place"))
        once = lane not in found
        expected = "each place at most once"
        require(once, "parse_caption", "caption", expected=expected, got=repr(caption))
        found[lane] = words
    return found


def said(caption: str, attribute: str) -> dict[int, int]:
    """What a caption says of an attribute: {lane: value}, lanes of which it is not said left out.

    Raises ValueError for a sentence outside the grammar.
    """
    require(attribute in ATTRIBUTES, "said", "attribute", expected=str(list(WORDS)), got=attribute)
    lanes = parse_caption(caption).items()
    table = VALUE_OF[attribute]
    return {lane: table[words[attribute]] for lane, words in lanes if attribute in words}
