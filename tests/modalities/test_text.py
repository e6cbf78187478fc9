"""Vocabularies: there and back, what is unknown, what does not fit."""

import time
import unicodedata
from collections import Counter

import numpy as np
import pytest

from mmjax.modalities import (
    END,
    PAD,
    START,
    UNKNOWN,
    BytePairVocabulary,
    ByteVocabulary,
    Vocabulary,
    WordVocabulary,
)

TEXTS = ["LATIN SMALL LETTER O", "LATIN SMALL LETTER O WITH STROKE", "BRAILLE PATTERN DOTS-12"]


def vocabularies():
    return [
        WordVocabulary.from_texts(TEXTS),
        ByteVocabulary(),
        BytePairVocabulary.train(TEXTS, 20),
    ]


@pytest.fixture(params=vocabularies(), ids=lambda v: type(v).__name__)
def vocabulary(request):
    return request.param


def names(count):
    """The first `count` names of Unicode: real text that is always there."""
    found = (unicodedata.name(chr(i), "") for i in range(0x21, 0x3000))
    return [name for name in found if name][:count]


# All vocabularies


def test_there_and_back(vocabulary):
    tokens, mask = vocabulary.encode(TEXTS, 40)
    assert tokens.shape == mask.shape == (3, 40)
    assert (tokens.dtype, mask.dtype) == (np.int32, bool)
    assert vocabulary.decode(tokens) == TEXTS


def test_a_row_is_start_text_end_padding(vocabulary):
    tokens, mask = vocabulary.encode(TEXTS, 40)
    for row, real, text in zip(tokens, mask, TEXTS, strict=True):
        own = vocabulary.token_ids(text)
        assert row.tolist() == [START, *own, END] + [PAD] * (38 - len(own))
        assert real.sum() == len(own) + 2 and real[: len(own) + 2].all()
        assert min(own) > UNKNOWN


def test_every_token_has_a_name(vocabulary):
    assert vocabulary.symbols[:4] == ("<pad>", "<start>", "<end>", "<unknown>")
    assert len(set(vocabulary.symbols)) == len(vocabulary.symbols) == vocabulary.size


def test_the_longest_text_just_fits(vocabulary):
    length = vocabulary.longest(TEXTS)
    assert vocabulary.encode(TEXTS, length)[1].all(axis=1).any()
    with pytest.raises(ValueError, match=f"argument 'length': expected at least {length} for"):
        vocabulary.encode(TEXTS, length - 1)


def test_truncation_is_asked_for_and_keeps_the_end(vocabulary):
    whole, _ = vocabulary.encode(TEXTS, 40)
    short, mask = vocabulary.encode(TEXTS, 5, on_overflow="truncate")
    np.testing.assert_array_equal(short[:, :4], whole[:, :4])
    assert (short[:, 4] == END).all() and mask.all()


def test_an_empty_text_is_start_and_end(vocabulary):
    tokens, mask = vocabulary.encode([""], 3)
    assert tokens.tolist() == [[START, END, PAD]] and mask.tolist() == [[True, True, False]]
    assert vocabulary.decode(tokens) == [""]
    assert vocabulary.longest([""]) == 3


def test_a_text_cannot_write_special_tokens(vocabulary):
    ids = vocabulary.token_ids("<end> <pad> <start>")
    assert not {PAD, START, END} & set(ids)


def test_what_follows_the_end_is_not_read(vocabulary):
    tokens, _ = vocabulary.encode(TEXTS[:1], 40)
    tokens[0, -3:] = tokens[0, 1]
    assert vocabulary.decode(tokens) == TEXTS[:1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((["A"], 2), ValueError, "encode: argument 'length': expected at least 3, got 2"),
        (([], 9), ValueError, "encode: argument 'texts': expected at least one text"),
        (("A", 9), TypeError, "encode: argument 'texts': expected a sequence of texts, got 'A'"),
        ((["A", 7], 9), TypeError, "encode: argument 'texts': expected texts only, got 7"),
    ],
)
def test_wrong_texts_are_named(vocabulary, arguments, error, message):
    with pytest.raises(error, match=message):
        vocabulary.encode(*arguments)


def test_an_unknown_way_to_overflow_is_named(vocabulary):
    with pytest.raises(ValueError, match="argument 'on_overflow': expected one of 'raise'"):
        vocabulary.encode(TEXTS, 9, on_overflow="cut")


def test_wrong_tokens_are_named(vocabulary):
    for outside in (-1, vocabulary.size):
        with pytest.raises(ValueError, match=rf"tokens from 0 to .*got \[{outside}\]"):
            vocabulary.decode(np.array([[outside]]))
    with pytest.raises(ValueError, match=r"shape \[B, T\], got int32\[3\]"):
        vocabulary.decode(np.zeros(3, np.int32))
    with pytest.raises(TypeError, match="whole numbers"):
        vocabulary.decode(np.zeros((1, 3)))


def test_the_interface_alone_is_no_vocabulary():
    with pytest.raises(TypeError, match="abstract"):
        Vocabulary()


# Words


