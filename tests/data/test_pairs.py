"""A folder of your own: pictures with captions, their split and their batches."""

import hashlib
import itertools
import json
import warnings

import numpy as np
import pytest
from PIL import Image

from mmjax.data.errors import DataError
from mmjax.data.pairs import load_pairs, pair_batches, split_pairs

NUMBER = 60


def colour(i):
    return (i, 255 - i, 2 * i)


@pytest.fixture
def folder(tmp_path):
    """60 pictures of one colour each, two captions a picture, in an order that mixes them."""
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    rows = []
    for i in range(NUMBER):
        name = f"sub/{i}.png" if i % 2 else f"{i}.png"
        Image.new("RGB", (5 + i, 7), colour(i)).save(folder / name)
        rows.append((name, f"first of {i}"))
    rows += [(name, f"second of {i}") for i, (name, _) in enumerate(rows)]
    write(folder, rows)
    return folder


def write(folder, rows):
    lines = ["image,caption", *(f'{name},"{text}"' for name, text in rows)]
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")


def number(text):
    return int(text.split()[-1])


def test_every_caption_finds_its_picture(folder):
    pairs = load_pairs(folder, size=(3, 5))
    assert pairs.images.shape == (NUMBER, 3, 5, 3) and pairs.images.dtype == np.uint8
    assert len(pairs.captions) == 2 * NUMBER and pairs.image_of.dtype == np.int32
    assert pairs.captions[:2] == ("first of 0", "first of 1") and pairs.broken == ()
    assert pairs.names[:3] == ("0.png", "sub/1.png", "2.png")
    for text, image in zip(pairs.captions, pairs.image_of, strict=True):
        assert (pairs.images[image] == colour(number(text))).all()
    assert not pairs.images.flags.writeable


def test_one_picture_in_several_spellings_is_one(folder):
    write(folder, [("sub/1.png", "a"), ("./sub//1.png", "b"), ("sub\\1.png", "c")])
    pairs = load_pairs(str(folder), size=4)
    assert pairs.names == ("sub/1.png",) and pairs.image_of.tolist() == [0, 0, 0]


def test_captions_of_coco_beside_the_folder(folder):
    (folder.parent / "annotations").mkdir()
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in (4, 2)],
        "annotations": [{"image_id": i, "caption": f"of {i}"} for i in (2, 4, 2)],
    }
    path = folder.parent / "annotations" / "captions_val.json"
    path.write_text(json.dumps(content))
    for captions in (path, "../annotations/captions_val.json"):
        pairs = load_pairs(folder, captions, size=4)
        assert (pairs.names, pairs.captions) == (("2.png", "4.png"), ("of 2", "of 4", "of 2"))


@pytest.fixture
def broken(folder):
    (folder / "4.png").write_bytes(b"")
    (folder / "sub" / "7.png").write_bytes((folder / "sub" / "7.png").read_bytes()[:40])
    (folder / "8.png").unlink()
    return folder


def test_broken_pictures_are_all_named_in_one_error(broken):
    with pytest.raises(DataError) as caught:
        load_pairs(broken)
    text = str(caught.value)
    assert text.startswith("3 of 60 pictures cannot be read: 4.png (the file has zero bytes), ")
    assert "sub/7.png (" in text and "8.png (there is no such file)" in text


def test_broken_pictures_are_named_and_skipped(broken):
    with pytest.warns(UserWarning, match="3 of 60.*4.png.*sub/7.png.*8.png.*skipped") as caught:
        pairs = load_pairs(broken, broken="skip", size=4)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert [name for name, _ in pairs.broken] == ["4.png", "sub/7.png", "8.png"]
    assert pairs.broken[0][1] == "the file has zero bytes"
    assert len(pairs.images) == len(pairs.names) == NUMBER - 3
    assert len(pairs.captions) == 2 * (NUMBER - 3)
    for text, image in zip(pairs.captions, pairs.image_of, strict=True):
        assert (pairs.images[image] == colour(number(text))).all()


def test_a_long_list_is_shortened_in_the_message_only(folder):
    for i in range(0, 20, 2):
        (folder / f"{i}.png").write_bytes(b"")
    with pytest.raises(DataError, match="10 of 60 .* and 5 more$"):
        load_pairs(folder)
    with pytest.warns(UserWarning):
        assert len(load_pairs(folder, broken="skip").broken) == 10


def test_nothing_left_is_an_error_even_when_skipping(folder):
    write(folder, [("none.png", "x")])
    with pytest.raises(DataError, match="1 of 1 pictures cannot be read: none.png"):
        load_pairs(folder, broken="skip")


OUTSIDE = [
    "../secret.png",
    "sub/../../secret.png",
    "/etc/secret.png",
    "..\\secret.png",
    "C:\\x.png",
]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("broken", ["raise", "skip"])
def test_a_path_that_leaves_the_folder(folder, name, broken):
    Image.new("RGB", (4, 4)).save(folder.parent / "secret.png")
    write(folder, [("0.png", "fine"), (name, "not fine")])
    with pytest.raises(DataError, match="expected a path that stays in"):
        load_pairs(folder, broken=broken)


