"""Pieces by probability: all ways to cut a text, files that sentencepiece writes, damaged files."""

import io
import random
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from mmjax import formulas
from mmjax.modalities.character_map import CharacterMap
from mmjax.modalities.sentencepiece import Kind, UnigramVocabulary
from mmjax.modalities.siglip_tokens import SigLIPVocabulary, canonical
from mmjax.modalities.unigram import best_split

BOOK = Path(__file__).resolve().parents[2] / "book"


def draw_vocabulary(seed):
    """Log-probabilities of all single letters but one and of some longer strings."""
    draw = random.Random(seed)
    pieces = list("abc") + ["".join(draw.choices("abcd", k=draw.randint(2, 4))) for _ in range(25)]
    return {piece: -draw.uniform(0.5, 6) for piece in pieces}


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_all_ways_to_cut_is_found(seed):
    draw, ln_p = random.Random(seed), draw_vocabulary(seed)
    unknown = min(ln_p.values()) - 10
    for _ in range(20):
        text = "".join(draw.choices("abcd", k=draw.randint(1, 11)))
        pieces = best_split(text, ln_p, 4, unknown)
        _, total = formulas.best_split(text, ln_p, unknown)  # the sum, as orders of pieces tie
        assert "".join(pieces) == text and all(p in ln_p or len(p) == 1 for p in pieces)
        assert sum(ln_p.get(piece, unknown) for piece in pieces) == pytest.approx(total)


def test_a_rare_long_piece_loses_to_frequent_short_ones():
    ln_p = {"a": -1.0, "b": -1.0, "ab": -2.5, "bb": -1.5}
    assert best_split("abb", ln_p, 2, -20.0) == ["a", "bb"]
    assert best_split("ab", ln_p, 2, -20.0) == ["a", "b"]
    assert best_split("ab", ln_p | {"ab": -1.9}, 2, -20.0) == ["ab"]
    assert best_split("ab", ln_p | {"ab": -2.0}, 2, -20.0) == ["ab"]  # a tie: the longer piece
    assert best_split("", ln_p, 2, -20.0) == []
    # A tie in float32, where float64 would take two pieces.
    assert best_split("ab", {"a": -1.0, "b": -1e-9, "ab": -1.000000002}, 2, -20.0) == ["ab"]


SMALL = UnigramVocabulary(
    ("<pad>", "</s>", "<unk>", "▁a", "▁cat", "c", "at", "s", "▁"),
    (0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -2.5, -2.0, -3.0),
    (Kind.CONTROL, Kind.CONTROL, Kind.UNKNOWN, *[Kind.NORMAL] * 6),
)


def test_words_begin_with_a_space_and_unknown_runs_are_one_token():
    assert SMALL.normalise("  a  cat ") == "▁a▁cat"
    assert SMALL.token_ids("a cats") == [3, 4, 7]
    assert SMALL.token_ids("a qqq cat") == [3, 8, 2, 4]
    assert SMALL.token_ids("") == SMALL.token_ids(" ") == []
    assert SMALL.token_ids("</s><pad>") != [1, 0]  # what spells a control piece is text
    assert SMALL.join([3, 4, 7, 1]) == "a cats"


def test_an_unknown_character_is_worse_than_any_two_pieces_here():
    kinds = (Kind.UNKNOWN, *[Kind.NORMAL] * 4)
    scores = (0.0, -1.0, -8.0, -8.0, -1.0)
    ours = UnigramVocabulary(("<unk>", "ab", "a", "bc", "▁"), scores, kinds)
    assert ours.token_ids("abc") == [4, 2, 3]  # −16 and not −1 + (−8 − 10)


def test_a_map_by_hand_with_a_far_step():
    units = [0] * 512
    units[0] = 1 << 10 | 1 << 9  # the bytes of the first place lie 1 · 256 further
    units[256 ^ ord("a")] = ord("a") | 1 << 8 | 1 << 10  # a key ends; its number lies 1 further
    units[256 ^ ord("a") ^ 1] = 2
    assert CharacterMap(tuple(units), b"x\0yz\0")("abä a") == "yzbä yz"


def test_siglip_drops_punctuation_and_pads_with_ends():
    ours = SigLIPVocabulary(SMALL)
    assert canonical("  A_Photo, of\n\t a  CAT's?! ") == "aphoto of a cats"
    tokens, mask = ours.encode(["A cat!", "", "a cats cats"], 4)
    assert tokens.tolist() == [[3, 4, 1, 1], [1, 1, 1, 1], [3, 4, 7, 1]]
    assert mask.sum(1).tolist() == [3, 1, 4] and tokens.dtype == np.int32
    assert ours.decode(tokens[0]) == "a cat" and ours.size == 9
    with pytest.raises(ValueError, match="'length'.*at least 6 for 'a cats cats'"):
        ours.encode(["a cats cats"], 4, on_overflow="raise")
    with pytest.raises(ValueError, match="'length'.*at least 2"):
        ours.encode(["a"], 1)
    with pytest.raises(TypeError, match="'texts'"):
        ours.encode("a cat")


def corpus():
    lines = [line for page in sorted(BOOK.glob("*.md")) for line in page.read_text().splitlines()]
    return [line for line in lines if line.strip()][:2000]


def strange_texts():
    """Sentences, scripts, emoji, white space, and thousands of texts made of odd characters."""
    draw = random.Random(0)
    pool = (
        "abc de'sﬁß ΣİǅÅ 12³½Ⅷ一二\t\n\u3000\u200b\u200d!?<|>&amp;'\"llمرحباहिन्दी👍🏽é▁▁ ¨\x00\x85"
    )
    texts = ["", " ", "▁ ▁", "👩‍👩‍👧 emoji 🇩🇪 2024年 ½ ²", "  ΟΔΥΣΣΕΥΣ İstanbul ", "x" * 300]
    texts += ["".join(draw.choices(pool, k=draw.randint(0, 30))) for _ in range(2000)]
    known = [chr(c) for c in range(0x1FAFF) if unicodedata.category(chr(c)) != "Cs"]
    return texts + ["".join(draw.choices(known, k=10)) for _ in range(1000)] + corpus()[:500]


