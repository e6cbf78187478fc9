"""Glyphs: what is drawn, where on the line, how it is cached, split, and bounded."""

import hashlib
import os
import subprocess
import sys
import unicodedata
from dataclasses import FrozenInstanceError
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.ft2font import FT2Font, LoadFlags

import mmjax
from mmjax.data import (
    EXTRA_FACES,
    FACES,
    Glyphs,
    ceiling,
    load_glyphs,
    split_glyphs,
    validation_split,
)
from mmjax.data.glyph_splits import GlyphSplit, look_alikes, names_of_seen_words, picture_ceiling
from mmjax.data.glyphs import _cache_name

SMALL = {"size": 8, "faces": ("cmr10",)}  # 62 pictures: quick to draw again


@pytest.fixture(scope="session")
def glyphs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMJAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield load_glyphs()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMJAX_CACHE", str(tmp_path))
    return tmp_path


def picture(glyphs, character, face="DejaVuSans"):
    label = glyphs.characters.index(character)
    chosen = (glyphs.labels == label) & (glyphs.faces == glyphs.face_names.index(face))
    (image,) = glyphs.images[chosen]
    return image


def ink_rows(image):
    rows = np.flatnonzero((image >= 64).any(axis=1))
    return rows[0], rows[-1]


def ink_columns(image):
    return ink_rows(image.T)


def same(left, right):
    arrays = all(
        np.array_equal(getattr(left, a), getattr(right, a)) for a in ("images", "labels", "faces")
    )
    return arrays and (left.names, left.face_names) == (right.names, right.face_names)


# What is drawn


def test_shapes_types_and_the_published_counts(glyphs):
    assert glyphs.images.shape == (45_648, 32, 32)
    assert len(glyphs.names) == len(glyphs.characters) == 6_494
    assert glyphs.face_names == FACES and len(FACES) == 12
    assert glyphs.labels.shape == glyphs.faces.shape == (45_648,)
    assert (glyphs.images.dtype, glyphs.labels.dtype, glyphs.faces.dtype) == (
        np.uint8,
        np.int32,
        np.int32,
    )
    assert set(glyphs.labels) == set(range(6_494)) and set(glyphs.faces) == set(range(12))
    pairs = set(zip(glyphs.labels.tolist(), glyphs.faces.tolist(), strict=True))
    assert len(pairs) == 45_648


def test_names_are_the_official_ones(glyphs):
    assert glyphs.names == tuple(unicodedata.name(c) for c in glyphs.characters)
    assert list(glyphs.characters) == sorted(set(glyphs.characters))
    assert not any(unicodedata.category(c)[0] in "CMZ" for c in glyphs.characters)


def test_almost_every_picture_shows_something(glyphs):
    empty = ~glyphs.images.any(axis=(1, 2))
    assert "BRAILLE PATTERN BLANK" in {glyphs.names[label] for label in glyphs.labels[empty]}
    assert empty.sum() < 30
    assert glyphs.images.max() == 255


def test_what_is_returned_cannot_be_changed(glyphs):
    with pytest.raises(FrozenInstanceError):
        glyphs.names = ()
    with pytest.raises(ValueError, match="read-only"):
        glyphs.images[0] = 0


# Where on the line


@pytest.mark.parametrize("face", FACES)
def test_letters_stand_on_one_baseline_in_one_size(glyphs, face):
    capital, small = ink_rows(picture(glyphs, "E", face)), ink_rows(picture(glyphs, "x", face))
    assert capital[1] == small[1] == 24  # the baseline is 25 rows from the top
    assert 4 <= small[0] - capital[0] <= 6  # a capital is taller
    assert abs(capital[0] - ink_rows(picture(glyphs, "E"))[0]) <= 1
    assert ink_rows(picture(glyphs, "g", face))[1] > 27


def test_the_place_on_the_line_is_kept(glyphs):
    assert ink_rows(picture(glyphs, "_"))[0] >= 27
    assert ink_rows(picture(glyphs, "."))[0] >= 20
    hyphen = ink_rows(picture(glyphs, "-"))
    assert 14 < hyphen[0] <= hyphen[1] < 20
    assert ink_rows(picture(glyphs, "'"))[1] < 16
    assert ink_rows(picture(glyphs, "²"))[1] < ink_rows(picture(glyphs, "₂"))[1] - 6