def test_links_that_lead_outside_or_nowhere(folder):
    Image.new("RGB", (4, 4)).save(folder.parent / "secret.png")
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "good.png").symlink_to(folder / "0.png")
    write(folder, [("good.png", "x")])
    assert load_pairs(folder).names == ("good.png",)
    for name in ("link.png", "circle.png"):
        write(folder, [(name, "x")])
        with pytest.raises(DataError, match=f"^'?{name}|: {name}"):
            load_pairs(folder)


def test_odd_names(folder):
    write(folder, [("x\0.png", "x")])
    with pytest.raises(DataError, match="captions.csv|stays in"):
        load_pairs(folder)
    content = {
        "images": [{"id": 1, "file_name": "x\0.png"}],
        "annotations": [{"image_id": 1, "caption": "x"}],
    }
    (folder / "c.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="stays in"):
        load_pairs(folder, "c.json")
    for name in ("sub", ".", "x" * 5000):
        write(folder, [(name, "x")])
        with pytest.raises(DataError, match="1 of 1 pictures cannot be read"):
            load_pairs(folder)


def test_missing_things_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a folder"):
        load_pairs(tmp_path / "nowhere")
    with pytest.raises(DataError, match="other.csv: cannot be read"):
        load_pairs(folder, "other.csv")
    (folder / "captions.csv").write_text("image,text\n0.png,x\n")
    with pytest.raises(DataError, match="one column 'caption'"):
        load_pairs(folder)


def test_a_split_keeps_a_picture_together_and_loses_nothing(folder):
    pairs = load_pairs(folder, size=2)
    parts = split_pairs(pairs, {"train": 0.6, "validation": 0.15, "test": 0.25})
    assert list(parts) == ["train", "validation", "test"]
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(120))
    images = [set(pairs.image_of[indices].tolist()) for indices in parts.values()]
    assert all(not a & b for a, b in itertools.combinations(images, 2))
    for indices in parts.values():
        assert indices.dtype == np.int32 and (np.diff(indices) > 0).all()


def test_the_split_depends_on_seed_and_name_alone(folder):
    pairs = load_pairs(folder, size=2)
    test = split_pairs(pairs, seed=3)["test"]
    names = {pairs.names[image] for image in pairs.image_of[test]}
    expected = set()
    for name in pairs.names:
        leading = hashlib.sha256(f"3 {name}".encode()).hexdigest()[:16]
        if int(leading, 16) / 16**16 >= 0.8:
            expected.add(name)
    assert names == expected
    write(folder, [(name, "again") for name in pairs.names[::-1][:40]])  # fewer, in another order
    fewer = load_pairs(folder, size=2)
    kept = {fewer.names[i] for i in fewer.image_of[split_pairs(fewer, seed=3)["test"]]}
    assert kept == expected & set(fewer.names)
    other = split_pairs(pairs, seed=4)["test"]
    assert other.tolist() != test.tolist()


def test_batches_come_in_an_order_that_the_seed_fixes(folder):
    pairs = load_pairs(folder, size=2)
    train = split_pairs(pairs)["train"]
    number_of_batches = len(train) // 7
    epochs = 2
    first, again, other = (
        list(itertools.islice(pair_batches(pairs, train, 7, seed=seed), epochs * number_of_batches))
        for seed in (0, 0, 1)
    )
    orders = [np.concatenate([b["caption"] for b in batches]) for batches in (first, again, other)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()
    for batch in first:
        assert batch["images"].shape == (7, 2, 2, 3) and batch["images"].dtype == np.uint8
        assert batch["caption"].dtype == batch["image_of"].dtype == np.int32
        np.testing.assert_array_equal(pairs.image_of[batch["caption"]], batch["image_of"])
        for text, image, index in zip(
            batch["captions"], batch["images"], batch["caption"], strict=True
        ):
            assert text == pairs.captions[index] and (image == colour(number(text))).all()
    halves = orders[0].reshape(epochs, -1)
    assert all(len(set(half.tolist())) == len(half) for half in halves)
    assert set(orders[0].tolist()) <= set(train.tolist()) and (halves[0] != halves[1]).any()


def test_wrong_arguments_are_named(folder):
    pairs = load_pairs(folder, size=2)
    train = split_pairs(pairs)["train"]
    wrong = {
        "broken": lambda: load_pairs(folder, broken="ignore"),
        "size": lambda: load_pairs(folder, size=0),
        "size.*": lambda: load_pairs(folder, size=(3, 4, 3)),
        "parts": lambda: split_pairs(pairs, {"train": 0.5, "test": 0.4}),
        "parts.*positive": lambda: split_pairs(pairs, {"train": 1.0, "test": 0.0}),
        "parts.*'test'": lambda: split_pairs(pairs, {"train": 1 - 1e-6, "test": 1e-6}),
        "parts.*sum 1": lambda: split_pairs(pairs, {}),
        "indices": lambda: pair_batches(pairs, np.array([120]), 1, seed=0),
        "indices.*": lambda: pair_batches(pairs, train.astype(float), 1, seed=0),
        "indices.*0": lambda: pair_batches(pairs, np.array([], np.int32), 1, seed=0),
        "batch_size": lambda: pair_batches(pairs, train, len(train) + 1, seed=0),
    }
    for name, call in wrong.items():
        argument, _, more = name.partition(".*")
        with pytest.raises(ValueError, match=f"argument '{argument}'.*{more}"):
            call()


def test_reading_changes_nothing_and_warns_of_nothing(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_pairs(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
