"""What a shop sells and what a customer wants: the part of the generator that nobody sees.

A product has four attributes, each uniform and independent of the others:

    s = (category, colour, pattern, material),   p(s) = 1/6 · 1/4 · 1/2 · 1/3 = 1/144

Its picture (`pictures`) and its description (`words`) each tell a part of them. A customer looks
for a wish w, which is such a state too, and is pleased with a product by its grade:

    r(w, s) = 0 for another category, else 1 + the number of equal colour, pattern, material
    G(w, s) = 2^r − 1

There are few states, so all that Bayes' rule asks for can be summed up exactly.
"""

from collections.abc import Mapping

import numpy as np

from mmjax.checks import require, require_type

CATEGORIES = ("dress", "bag", "scarf", "lamp", "cushion", "towel")
FAMILIES = ("accessory", "furnishing")
COLOURS = ("red", "orange", "blue", "violet")
PATTERNS = ("plain", "striped")
MATERIALS = ("cotton", "wool", "silk")
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "category": CATEGORIES,
    "colour": COLOURS,
    "pattern": PATTERNS,
    "material": MATERIALS,
}
SHAPE = tuple(len(values) for values in ATTRIBUTES.values())
"""The number of values of each attribute: (6, 4, 2, 3)."""
STATES = int(np.prod(SHAPE))
"""144: a state is one number, counted in the order of ATTRIBUTES, the material fastest."""


def sample_states(count: int, *, seed: int) -> np.ndarray:
    """`count` states from the uniform prior, int [count]; the same seed gives the same ones.

    Raises ValueError for a count below 1.
    """
    require(count >= 1, "sample_states", "count", expected="at least 1", got=count)
    return np.random.default_rng(seed).integers(STATES, size=count)


def attributes_of(states: np.ndarray) -> dict[str, np.ndarray]:
    """States int [...] → the index of each attribute's value, by name, int [...].

    Raises TypeError for other numbers, ValueError for a state outside 0 to 143.
    """
    states = check_states(states, "attributes_of")
    return dict(zip(ATTRIBUTES, np.unravel_index(states, SHAPE), strict=True))


def state_of(**attributes: np.ndarray) -> np.ndarray:
    """The way back: indices category=, colour=, pattern=, material= → states.

    Raises ValueError for other names or an index that is out of range.
    """
    where, names = "state_of", tuple(ATTRIBUTES)
    same = set(attributes) == set(names)
    require(same, where, "attributes", expected=str(names), got=str(tuple(attributes)))
    values = [np.asarray(attributes[name]) for name in names]
    for name, value, size in zip(names, values, SHAPE, strict=True):
        inside = value.size == 0 or (value.min() >= 0 and value.max() < size)
        require(inside, where, name, expected=f"from 0 to {size - 1}", got=value)
    return np.ravel_multi_index(values, SHAPE)


def check_states(states: np.ndarray, where: str, argument: str = "states") -> np.ndarray:
    """States as an array of whole numbers from 0 to 143; raises as `attributes_of` does."""
    states = np.asarray(states)
    is_whole = np.issubdtype(states.dtype, np.integer)
    require_type(is_whole, where, argument, expected="whole numbers", got=states)
    inside = states.size == 0 or (states.min() >= 0 and states.max() < STATES)
    require(inside, where, argument, expected=f"from 0 to {STATES - 1}", got=states)
    return states


def grades() -> np.ndarray:
    """r(w, s) for every wish and every state: int [144, 144] with values from 0 to 4."""
    values = list(attributes_of(np.arange(STATES)).values())
    same = [value[:, None] == value[None, :] for value in values]
    return same[0] * (1 + sum(s.astype(int) for s in same[1:]))


def gains() -> np.ndarray:
    """G(w, s) = 2^r − 1, float64 [144, 144]: 0 for another category, then 1, 3, 7, 15."""
    return 2.0 ** grades() - 1


def buy(wishes: np.ndarray, *, seed: int) -> np.ndarray:
    """What customers with these wishes buy: states with p(s | w) ∝ p(s) G(w, s).

    wishes: int [N]. Returns int [N]. Raises as `attributes_of` does.
    """
    wishes = check_states(wishes, "buy", "wishes")
    below = np.cumsum(gains(), axis=1)  # the prior is uniform
    draw = np.random.default_rng(seed).random(len(wishes)) * below[0, -1]
    return (below[wishes] <= draw[:, None]).sum(axis=1)