def test_the_place_beside_the_centre_is_kept(glyphs):
    left, right = ink_columns(picture(glyphs, "▌")), ink_columns(picture(glyphs, "▐"))
    assert left[1] < 16 <= right[0]
    dot_1, dot_4 = ink_columns(picture(glyphs, "⠁")), ink_columns(picture(glyphs, "⠈"))
    assert dot_1[1] < 16 < dot_4[0]
    centre = np.mean([ink_columns(picture(glyphs, c)) for c in "AHOTVWX"], axis=1)
    np.testing.assert_allclose(centre, 15.5, atol=1)


def test_large_glyphs_are_shrunk_and_not_cut(glyphs):
    image = picture(glyphs, "‱")  # 1.6 em wide, more than the box; all of it is there
    (top, bottom), (left, right) = ink_rows(image), ink_columns(image)
    font = FT2Font(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")))
    font.set_size(1000, 72)
    x_min, y_min, x_max, y_max = font.load_char(ord("‱"), flags=LoadFlags.NO_HINTING).bbox
    shape = (right - left + 1) / (bottom - top + 1)
    assert shape == pytest.approx((x_max - x_min) / (y_max - y_min), rel=0.1)
    double = ink_rows(picture(glyphs, "Ǘ"))  # two accents on a capital, still on the baseline
    assert double[1] == ink_rows(picture(glyphs, "U"))[1] and double[0] <= 2


def test_few_glyphs_are_too_large_for_the_box():
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    too_large = total = 0
    for face in FACES:
        font = FT2Font(str(folder / f"{face}.ttf"))
        font.set_size(26, 72)
        for code_point in font.get_charmap():
            character = chr(code_point)
            if unicodedata.category(character)[0] in "CMZ":
                continue
            box = font.load_char(code_point, flags=LoadFlags.NO_HINTING).bbox
            x_min, y_min, x_max, y_max = np.array(box) / 64
            too_large += bool(x_max - x_min > 32 or y_max > 25 or y_min < -7)
            total += 1
    assert 0.01 < too_large / total < 0.035


def test_faces_of_other_designers():
    extra = load_glyphs(faces=EXTRA_FACES, cache=False)
    assert extra.face_names == EXTRA_FACES
    assert {"cmr10", "STIXGeneral"} <= set(extra.face_names)
    roman = extra.face_names.index("cmr10")
    drawn = "".join(extra.characters[label] for label in extra.labels[extra.faces == roman])
    assert drawn == "".join(chr(i) for i in range(128) if chr(i).isalnum())
    assert ink_rows(picture(extra, "E", "cmr10"))[1] == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"faces": ("Helvetica",)},
            "argument 'faces': expected one of .*'DejaVuSans'.*'Helvetica'",
        ),
        ({"faces": ()}, "argument 'faces': expected at least one face"),
        ({"faces": ("cmr10", "cmr10")}, "argument 'faces': expected each face once"),
        ({"size": 4}, "argument 'size': expected at least 8 pixels, got 4"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_glyphs(**arguments)


# The cache


def test_drawn_once_then_read(cache, monkeypatch):
    first = load_glyphs(**SMALL)
    (path,) = cache.iterdir()
    assert unicodedata.unidata_version in path.name
    assert matplotlib.__version__ in path.name

    def drawn_again(*_):
        raise AssertionError("drawn although the cache was there")

    monkeypatch.setattr("mmjax.data.glyphs._render", drawn_again)
    assert same(first, load_glyphs(**SMALL))


def test_drawing_is_deterministic_and_can_do_without_the_cache(cache):
    left, right = (load_glyphs(**SMALL, cache=False) for _ in range(2))
    assert same(left, right)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "digest", "other format"])
