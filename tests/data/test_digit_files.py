"""Where the digits' files come from: a folder, the cache, a server; and what each failure says."""

import hashlib
import io
import os
import shutil
import socket
import tarfile
import urllib.error

import pytest

from mmjax.data import digit_files
from mmjax.data.digit_files import digits_available, mnist_file, recordings_folder
from mmjax.data.digits import load_handwritten_digits, load_spoken_digits
from mmjax.data.errors import DataError, DownloadError
from tests.data import digit_samples as samples

FSDD = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz"
MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"


class Web:
    """Stands for the network: addresses and what they hold, and which were asked for."""

    def __init__(self):
        self.holds, self.asked = {}, []

    def open(self, request, timeout):
        self.asked.append(request.full_url)
        if request.full_url not in self.holds:
            raise urllib.error.URLError(socket.gaierror(-3, "Temporary failure"))
        content = self.holds[request.full_url]
        response = io.BytesIO(content)
        response.status, response.headers = 200, {"Content-Length": str(len(content))}
        return response


@pytest.fixture
def web(tmp_path, monkeypatch):
    """The two official addresses with small data sets, and the digests that belong to them."""
    monkeypatch.delenv("MMJAX_DATA", raising=False)
    monkeypatch.setenv("MMJAX_CACHE", str(tmp_path / "cache"))
    web = Web()
    monkeypatch.setattr("urllib.request.urlopen", web.open)
    source = tmp_path / "source"
    samples.write_recordings(source / "recordings")
    (source / "README.md").write_text("read me")
    digest = digit_files.recordings_digest(source / "recordings")
    monkeypatch.setattr(digit_files, "FSDD_SHA256", digest)
    web.holds[FSDD] = packed(source)
    for part, number in (("train", 300), ("t10k", 260)):
        samples.write_mnist(source / "mnist", part, number)
    for path in (source / "mnist").iterdir():
        web.holds[MNIST + path.name] = path.read_bytes()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setitem(digit_files.MNIST_SHA256, path.stem, digest)
    return web


def packed(folder):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        file.add(folder, "free-spoken-digit-dataset-1.0.10")
    return buffer.getvalue()


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_all_is_fetched_once_and_kept(web, tmp_path, capsys):
    assert not digits_available()
    assert len(load_spoken_digits("test").labels) == 150
    assert len(load_handwritten_digits("test").labels) == 50
    names = ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    assert web.asked == [FSDD, *(MNIST + name for name in names)]
    out, err = capsys.readouterr()
    assert "fsdd-1.0.10.tar.gz" in out and names[0] in out and err == ""
    kept = [name for name in tree(tmp_path / "cache") if not name.endswith(".wav")]
    assert kept == ["fsdd", "fsdd/recordings", "mnist", *(f"mnist/{name}" for name in names)]
    web.holds.clear()
    assert digits_available() and not digits_available("all")
    load_spoken_digits(), load_handwritten_digits()
    assert len(web.asked) == 3


def test_all_of_mnist_is_fetched_on_request(web):
    assert len(load_handwritten_digits("train", files="all").labels) == 300
    assert [name.removeprefix(MNIST)[:8] for name in web.asked] == [
        "train-im",
        "train-la",
        "t10k-ima",
        "t10k-lab",
    ]


def test_a_local_copy_comes_first_even_uncompressed(web, tmp_path, monkeypatch):
    load_spoken_digits(), load_handwritten_digits()
    local = tmp_path / "local"
    samples.write_mnist(local / "mnist", compressed=False)
    (local / "fsdd").mkdir()
    shutil.copytree(tmp_path / "source" / "recordings", local / "fsdd" / "recordings")
    monkeypatch.setenv("MMJAX_DATA", str(local))
    assert recordings_folder() == local / "fsdd" / "recordings"
    assert mnist_file("t10k-images-idx3-ubyte", "10k") == local / "mnist" / "t10k-images-idx3-ubyte"
    (local / "mnist" / "t10k-labels-idx1-ubyte").unlink()  # then both come from the cache
    assert mnist_file("t10k-images-idx3-ubyte", "10k").is_relative_to(tmp_path / "cache")


@pytest.mark.parametrize("load", [load_spoken_digits, load_handwritten_digits])
def test_no_network_says_what_to_do(web, tmp_path, load):
    web.holds.clear()
    with pytest.raises(DownloadError, match="connect to the internet.*MMJAX_DATA") as caught:
        load()
    assert "urllib" not in str(caught.value) and caught.value.__cause__ is None
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_mnist_with_another_digest_is_refused(web, tmp_path):
    web.holds[MNIST + "t10k-labels-idx1-ubyte.gz"] += b"x"
    with pytest.raises(DownloadError, match="t10k-labels.*SHA-256"):
        load_handwritten_digits()
    assert tree(tmp_path / "cache") == ["mnist", "mnist/t10k-images-idx3-ubyte.gz"]


def test_recordings_with_another_digest_are_refused(web, tmp_path):
    path = tmp_path / "source" / "recordings" / "3_eve_2.wav"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    web.holds[FSDD] = packed(tmp_path / "source")
    with pytest.raises(DownloadError, match="SHA-256 digest of the recordings.*MMJAX_DATA"):
        recordings_folder()
    assert tree(tmp_path / "cache") == ["fsdd"] or tree(tmp_path / "cache") == []
    assert not digits_available()


def test_an_archive_that_writes_outside_is_refused(web, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        info = tarfile.TarInfo("repo/recordings/../../../0_eve_0.wav")
        info.size = 1
        file.addfile(info, io.BytesIO(b"x"))
    web.holds[FSDD] = buffer.getvalue()
    with pytest.raises(DownloadError, match="tries to write outside its folder"):
        recordings_folder()
    assert list(tmp_path.rglob("0_eve_0.wav")) == [tmp_path / "source/recordings/0_eve_0.wav"]


def test_a_broken_archive_is_fetched_again_next_time(web):
    whole = web.holds[FSDD]
    web.holds[FSDD] = whole[: len(whole) // 2]
    with pytest.raises(DownloadError, match="damaged"):
        recordings_folder()
    web.holds[FSDD] = whole
    assert len(list(recordings_folder().glob("*.wav"))) == 210


def test_another_process_may_be_faster(web, tmp_path, monkeypatch):
    replace = os.replace

    def late(source, target):
        if str(target).endswith("recordings"):
            shutil.copytree(source, target)
        replace(source, target)

    monkeypatch.setattr("os.replace", late)
    assert recordings_folder() == tmp_path / "cache" / "fsdd" / "recordings"
    assert [name for name in tree(tmp_path / "cache") if "recordings" not in name] == ["fsdd"]


def test_asking_what_is_there_never_raises_nor_downloads(web, tmp_path, monkeypatch):
    assert not digits_available("60k")
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path / "slip"))
    assert not digits_available()
    with pytest.raises(DataError, match="MMJAX_DATA"):
        recordings_folder()

    def locked():
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(digit_files, "data_folders", locked)
    assert not digits_available()
    assert web.asked == []


def test_a_user_without_a_home_is_told_what_to_set(web, monkeypatch):
    monkeypatch.delenv("MMJAX_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert not digits_available()
    for load in (load_spoken_digits, load_handwritten_digits):
        with pytest.raises(DownloadError, match="set MMJAX_CACHE"):
            load()
    assert web.asked == []
