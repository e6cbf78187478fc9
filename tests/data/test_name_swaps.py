"""One wrong word: neighbours differ in one word, and swaps are names of characters."""

from types import SimpleNamespace

import numpy as np
import pytest

from mmjax.data.name_swaps import latin_letters, one_word_apart, swap_one_word

NAMES = (
    "LATIN SMALL LETTER A",
    "LATIN CAPITAL LETTER A",
    "LATIN SMALL LETTER A WITH ACUTE",
    "LATIN SMALL LETTER A WITH GRAVE",
    "LATIN SMALL LETTER E WITH GRAVE",
    "LATIN SMALL LETTER TURNED A",
    "GREEK SMALL LETTER ALPHA",
    "LATIN SMALL LETTER O WITH DIAERESIS AND MACRON",
)
GLYPHS = SimpleNamespace(names=NAMES)


def test_only_plain_latin_letters_and_their_marked_forms_are_taken():
    assert latin_letters(GLYPHS).tolist() == [0, 1, 2, 3, 4, 7]


def test_neighbours_differ_in_exactly_one_word():
    found = one_word_apart(GLYPHS, latin_letters(GLYPHS))
    assert found == {0: {1: [1]}, 1: {1: [0]}, 2: {5: [3]}, 3: {5: [2], 3: [4]}, 4: {3: [3]}}


def test_swaps_are_neighbours_and_places_are_drawn_first():
    neighbours = one_word_apart(GLYPHS, latin_letters(GLYPHS))
    labels = [3] * 400
    false, places = swap_one_word(labels, neighbours, np.random.default_rng(0))
    assert {(int(f), int(p)) for f, p in zip(false, places, strict=True)} == {(2, 5), (4, 3)}
    assert 150 < (places == 5).sum() < 250
    again = swap_one_word(labels, neighbours, np.random.default_rng(0))
    np.testing.assert_array_equal(false, again[0])


def test_a_label_without_a_neighbour_is_named():
    with pytest.raises(ValueError, match="argument 'labels'.*got 7"):
        swap_one_word([7], {0: {1: [1]}}, np.random.default_rng(0))
