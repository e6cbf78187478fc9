"""One wrong word: a picture, and a name in which one word has been swapped.

Names of glyphs are compositional, so two of them often differ in one word only: LATIN SMALL LETTER
A WITH GRAVE, LATIN SMALL LETTER A WITH ACUTE. Beside the picture of one, the other is a name with
one wrong word. Which word is wrong can be seen only by comparing the words with the picture: every
false name is itself the name of a character.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from mmjax.checks import require
from mmjax.data.glyphs import Glyphs

_LETTER = re.compile(r"LATIN (SMALL|CAPITAL) LETTER [A-Z]( WITH [A-Z ]+)?")

Neighbours = dict[int, dict[int, list[int]]]


def latin_letters(glyphs: Glyphs) -> np.ndarray:
    """Labels int32, ascending, of LATIN SMALL|CAPITAL LETTER A … Z, with or without marks."""
    found = [label for label, name in enumerate(glyphs.names) if _LETTER.fullmatch(name)]
    return np.array(found, np.int32)


def one_word_apart(glyphs: Glyphs, labels: Sequence[int]) -> Neighbours:
    """For each label, the place of a word → the labels whose names differ in that word only.

    Only `labels` are compared; one without such a neighbour is left out. Places count from 0.
    """
    groups: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for label in labels:
        words = glyphs.names[label].split()
        for place in range(len(words)):
            groups[(*words[:place], "", *words[place + 1 :])].append(int(label))
    found: defaultdict[int, dict[int, list[int]]] = defaultdict(dict)
    for words, group in groups.items():
        for label in group:
            others = [other for other in group if other != label]
            if others:
                found[label][words.index("")] = others
    return dict(found)


def swap_one_word(
    labels: Sequence[int], neighbours: Neighbours, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """For each label a label one word away, and the place of that word; int32 [N] both.

    The place is drawn first, uniformly among those that can be swapped, then the word. Raises
    ValueError for a label without neighbours.
    """
    false, places = np.empty((2, len(labels)), np.int32)
    for i, label in enumerate(labels):
        known = int(label) in neighbours
        expected = "labels with a neighbour one word away"
        require(known, "swap_one_word", "labels", expected=expected, got=int(label))
        options = neighbours[int(label)]
        places[i] = rng.choice(list(options))
        false[i] = rng.choice(options[int(places[i])])
    return false, places
