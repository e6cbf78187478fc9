"""CLIP's tokens: the rules on a small vocabulary, and the published one beside transformers."""

import gzip
import os
import random
import unicodedata
from pathlib import Path

import pytest

from mmjax.data.clip_vocabulary import NAME, SHA256, clip_vocabulary_file
from mmjax.data.download import digest
from mmjax.modalities.clip_tokens import END, MERGES, START, CLIPVocabulary, normalise, words

SMALL = CLIPVocabulary((("c", "a"), ("ca", "t</w>"), ("t", "h"), ("th", "e</w>")))
DATA = os.environ.get("MMJAX_DATA", "")
PUBLISHED = Path(DATA, "clip", NAME)
needs_data = pytest.mark.skipif(
    not DATA or not PUBLISHED.is_file(), reason="MMJAX_DATA holds no vocabulary of CLIP"
)


def spelled(text):
    return [SMALL.symbols[i] for i in SMALL.token_ids(text)]


def test_merges_are_applied_in_their_order_and_words_end():
    assert spelled("the cat") == ["the</w>", "cat</w>"]
    assert spelled("cats") == ["ca", "t", "s</w>"]
    assert spelled("é") == ["Ã", "©</w>"]  # two bytes
    assert SMALL.size == 512 + 4 + 2


def test_words_are_letters_single_digits_signs_and_contractions():
    assert words("it's 2024!!? don't") == ["it", "'s", "2", "0", "2", "4", "!!?", "don", "'t"]
    assert words("x²½ 一二 हिन्दी") == ["x", "²", "½", "一二", "ह", "ि", "न", "्", "द", "ी"]
    assert words("") == words(" \n") == []


def test_text_is_composed_lower_case_with_single_spaces():
    assert normalise("E\u0301  A\n\u3000b") == "é a b"
    assert normalise("ΣΑΣ İ") == "σασ i̇"  # character by character: no final sigma


def test_rows_are_start_text_end_and_padding():
    tokens, mask = SMALL.encode(["the cat", "", f"cat{END}cat"], 6)
    start, end = SMALL.symbols.index(START), SMALL.symbols.index(END)
    the, cat = SMALL.token_ids("the cat")
    assert tokens.tolist()[0] == [start, the, cat, end, end, end]
    assert mask.tolist()[0] == [True, True, True, True, False, False]
    assert mask.sum(1).tolist() == [4, 2, 5]
    assert tokens.tolist()[2] == [start, cat, end, cat, end, end]


def test_a_long_text_is_cut_or_raises():
    tokens, mask = SMALL.encode(["cat " * 50], 5)
    assert mask.all() and tokens[0, -1] == SMALL.symbols.index(END)
    with pytest.raises(ValueError, match="argument 'length'"):
        SMALL.encode(["cat " * 50], 5, on_overflow="raise")


def test_decoding_gives_the_words_back():
    assert SMALL.decode(SMALL.encode(["the cat é!"], 12)[0][0]) == "the cat é !"


def test_another_file_is_refused(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(gzip.compress(b"#version\na b\n"))
    with pytest.raises(ValueError, match="argument 'path'"):
        CLIPVocabulary.from_file(path)


def test_the_file_is_found_where_the_data_is(tmp_path, monkeypatch):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / NAME).write_bytes(b"x")
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path))
    assert clip_vocabulary_file() == tmp_path / "clip" / NAME


def strange_texts():
    """Sentences, scripts, emoji, white space, and thousands of texts made of odd characters."""
    draw = random.Random(0)
    texts = ["a photo of a cat", f"a{END}b <|ENDOFTEXT|> {START}", "ΟΔΥΣΣΕΥΣ İstanbul &amp;lt;"]
    texts += [
        "it's IT'S can'T 's 'sx ''s",
        "",
        "👩‍👩‍👧 emoji 🇩🇪 2024年 ½ ²",
        "x" * 300,
        "a\x85b \x1c\x1d",
    ]
    pool = "abc de'sﬁß ΣİǅÅ 12³½Ⅷ一二你好\t\n\u3000\u200b\u200d!?<|>&amp;'\"'llمرحباहिन्दी👍🏽é"
    texts += ["".join(draw.choices(pool, k=draw.randint(0, 30))) for _ in range(2000)]
    known = [chr(c) for c in range(32, 0x1FAFF) if unicodedata.category(chr(c))[0] not in "C"]
    return texts + ["".join(draw.choices(known, k=10)) for _ in range(1000)]


@needs_data
def test_the_published_vocabulary_gives_the_ids_of_transformers():
    transformers = pytest.importorskip("transformers")
    assert digest(PUBLISHED) == SHA256
    ours = CLIPVocabulary.from_file(PUBLISHED)
    assert ours.size == 49408 and len(ours.merges) == MERGES
    ids = {symbol: i for i, symbol in enumerate(ours.symbols)}
    theirs = transformers.CLIPTokenizer(vocab=ids, merges=list(ours.merges))
    texts = strange_texts()
    expected = theirs(texts, padding="max_length", truncation=True, max_length=77)
    tokens, mask = ours.encode(texts)
    for text, row, right in zip(texts, tokens.tolist(), expected["input_ids"], strict=True):
        assert row == right, text
    assert mask.astype(int).tolist() == expected["attention_mask"]


@needs_data
def test_known_ids_of_the_published_vocabulary():
    ours = CLIPVocabulary.from_file(PUBLISHED)
    assert ours.token_ids("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert (ours.symbols.index(START), ours.symbols.index(END)) == (49406, 49407)
