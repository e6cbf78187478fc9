"""MedMNIST: small files in its exact format, and no network."""

import contextlib
import dataclasses
import hashlib
import io

import numpy as np
import pytest

from mmjax.data import published
from mmjax.data.errors import DataError, DownloadError
from mmjax.data.medmnist import SETS, load_medmnist, medmnist_available

SIZES = {"train": 7, "val": 3, "test": 5}


def arrays(colour=False):
    """The six arrays of a file; the first pixel of a picture is its row, the second its split."""
    made = {}
    for k, (split, number) in enumerate(SIZES.items()):
        images = np.zeros((number, 28, 28, 3) if colour else (number, 28, 28), np.uint8)
        images[:, 0, 0] = np.arange(number).reshape((-1, 1) if colour else -1)
        images[:, 0, 1] = k
        made[f"{split}_images"] = images
        made[f"{split}_labels"] = (np.arange(number, dtype=np.uint8) % 2)[:, None]
    return made


def content(**changes):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **(arrays() | changes))
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """MMJAX_DATA's folder of the sets, empty, and a network that must not be used."""
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MMJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", None)
    (tmp_path / "data" / "medmnist").mkdir(parents=True)
    return tmp_path / "data" / "medmnist"


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_a_file_is_read(folder, name, colour):
    assert not medmnist_available(name)
    (folder / f"{name}.npz").write_bytes(content(**arrays(colour)))
    assert medmnist_available(name)
    for k, (split, number) in enumerate(SIZES.items()):
        part = load_medmnist(name, split)
        np.testing.assert_array_equal(part.pictures, arrays(colour)[f"{split}_images"])
        assert (part.pictures[:, 0, 1] == k).all()
        np.testing.assert_array_equal(part.labels, np.arange(number) % 2)
        ill = part.labels == 0 if name == "breastmnist" else part.labels == 1
        np.testing.assert_array_equal(part.disease, ill)
        assert part.disease.dtype == part.labels.dtype == np.int32
        assert not part.pictures.flags.writeable and not part.disease.flags.writeable
        with pytest.raises(dataclasses.FrozenInstanceError):
            part.labels = None


def test_the_disease_has_the_name_that_the_publisher_gives_it():
    named = {name: facts.labels[facts.ill] for name, facts in SETS.items()}
    assert named == {"breastmnist": "malignant", "pneumoniamnist": "pneumonia"}


def test_the_cache_is_searched_after_the_folder(folder, tmp_path):
    cache = tmp_path / "cache" / "medmnist"
    cache.mkdir(parents=True)
    (cache / "breastmnist.npz").write_bytes(content(val_labels=np.ones((3, 1), np.uint8)))
    assert load_medmnist("breastmnist", "val").labels.tolist() == [1, 1, 1]
    (folder / "breastmnist.npz").write_bytes(content())
    assert load_medmnist("breastmnist", "val").labels.tolist() == [0, 1, 0]


def test_a_download_is_checked_and_kept(folder, tmp_path, monkeypatch):
    file, asked = content(), []

    def download(url, path, *, sha256):
        asked.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)
        return path

    monkeypatch.setattr(published, "download", download)
    with contextlib.suppress(DownloadError):
        load_medmnist()
        raise AssertionError("a file with another digest was taken")
    assert list((tmp_path / "cache" / "medmnist").iterdir()) == []
    with pytest.raises(DownloadError, match="MD5 digest is .* and not the publisher's 28209eda"):
        load_medmnist()
    right = dataclasses.replace(SETS["pneumoniamnist"], md5=hashlib.md5(file).hexdigest())
    monkeypatch.setitem(SETS, "pneumoniamnist", right)
    for _ in range(2):
        assert len(load_medmnist().labels) == 7
    assert asked == ["https://zenodo.org/record/6496656/files/pneumoniamnist.npz?download=1"] * 3
    assert [p.name for p in (tmp_path / "cache" / "medmnist").iterdir()] == ["pneumoniamnist.npz"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((7, 28, 27), np.uint8)}, "train_images: expected uint8"),
        ({"train_images": np.zeros((7, 28, 28), np.float32)}, "train_images: expected uint8"),
        ({"train_images": np.zeros((0, 28, 28), np.uint8)}, "train_images: expected uint8"),
        ({"train_images": np.uint8(3)}, "train_images: expected uint8"),
        ({"train_labels": np.zeros(7, np.uint8)}, "train_labels: expected 0 and 1"),
        ({"train_labels": np.zeros((6, 1), np.uint8)}, "train_labels: expected 0 and 1"),
        ({"train_labels": np.full((7, 1), 2, np.uint8)}, "train_labels: expected 0 and 1"),
        ({"train_labels": np.array([[None]] * 7)}, "expected an .npz file of arrays"),
    ],
)
def test_a_file_of_another_format_is_named(folder, changes, message):
    (folder / "breastmnist.npz").write_bytes(content(**changes))
    with pytest.raises(DataError, match=f"^breastmnist.npz: {message}"):
        load_medmnist("breastmnist")


def test_a_damaged_file_is_named(folder):
    path = folder / "breastmnist.npz"
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    whole = content()
    damaged = whole[:90] + bytes(9) + whole[99:]
    for bad in (b"", b"not a zip", whole[:-50], single.getvalue(), damaged):
        path.write_bytes(bad)
        with pytest.raises(DataError, match=r"^breastmnist.npz: expected"):
            load_medmnist("breastmnist")
    without = {name: array for name, array in arrays().items() if name != "val_labels"}
    np.savez(path, **without)
    with pytest.raises(DataError, match="expected val_images and val_labels"):
        load_medmnist("breastmnist", "val")


def test_wrong_arguments_are_named(folder):
    for call in (lambda: load_medmnist("chestmnist"), lambda: medmnist_available("chestmnist")):
        with pytest.raises(ValueError, match="argument 'name': expected one of 'breastmnist'"):
            call()
    with pytest.raises(ValueError, match="argument 'split'"):
        load_medmnist(split="validation")