def test_a_damaged_cache_is_built_again(cache, damage):
    first = load_glyphs(**SMALL)
    (path,) = cache.iterdir()
    intact = path.read_bytes()
    nonsense = b"not an archive"
    path.write_bytes(
        {
            "cut": intact[: len(intact) // 2],
            "flipped": intact[:-9] + bytes([intact[-9] ^ 1]) + intact[-8:],
            "empty": b"",
            "digest": bytes([intact[0] ^ 1]) + intact[1:],
            "other format": hashlib.sha256(nonsense).digest() + nonsense,
        }[damage]
    )
    assert same(first, load_glyphs(**SMALL))
    stored = path.read_bytes()
    assert hashlib.sha256(stored[32:]).digest() == stored[:32]
    assert len(list(cache.iterdir())) == 1


def test_the_file_is_whole_before_it_takes_its_place(cache, monkeypatch):
    replace, seen = os.replace, []

    def spy(source, target):
        stored = Path(source).read_bytes()
        assert hashlib.sha256(stored[32:]).digest() == stored[:32]
        assert not Path(target).exists()
        seen.append(target)
        replace(source, target)

    monkeypatch.setattr("os.replace", spy)
    load_glyphs(**SMALL)
    assert list(cache.iterdir()) == seen


def test_a_write_that_breaks_off_leaves_nothing_behind(cache, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.warns(UserWarning, match="disk full"):
        load_glyphs(**SMALL)
    assert not list(cache.iterdir())


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MMJAX_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="MMJAX_CACHE") as warnings:
        glyphs = load_glyphs(**SMALL)
    assert len(warnings) == 1 and warnings[0].filename == __file__
    assert same(glyphs, load_glyphs(**SMALL, cache=False))


def test_the_folder_follows_the_environment(tmp_path, monkeypatch):
    from mmjax.data.cache import cache_folder

    monkeypatch.setenv("MMJAX_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MMJAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mmjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "mmjax"


def test_processes_at_once_do_no_harm(cache):
    code = (
        "from mmjax.data import load_glyphs; print(load_glyphs(8, faces=('cmr10',)).images.sum())"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(mmjax.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-c", code]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert set(answers) == {str(load_glyphs(**SMALL).images.sum())}
    assert len(list(cache.iterdir())) == 1


# Splits


def test_the_parts_share_nothing(glyphs):
    split = split_glyphs(glyphs)
    parts = [split.train, split.unseen_characters, split.unseen_faces, split.unseen_both]
    together = np.concatenate(parts)
    assert len(np.unique(together)) == len(together)
    assert all(part.dtype == np.int32 and (np.diff(part) > 0).all() for part in parts)
    names = [set(glyphs.labels[part]) for part in parts]
    faces = [set(glyphs.faces[part]) for part in parts]
    assert not names[0] & names[1] and not names[0] & names[3] and names[2] <= names[0]
    assert not faces[0] & faces[2] and not faces[0] & faces[3] and faces[1] <= faces[0]
    assert len(together) == len(glyphs.labels)


def test_characters_of_held_out_faces_alone_are_in_no_part(glyphs):
    split = split_glyphs(glyphs, held_out_faces=("DejaVuSerif-Italic",))
    parts = [split.train, split.unseen_characters, split.unseen_faces, split.unseen_both]
    missing = np.setdiff1d(np.arange(len(glyphs.labels)), np.concatenate(parts))
    assert len(missing) > 0 and len(split.canonical) == 500
    assert {glyphs.names[label].split()[1] for label in glyphs.labels[missing]} == {"ITALIC"}
    assert not set(glyphs.labels[missing]) & set(glyphs.labels[split.train])


def test_five_hundred_characters_each_with_one_canonical_picture(glyphs):
    split = split_glyphs(glyphs)
    assert len(split.candidates) == len(split.canonical) == 500
    assert set(glyphs.labels[split.canonical]) == set(split.candidates)
    assert set(glyphs.labels[split.unseen_characters]) == set(split.candidates)
    assert set(split.canonical) <= set(split.unseen_characters)
    in_sans = set(glyphs.labels[glyphs.faces == 0]) & set(split.candidates)
    assert set(glyphs.labels[split.canonical][glyphs.faces[split.canonical] == 0]) == in_sans


def test_the_split_is_the_same_for_everyone(glyphs):
    split, again = split_glyphs(glyphs), split_glyphs(glyphs)
    for part in GlyphSplit.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(split, part), getattr(again, part))
    held_out = sorted(glyphs.names[label] for label in split.candidates)
    by_hand = sorted(glyphs.names, key=lambda n: hashlib.sha256(f"0 {n}".encode()).hexdigest())
    assert held_out == sorted(by_hand[:500])
    assert set(split_glyphs(glyphs, held_out_faces=()).candidates) == set(split.candidates)
    assert set(split_glyphs(glyphs, seed=1).candidates) != set(split.candidates)


def test_a_recipe_is_chosen_without_a_look_at_the_test_characters(glyphs):
    """No part of the validation split shows one; its own 500 are trained on only after that."""
    split, validation = split_glyphs(glyphs), validation_split(glyphs)
    tested = set(split.candidates)
    for part in ("train", "unseen_characters", "unseen_faces", "unseen_both", "canonical"):
        assert not tested & set(glyphs.labels[getattr(validation, part)]), part
    assert len(validation.candidates) == 500
    trained = set(glyphs.labels[validation.train])
    assert not trained & set(validation.candidates)
    assert trained | set(validation.candidates) == set(glyphs.labels[split.train])
    assert len(validation_split(glyphs, characters=7).candidates) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"held_out_faces": ("Arial",)}, "argument 'held_out_faces': expected one of"),
        ({"held_out_faces": FACES}, "argument 'held_out_faces': expected a face left"),
        ({"held_out_characters": 0}, "argument 'held_out_characters': expected between 1 and"),
        ({"held_out_characters": 10_000}, "argument 'held_out_characters'.*got 10000"),
        ({"reserved_characters": -1}, "argument 'reserved_characters'.*between 0 and.*got -1"),
        ({"reserved_characters": 6_494}, "argument 'reserved_characters'.*got 6494"),
    ],
)
def test_impossible_splits_are_refused(glyphs, arguments, message):
    with pytest.raises(ValueError, match=message):
        split_glyphs(glyphs, **arguments)


