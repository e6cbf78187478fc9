"""What a product's description says: some attributes by name, some vaguely, some not at all.

    [Colour] [Pattern] [Material] Noun

Colour, pattern and material are said with the probabilities of SAID, each on its own. The noun is
the category with probability EXACT; otherwise it is the word for its family, "accessory" for a
dress, a bag or a scarf, "furnishing" for a lamp, a cushion or a towel. No word is ever wrong. A
customer who searches by words says a wish in the same way.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from mmjax.checks import require
from mmjax.data.products.world import (
    ATTRIBUTES,
    CATEGORIES,
    COLOURS,
    FAMILIES,
    MATERIALS,
    PATTERNS,
    SHAPE,
    STATES,
    attributes_of,
    check_states,
)

SAID: Mapping[str, float] = {"colour": 0.5, "pattern": 0.5, "material": 0.8}
EXACT = 0.6
ALL_WORDS = (*COLOURS, *PATTERNS, *MATERIALS, *CATEGORIES, *FAMILIES)
_SENTENCE = re.compile(
    rf"(?:(?P<colour>{'|'.join(COLOURS)}) )?(?:(?P<pattern>{'|'.join(PATTERNS)}) )?"
    rf"(?:(?P<material>{'|'.join(MATERIALS)}) )?(?P<noun>{'|'.join(CATEGORIES + FAMILIES)})"
)


def describe_products(
    states: np.ndarray,
    *,
    seed: int | None = None,
    said: Mapping[str, float] = SAID,
    exact: float = EXACT,
) -> list[str]:
    """Descriptions of products; without a seed everything is said, by its exact word.

    states: int [N]. said: the probability that each of colour, pattern and material is said.
    Raises TypeError or ValueError for states that are none, ValueError for what is no probability.
    """
    states = check_states(states, "describe_products")
    _check(said, exact, "describe_products")
    rng = None if seed is None else np.random.default_rng(seed)
    chance = np.zeros((len(states), 4)) if rng is None else rng.random((len(states), 4))
    limits = [1.0, 1.0, 1.0] if rng is None else [said[name] for name in SAID]
    indices = np.stack(list(attributes_of(states).values()), axis=1)
    texts = []
    for (category, *others), draw in zip(indices.tolist(), chance.tolist(), strict=True):
        words = []
        for name, value, number, limit in zip(SAID, others, draw, limits, strict=False):
            if number < limit:
                words.append(ATTRIBUTES[name][value])
        by_name = rng is None or draw[3] < exact
        words.append(CATEGORIES[category] if by_name else FAMILIES[category // 3])
        texts.append(" ".join(words))
    return texts


def words_log_likelihood(
    texts: Sequence[str], *, said: Mapping[str, float] = SAID, exact: float = EXACT
) -> np.ndarray:
    """log p(text | state) for each text and state: float64 [N, 144], −∞ where impossible.

    A word that is said has its probability where it is true and 0 elsewhere; one that is left out
    has the same for all states. Raises ValueError for a text that is no such description.
    """
    _check(said, exact, "words_log_likelihood")
    tables = {text: _one(text, said, exact) for text in set(texts)}
    return np.stack([tables[text] for text in texts]) if len(texts) else np.zeros((0, STATES))


def _one(text: str, said: Mapping[str, float], exact: float) -> np.ndarray:
    match = _SENTENCE.fullmatch(text)
    require(match is not None, "words_log_likelihood", "texts", expected="descriptions", got=text)
    chance = np.ones(SHAPE)
    for axis, (name, values) in enumerate(ATTRIBUTES.items()):
        shape = [-1 if i == axis else 1 for i in range(len(SHAPE))]
        if name == "category":
            chance = chance * _noun(match["noun"], exact).reshape(shape)
        elif match[name] is None:
            chance = chance * (1 - said[name])
        else:
            true = np.array([value == match[name] for value in values], float)
            chance = chance * (said[name] * true).reshape(shape)
    with np.errstate(divide="ignore"):
        return np.log(chance.reshape(-1))


def _noun(noun: str, exact: float) -> np.ndarray:
    """p(noun | category), [6]."""
    if noun in CATEGORIES:
        return exact * np.array([name == noun for name in CATEGORIES], float)
    return (1 - exact) * np.repeat([family == noun for family in FAMILIES], 3).astype(float)


def _check(said: Mapping[str, float], exact: float, where: str) -> None:
    same = set(said) == set(SAID)
    require(same, where, "said", expected=str(tuple(SAID)), got=str(tuple(said)))
    for argument, value in [*(("said", v) for v in said.values()), ("exact", exact)]:
        require(0 <= value <= 1, where, argument, expected="probabilities", got=value)
