"""Spoken and handwritten digits: what is loaded, how it is split, and how it is paired."""

import dataclasses
import gzip
import hashlib
import os

import numpy as np
import pytest

from mmjax.data.digit_files import (
    FSDD_SHA256,
    digits_available,
    recordings_digest,
    recordings_folder,
)
from mmjax.data.digits import load_handwritten_digits, load_spoken_digits, pair_digits
from mmjax.data.errors import DataError
from tests.data import digit_samples as samples

REAL = os.environ.get("MMJAX_DATA")  # before any test changes it


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder with small data sets, and a network that must not be used."""
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MMJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", None)
    samples.write_recordings(tmp_path / "data" / "fsdd" / "recordings")
    samples.write_mnist(tmp_path / "data" / "mnist")
    return tmp_path / "data"


def test_recordings_keep_their_samples_labels_and_order(data):
    spoken = load_spoken_digits("train", samples=101)
    expected = [(d, s, t) for d in range(10) for s in samples.SPEAKERS for t in (5, 6)]
    got = zip(spoken.labels, spoken.speakers, spoken.takes, strict=True)
    assert [(d, spoken.speaker_names[s], t) for d, s, t in got] == expected
    shortened = 0
    for row, name in enumerate(expected):
        whole = samples.recording(*name) / 2**15
        length = min(len(whole), 101)
        shortened += len(whole) > 101
        assert spoken.lengths[row] == length == spoken.mask[row].sum()
        np.testing.assert_array_equal(spoken.audio[row, :length], whole[:length])
        assert not spoken.audio[row, length:].any() and spoken.mask[row, :length].all()
    assert spoken.shortened == shortened > 0
    assert spoken.audio.shape == spoken.mask.shape == (60, 101)
    assert spoken.audio.dtype == np.float32 and spoken.mask.dtype == bool
    assert spoken.sample_rate == 8000 and spoken.speaker_names == samples.SPEAKERS
    assert {a.dtype for a in (spoken.lengths, spoken.labels, spoken.takes)} == {np.dtype("int32")}


def test_takes_0_to_4_are_the_test(data):
    test, train = load_spoken_digits("test", samples=8), load_spoken_digits(samples=8)
    assert set(test.takes) == {0, 1, 2, 3, 4} and set(train.takes) == {5, 6}
    assert len(test.labels) + len(train.labels) == 10 * 3 * 7


def test_the_ten_thousand_are_split_by_digit(data):
    parts = [load_handwritten_digits(split) for split in ("train", "test")]
    rows = np.concatenate([part.rows for part in parts])
    np.testing.assert_array_equal(np.sort(rows), np.arange(260))
    for part, number in zip(parts, (21, 5), strict=True):
        assert (np.bincount(part.labels) == number).all()
        assert (np.diff(part.rows) > 0).all()
        np.testing.assert_array_equal(samples.rows_of(part.images), part.rows)
        np.testing.assert_array_equal(part.labels, part.rows * 7 % 10)
        assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.int32)
    assert [part.source for part in parts] == [
        "MNIST, train part of a split of the 260 test pictures",
        "MNIST, test part of a split of the 260 test pictures",
    ]


def test_the_split_is_the_same_everywhere(data):
    """SHA-256 depends on no platform and on no version of NumPy."""
    expected = []
    for digit in range(10):
        rows = [row for row in range(260) if row * 7 % 10 == digit]
        rows.sort(key=lambda row: hashlib.sha256(f"split {row}".encode()).digest())
        expected += rows[: round(len(rows) / 5)]
    assert load_handwritten_digits("test").rows.tolist() == sorted(expected)


def test_the_official_parts_are_taken_whole(data):
    samples.write_mnist(data / "mnist", "train", 300, compressed=False)
    train, test = (load_handwritten_digits(split, files="all") for split in ("train", "test"))
    assert (len(train.labels), len(test.labels)) == (300, 260)
    np.testing.assert_array_equal(samples.rows_of(train.images), np.arange(300))
    assert (train.source, test.source) == ("MNIST, official train set", "MNIST, official test set")
    assert len(load_handwritten_digits("test").labels) == 50  # more files change nothing here


def test_pairs_have_one_digit_and_no_picture_twice(data):
    spoken, written = load_spoken_digits(samples=101), load_handwritten_digits()
    for pictures in (1, 3):
        pairs = pair_digits(spoken, written, seed=0, pictures=pictures)
        assert len(pairs.labels) == 60 * pictures
        np.testing.assert_array_equal(spoken.labels[pairs.spoken], pairs.labels)
        np.testing.assert_array_equal(written.labels[pairs.handwritten], pairs.labels)
        np.testing.assert_array_equal(pairs.spoken, np.repeat(np.arange(60), pictures))
        assert len(set(pairs.handwritten.tolist())) == len(pairs.handwritten)
        np.testing.assert_array_equal(pairs.audio, spoken.audio[pairs.spoken])
        np.testing.assert_array_equal(pairs.mask, spoken.mask[pairs.spoken])
        np.testing.assert_array_equal(pairs.lengths, spoken.lengths[pairs.spoken])
        np.testing.assert_array_equal(pairs.images, written.images[pairs.handwritten])


def test_the_seed_decides_which(data):
    spoken, written = load_spoken_digits(samples=11), load_handwritten_digits()
    first, again, other = (pair_digits(spoken, written, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.handwritten, again.handwritten)
    assert (first.handwritten != other.handwritten).mean() > 0.5


def test_what_is_loaded_cannot_be_changed_by_accident(data):
    spoken, written = load_spoken_digits(samples=11), load_handwritten_digits()
    for thing in (spoken, written, pair_digits(spoken, written, seed=0)):
        for field in dataclasses.fields(thing):
            value = getattr(thing, field.name)
            assert not isinstance(value, np.ndarray) or not value.flags.writeable
        with pytest.raises(dataclasses.FrozenInstanceError):
            thing.labels = None


def test_wrong_arguments_are_named(data):
    spoken, written = load_spoken_digits(samples=11), load_handwritten_digits()
    wrong = {
        "split": lambda: load_spoken_digits("validation"),
        "samples": lambda: load_spoken_digits(samples=0),
        " 'split'": lambda: load_handwritten_digits("all"),
        "files": lambda: load_handwritten_digits(files="60k"),
        "pictures": lambda: pair_digits(spoken, written, seed=0, pictures=0),
        "handwritten": lambda: pair_digits(spoken, written, seed=0, pictures=4),
    }
    for name, call in wrong.items():
        with pytest.raises(ValueError, match=f"argument '?{name.strip()}'?|argument{name}"):
            call()


def test_files_that_do_not_belong_are_named(data):
    folder = data / "fsdd" / "recordings"
    (folder / "noise.wav").write_bytes(b"")
    with pytest.raises(DataError, match="^noise.wav: expected a name like 7_jackson_32.wav"):
        load_spoken_digits()
    (folder / "noise.wav").unlink()
    (folder / "7_ann_5.wav").write_bytes((folder / "7_ann_5.wav").read_bytes()[:-3])
    with pytest.raises(DataError, match="^7_ann_5.wav: truncated"):
        load_spoken_digits()
    samples.write_wav(folder / "7_ann_5.wav", 7, "ann", 5, 16000)
    with pytest.raises(DataError, match="one sample rate.*16000: '7_ann_5.wav'"):
        load_spoken_digits()
    for path in folder.glob("*_[5-6].wav"):
        path.unlink()
    with pytest.raises(DataError, match="expected recordings for 'train', got none"):
        load_spoken_digits()


def test_pictures_and_labels_that_do_not_fit(data):
    labels = data / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(samples.mnist_files("t10k", 250)["t10k-labels-idx1-ubyte"]))
    with pytest.raises(DataError, match=r"expected \[N, 28, 28\] and N labels"):
        load_handwritten_digits()
    content = samples.mnist_files("t10k", 260)["t10k-labels-idx1-ubyte"]
    labels.write_bytes(content[:-1] + b"\x0a")
    with pytest.raises(DataError, match="up to 10"):
        load_handwritten_digits()


def test_the_real_data_are_as_the_docstrings_say(monkeypatch):
    """Only where MMJAX_DATA holds them, as in CI."""
    if not (REAL and digits_available()):
        return
    monkeypatch.setattr("urllib.request.urlopen", None)
    train, test = load_spoken_digits(), load_spoken_digits("test")
    assert (len(train.labels), len(test.labels)) == (2700, 300)
    assert train.shortened + test.shortened == 17 and train.sample_rate == 8000
    assert train.speaker_names == ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    assert (np.bincount(test.labels * 6 + test.speakers) == 5).all()
    longest = max(
        load_spoken_digits(part, samples=20000).lengths.max() for part in ("train", "test")
    )
    assert longest == 18262
    written = [load_handwritten_digits(part) for part in ("train", "test")]
    assert [part.images.shape for part in written] == [(8000, 28, 28), (2000, 28, 28)]
    assert np.concatenate([part.labels for part in written]).tolist().count(7) == 1028
    assert len(pair_digits(train, written[0], seed=0, pictures=2).labels) == 5400
    assert recordings_digest(recordings_folder()) == FSDD_SHA256