# The ceiling


def made_up(pictures, labels, names):
    """Glyphs in one face, with one grey level a picture."""
    images = np.array(pictures, np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    labels = np.array(labels, np.int32)
    return Glyphs(images, labels, 0 * labels, names, tuple("abcdefgh"[: len(names)]), ("face",))


def test_the_ceiling_of_a_case_worked_out_by_hand():
    names = ("SMALL A", "BIG A", "SMALL B", "TINY B")
    glyphs = made_up([7, 7, 7, 7, 8, 9], [0, 0, 1, 2, 1, 3], names)
    queries = np.arange(6)
    # Picture 7 shows labels 0, 0, 1, 2: at best 2 of 4 with one guess, 3 with two, 4 with three.
    assert picture_ceiling(glyphs, queries, 1) == pytest.approx(4 / 6)
    assert picture_ceiling(glyphs, queries, 2) == pytest.approx(5 / 6)
    assert picture_ceiling(glyphs, queries, 3) == 1
    assert picture_ceiling(glyphs, queries, 1, np.array([1, 3])) == pytest.approx(3 / 6)
    assert look_alikes(glyphs, queries) == (("SMALL A", "BIG A", "SMALL B"),)
    candidates = np.array([2, 3], np.int32)
    none = np.array([], np.int32)
    split = GlyphSplit(np.array([0, 1, 2, 4]), np.array([3, 5]), none, none, none, candidates)
    # Trained on SMALL A, BIG A: neither B nor TINY was seen.
    assert names_of_seen_words(glyphs, split).tolist() == [False, False]
    with pytest.raises(ValueError, match="argument 'queries'"):
        picture_ceiling(glyphs, none)


def test_the_ceiling_of_the_real_split(glyphs):
    split = split_glyphs(glyphs)
    best = ceiling(glyphs, split)
    assert 0.98 < best.top_1 < 1 and 0.98 < best.canonical_top_1 < 1
    assert best.top_10 == best.canonical_top_10 == 1
    assert best.names_of_seen_words == 430
    assert best.canonical_seen_words_top_1 <= 430 / 500 and best.seen_words_top_1 < best.top_1
    assert ("CYRILLIC CAPITAL LETTER TE", "LISU LETTER TA") in best.look_alikes


def test_letters_of_three_scripts_share_one_picture(glyphs):
    latin, greek, cyrillic = (picture(glyphs, c) for c in "AΑА")
    assert np.array_equal(latin, greek) and np.array_equal(latin, cyrillic)


def test_the_numbers_that_section_3_4_states(glyphs):
    split = split_glyphs(glyphs)
    counts = np.bincount(glyphs.labels[split.train])
    assert (counts.sum(), (counts > 0).sum(), len(split.candidates)) == (39_665, 5_994, 500)
    assert round(256 * 255 / 2 * (counts * (counts - 1)).sum() / (39_665 * 39_664), 1) == 6.3
    alike = ceiling(glyphs, split).look_alikes
    assert ("LATIN CAPITAL LETTER P", "MATHEMATICAL BOLD CAPITAL RHO") in alike


def test_any_choice_of_faces_has_a_file_name_that_others_may_read(cache):
    load_glyphs(size=8, faces=("cmr10", "cmb10"))
    (stored,) = cache.iterdir()
    assert stored.stat().st_mode & 0o777 == 0o644
    assert len(_cache_name(32, FACES + EXTRA_FACES)) < 120
    assert _cache_name(32, FACES[::-1]) != _cache_name(32, FACES)