def test_words_are_counted_and_sorted():
    vocabulary = WordVocabulary.from_texts(["b a c", "c  b", "c\td"])
    assert vocabulary.symbols[4:] == ("c", "b", "a", "d")
    assert WordVocabulary.from_texts(["b a c", "c b", "c d"], min_count=2).symbols[4:] == ("c", "b")
    with pytest.raises(ValueError, match="argument 'min_count': expected at least 1, got 0"):
        WordVocabulary.from_texts(["a"], min_count=0)


def test_a_new_word_is_unknown():
    vocabulary = WordVocabulary.from_texts(["a cat"])
    tokens, mask = vocabulary.encode(["a dog"], 5)
    assert tokens[0, :4].tolist() == [START, vocabulary.symbols.index("a"), UNKNOWN, END]
    assert mask.tolist() == [[True, True, True, True, False]]
    assert vocabulary.decode(tokens) == ["a <unknown>"]


def test_a_special_name_among_the_words_adds_no_token():
    assert WordVocabulary.from_texts(["<end> a"]).symbols[4:] == ("a",)


# Bytes


def test_bytes_know_every_text():
    vocabulary = ByteVocabulary()
    texts = ["naïve 汉字 😴", "a\nb\x00"]
    tokens, _ = vocabulary.encode(texts, vocabulary.longest(texts))
    assert vocabulary.decode(tokens) == texts
    assert vocabulary.size == 260
    assert vocabulary.decode([[START, 4 + 0xFF, UNKNOWN, END]]) == ["\ufffd"]


# Byte pairs


def slow_training(texts, merges):
    """The algorithm as it is printed in the paper: count everything again at each step.

    Returns the merges and how the words of the texts are split in the end.
    """
    words = Counter(tuple(word) for text in texts for word in text.replace(" ", "\n ").split("\n"))
    learned = []
    for _ in range(merges):
        counts = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:], strict=False):
                counts[pair] += count
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        learned.append(best)
        merged = Counter()
        for word, count in words.items():
            text, i, new = word, 0, []
            while i < len(text):
                joined = text[i : i + 2] == best
                new.append("".join(text[i : i + 2]) if joined else text[i])
                i += 1 + joined
            merged[tuple(new)] += count
        words = merged
    return tuple(learned), set(words)


def test_training_and_splitting_are_those_of_the_slow_algorithm():
    letters = [name for name in names(400) if name.replace(" ", "").isalpha()]
    assert len(letters) > 300
    vocabulary = BytePairVocabulary.train(letters, 150)
    merges, splits = slow_training(letters, 150)
    assert vocabulary.merges == merges
    assert {tuple(vocabulary.parts("".join(split))) for split in splits} == splits


def test_the_first_merges_of_a_small_text():
    vocabulary = BytePairVocabulary.train(["low low low lower"], 4)
    # "lo" and "ow" occur 4 times; "lo" is first in the alphabet. " low" occurs 3 times.
    assert vocabulary.merges == (("l", "o"), ("lo", "w"), (" ", "low"))
    assert vocabulary.parts("low lower") == ["low", " low", "e", "r"]


def test_repeated_letters_are_merged_from_the_left():
    assert BytePairVocabulary.train(["aaa aaa"], 1).parts("aaaaa") == ["aa", "aa", "a"]


def test_a_new_word_is_spelled_from_known_parts():
    vocabulary = BytePairVocabulary.train(TEXTS * 2, 100)
    parts = vocabulary.parts("LATIN LETTER TOTAL 21-12")
    assert parts[:2] == ["LATIN", " LETTER"]
    assert "".join(parts) == "LATIN LETTER TOTAL 21-12"
    assert parts[-5:] == ["2", "1", "-", "1", "2"]  # digits stay alone
    assert UNKNOWN not in vocabulary.token_ids("LATIN LETTER TOTAL 21-12")


def test_a_new_character_is_unknown():
    vocabulary = BytePairVocabulary.train(["abab"], 3)
    assert vocabulary.token_ids("aéb").count(UNKNOWN) == 1
    assert vocabulary.decode(vocabulary.encode(["aéb"], 9)[0]) == ["a<unknown>b"]


def test_white_space_and_marks_come_back_exactly():
    vocabulary = BytePairVocabulary.train([" two  spaces\n(and) more-more "], 9)
    texts = ["  a (nd)\n", "more  -spaces "]
    assert vocabulary.decode(vocabulary.encode(texts, 40)[0]) == texts


def test_no_merges_means_characters():
    vocabulary = BytePairVocabulary.train(["abc"], 0)
    assert vocabulary.symbols[4:] == ("a", "b", "c")
    with pytest.raises(ValueError, match="argument 'merges': expected >= 0, got -1"):
        BytePairVocabulary.train(["abc"], -1)


def test_training_and_encoding_thousands_of_names_is_quick():
    texts = names(6_000)
    assert len(texts) == 6_000
    start = time.perf_counter()
    vocabulary = BytePairVocabulary.train(texts, 1_000)
    tokens, _ = vocabulary.encode(texts, vocabulary.longest(texts))
    assert time.perf_counter() - start < 10  # 1 s on an idle machine
    assert vocabulary.size > 1_000
    assert vocabulary.decode(tokens) == texts
