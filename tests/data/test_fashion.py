"""Fashion-MNIST in small files of its exact format: what is loaded, fetched, refused and said."""

import gzip
import hashlib
import io
import socket
import struct
import urllib.error

import numpy as np
import pytest

from mmjax.data import fashion
from mmjax.data.errors import DataError, DownloadError
from mmjax.data.fashion import CLASSES, describe_fashion, fashion_available, load_fashion


def files(part, number):
    """The contents of one part's two files; a picture's first two pixels hold its row."""
    rows = np.arange(number)
    images = np.zeros((number, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = rows // 256, rows % 256
    labels = (rows * 3 % 10).astype(np.uint8)
    return {
        f"{part}-images-idx3-ubyte": struct.pack(">4I", 0x803, *images.shape) + images.tobytes(),
        f"{part}-labels-idx1-ubyte": struct.pack(">2I", 0x801, number) + labels.tobytes(),
    }


def write(folder, part, number, compressed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files(part, number).items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)


@pytest.fixture
def web(tmp_path, monkeypatch):
    """The publisher's address with small files, and the digests that belong to them."""
    holds, asked = {}, []

    def open_url(request, timeout):
        asked.append(request.full_url)
        if request.full_url not in holds:
            raise urllib.error.URLError(socket.gaierror(-3, "Temporary failure"))
        response = io.BytesIO(holds[request.full_url])
        response.status = 200
        response.headers = {"Content-Length": str(len(holds[request.full_url]))}
        return response

    monkeypatch.delenv("MMJAX_DATA", raising=False)
    monkeypatch.setenv("MMJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", open_url)
    for part, number in (("train", 29), ("t10k", 23)):
        for name, content in files(part, number).items():
            packed = gzip.compress(content, mtime=0)
            holds[f"{fashion.FASHION_URL}{name}.gz"] = packed
            monkeypatch.setitem(fashion.FASHION_MD5, name, hashlib.md5(packed).hexdigest())
    return holds, asked


@pytest.mark.parametrize("compressed", [True, False])
def test_the_official_parts_are_loaded(tmp_path, monkeypatch, web, compressed):
    write(tmp_path / "data" / "fashion", "train", 300, compressed)
    write(tmp_path / "data" / "fashion", "t10k", 260, compressed)
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path / "data"))
    for split, number in (("train", 300), ("test", 260)):
        assert fashion_available(split)
        found = load_fashion(split)
        assert found.images.shape == (number, 28, 28) and found.images.dtype == np.uint8
        rows = found.images[:, 0, 0].astype(int) * 256 + found.images[:, 0, 1]
        np.testing.assert_array_equal(rows, np.arange(number))
        np.testing.assert_array_equal(found.labels, np.arange(number) * 3 % 10)
        assert found.labels.dtype == np.int32 and not found.images.flags.writeable
    assert web[1] == []  # nothing was asked of the network


def test_a_part_is_fetched_once_and_kept(tmp_path, web):
    holds, asked = web
    assert not fashion_available("train")
    assert len(load_fashion("train").labels) == 29
    assert [url.removeprefix(fashion.FASHION_URL)[:9] for url in asked] == [
        "train-ima",
        "train-lab",
    ]
    holds.clear()
    assert fashion_available("train") and not fashion_available("test")
    assert len(load_fashion("train").labels) == 29 and len(asked) == 2
    kept = sorted(path.name for path in (tmp_path / "cache" / "fashion").iterdir())
    assert kept == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]


def test_another_digest_is_refused_and_nothing_is_kept(tmp_path, web):
    web[0][f"{fashion.FASHION_URL}t10k-images-idx3-ubyte.gz"] += b"x"
    with pytest.raises(DownloadError, match="t10k-images.*MD5.*MMJAX_DATA"):
        load_fashion("test")
    assert list((tmp_path / "cache" / "fashion").iterdir()) == []


def test_no_network_says_what_to_do(web):
    web[0].clear()
    with pytest.raises(DownloadError, match="connect to the internet.*MMJAX_DATA"):
        load_fashion()


def test_damaged_and_mismatched_files_are_named(tmp_path, monkeypatch, web):
    folder = tmp_path / "data" / "fashion"
    write(folder, "t10k", 23)
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path / "data"))
    labels = folder / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(files("t10k", 19)["t10k-labels-idx1-ubyte"]))
    with pytest.raises(DataError, match=r"expected \[N, 28, 28\] and N labels"):
        load_fashion("test")
    labels.write_bytes(files("t10k", 23)["t10k-labels-idx1-ubyte"][:-1] + b"\x0a")
    with pytest.raises(DataError, match="up to 10"):
        load_fashion("test")
    labels.write_bytes(labels.read_bytes()[:-2])
    with pytest.raises(DataError, match="truncated"):
        load_fashion("test")
    with pytest.raises(ValueError, match="'split'.*'train', 'test'"):
        load_fashion("validation")


def test_asking_what_is_there_raises_for_a_slip_alone(monkeypatch, tmp_path, web):
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path / "slip"))
    assert not fashion_available()
    with pytest.raises(ValueError, match="fashion_available: argument 'split'"):
        fashion_available("tset")
    with pytest.raises(DataError, match="MMJAX_DATA"):
        load_fashion()


def test_the_words_are_measured():
    """13 by 10 pixels are tall, 12 by 10 are not; 128 is light; faint pixels do not count."""
    images = np.zeros((5, 28, 28), np.uint8)
    images[0, 3:16, 5:15] = 128
    images[1, 3:15, 5:15] = 127
    images[2, 5:15, 3:16] = 255
    images[3, 3:16, 5:15] = 200
    images[3, 20, 20:28] = 31
    texts = describe_fashion(images, np.array([3, 0, 8, 9, 1]))
    assert texts == [
        "a light tall dress",
        "a dark t-shirt",
        "a light wide bag",
        "a light tall boot",
        "a dark trouser",
    ]
    assert len(set(CLASSES)) == 10


@pytest.mark.parametrize(
    ("images", "labels", "name"),
    [
        (np.zeros((2, 28, 27), np.uint8), [0, 1], "images"),
        (np.zeros((2, 28, 28)), [0, 1], "images"),
        (np.zeros((2, 28, 28), np.uint8), [0], "labels"),
        (np.zeros((2, 28, 28), np.uint8), [0, 10], "labels"),
    ],
)
def test_wrong_arguments_are_named(images, labels, name):
    with pytest.raises(ValueError, match=f"describe_fashion: argument '{name}'"):
        describe_fashion(images, labels)