def train(path, **options):
    sentencepiece = pytest.importorskip("sentencepiece")
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_writer=file,
        model_type="unigram",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
        num_threads=1,
        **{"vocab_size": 700} | options,
    )
    path.write_bytes(file.getvalue())
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalization_rule_name": "nfkc_cf", "add_dummy_prefix": False},
        {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
        {"byte_fallback": True, "character_coverage": 0.98},
    ],
    ids=["published", "case folded", "as it is", "bytes"],
)
def test_sentencepiece_agrees(tmp_path, options):
    theirs = pytest.importorskip("sentencepiece")
    path = train(tmp_path / "x.model", **options)
    ours, theirs = UnigramVocabulary.from_file(path), theirs.SentencePieceProcessor(str(path))
    assert ours.size == theirs.vocab_size() and ours.unknown == 2
    for text in strange_texts():
        ids = ours.token_ids(text)
        assert ids == theirs.encode(text), text
        if ours.unknown not in ids and options.get("add_dummy_prefix", True):
            assert ours.join(ids) == theirs.decode(ids), text


def test_the_rows_of_transformers_are_ours(tmp_path):
    for name in ("sentencepiece", "google.protobuf"):
        pytest.importorskip(name)
    transformers = pytest.importorskip("transformers")
    path = train(tmp_path / "spiece.model")
    ours, theirs = SigLIPVocabulary.from_file(path), transformers.SiglipTokenizer(str(path))
    texts = strange_texts()
    expected = theirs(texts, padding="max_length", truncation=True, max_length=64)["input_ids"]
    for text, row, right in zip(texts, ours.encode(texts)[0].tolist(), expected, strict=True):
        assert row == right, text


def message(*fields):
    """A message from (number, bytes) and (number, whole number below 128)."""
    data = b""
    for number, value in fields:
        key, size = number * 8 + (2 if isinstance(value, bytes) else 0), b""
        if isinstance(value, bytes):
            size = bytes([len(value) % 128 + 128, len(value) // 128])
        data += bytes([key % 128 + 128, key // 128]) + size
        data += value if isinstance(value, bytes) else bytes([value])
    return data


def piece(text, score, kind=1):
    return message((1, text.encode())) + b"\x15" + struct.pack("<f", score) + message((3, kind))


PIECES = [(1, piece("</s>", 0, 3)), (1, piece("<unk>", 0, 2)), (1, piece("▁a", -1.5))]


def test_a_file_by_hand(tmp_path):
    path = tmp_path / "hand.model"
    path.write_bytes(message(*PIECES, (2, message((3, 1))), (3, message((3, 0), (4, 0)))))
    ours = UnigramVocabulary.from_file(path)
    assert ours.symbols == ("</s>", "<unk>", "▁a") and ours.scores == (0, 0, -1.5)
    assert not ours.leading_space and not ours.single_spaces and not ours.spell_bytes
    assert ours.token_ids(" a") == [2] and ours.token_ids("a") == [1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "symbols"),
        (b"no model at all", "cannot be used"),
        (message(*PIECES)[:-1], "ends behind"),
        (message(*PIECES, (2, message((3, 2)))), "unigram model"),
        (message(*PIECES, (2, message((24, 1)))), "spaces as ▁"),
        (message(*PIECES, (2, message((35, 1)))), "a piece for each byte"),
        (message(*PIECES, (1, piece("x", 0, 4))), "defined by the user"),
        (message(*PIECES, (1, piece("x", 0, 9))), "9"),
        (message(*PIECES, (1, piece("x", float("nan"), 1))), "finite numbers"),
        (b"\xff" * 100_000, "more than 64 bits"),
        (message(*PIECES[:2]), "ordinary piece"),
        (message(PIECES[0], PIECES[2]), "one unknown piece"),
        (message(*PIECES, (1, 3)), "int"),
        (message(*PIECES, (1, message((1, 3)))), "decode"),
        (message(*PIECES, (1, message((1, b"\xff")))), "utf-8"),
        (message(*PIECES, (3, message((2, b"12345")))), "character map"),
    ],
)
def test_a_file_that_is_no_unigram_model_is_named(tmp_path, content, problem):
    path = tmp_path / "other.model"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"other\.model: .*{problem}"):
        UnigramVocabulary.from_file(path)


def test_a_map_that_points_outside_is_an_error_and_so_is_half_a_character():
    with pytest.raises(ValueError, match="damaged character map"):
        CharacterMap((1 << 30,), b"")("a")
    with pytest.raises(ValueError, match="no UTF-8"):
        CharacterMap()("\ud83d")


def test_a_token_outside_the_vocabulary_is_named():
    pieces = UnigramVocabulary(("<unk>", "▁a"), (0.0, -1.0), (Kind.UNKNOWN, Kind.NORMAL))
    assert pieces.join([1, 1]) == "a a"
    for token in (-1, 2):
        with pytest.raises(ValueError, match=r"'token_ids': expected tokens from 0 to 1"):
            pieces.join([token])


def test_siglip_wants_its_end_token():
    other = UnigramVocabulary(("<unk>", "a"), (0.0, -1.0), (Kind.UNKNOWN, Kind.NORMAL))
    with pytest.raises(ValueError, match=r"'pieces'.*control piece '</s>'"):
        SigLIPVocabulary(other)
