"""Unpacking: every way out of the folder is refused before the first byte is written."""

import io
import stat
import tarfile
import zipfile
from pathlib import PurePosixPath

import pytest

from mmjax.data.archives import unpack
from mmjax.data.errors import DataError

FILES = {"repo-1/a.txt": b"one", "repo-1/sub/b.bin": bytes(range(256)) * 999, "repo-1/c": b""}
KINDS = {".zip": None, ".tar": "w", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def make(path, files, *, links=()):
    """An archive of the kind that the name says; `links` are (name, target)."""
    mode = KINDS["".join(path.suffixes[-2:] if ".tar" in path.suffixes else path.suffixes[-1:])]
    if mode is None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in files.items():
                file.writestr(name, content)
            for name, target in links:
                info = zipfile.ZipInfo(name)
                info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
                file.writestr(info, target)
        return path
    with tarfile.open(path, mode) as file:
        folder = tarfile.TarInfo("repo-1")
        folder.type = tarfile.DIRTYPE
        file.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            file.addfile(info)
    return path


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refused(archive, tmp_path, message, **options):
    before = contents(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        unpack(archive, tmp_path / "out", **options)
    assert contents(tmp_path) == before and not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]
    assert archive.name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_all_files_come_out(tmp_path, kind):
    unpack(make(tmp_path / f"x{kind}", FILES), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert {path.name for path in tmp_path.iterdir()} == {f"x{kind}", "out"}


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_only_what_is_wanted_comes_out_where_it_is_wanted(tmp_path, kind):
    def keep(path):
        return PurePosixPath("flat", path.name) if path.suffix == ".bin" else None

    unpack(make(tmp_path / f"x{kind}", FILES), tmp_path / "out", keep=keep)
    assert contents(tmp_path / "out") == {"flat/b.bin": FILES["repo-1/sub/b.bin"]}


ESCAPES = ["../evil", "repo-1/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil", "\\\\host\\x"]


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
@pytest.mark.parametrize("name", ESCAPES)
def test_an_archive_that_tries_to_write_outside_its_folder(tmp_path, kind, name):
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = make(inner / f"x{kind}", FILES | {name: b"evil"})
    refused(archive, inner, "tries to write outside its folder")
    refused(archive, inner, "tries to write outside its folder", keep=lambda path: None)
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_links_are_refused(tmp_path, kind):
    archive = make(tmp_path / f"x{kind}", FILES, links=[("repo-1/link", "/etc")])
    refused(archive, tmp_path, "holds a link or device: 'repo-1/link'")


def test_hard_links_and_devices_are_refused(tmp_path):
    for kind in (tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        archive = tmp_path / "x.tar"
        with tarfile.open(archive, "w") as file:
            info = tarfile.TarInfo("thing")
            info.type, info.linkname = kind, "other"
            file.addfile(info)
        refused(archive, tmp_path, "holds a link or device: 'thing'")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.0, 0.3, 0.8])
def test_a_truncated_archive(tmp_path, kind, part):
    archive = make(tmp_path / f"x{kind}", FILES)
    archive.write_bytes(archive.read_bytes()[: int(part * archive.stat().st_size)])
    refused(archive, tmp_path, "damaged|breaks off")


def test_flipped_bits_are_noticed(tmp_path):
    for kind in (".zip", ".tar.gz"):
        archive = make(tmp_path / f"x{kind}", {"a": FILES["repo-1/sub/b.bin"]})
        content = bytearray(archive.read_bytes())
        content[len(content) // 2] ^= 0xFF
        archive.write_bytes(content)
        refused(archive, tmp_path, "damaged")
        archive.unlink()


def test_other_files_are_no_archives(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"not an archive")
    refused(tmp_path / "x.zip", tmp_path, "damaged")


def test_more_bytes_than_allowed(tmp_path):
    archive = make(tmp_path / "bomb.zip", {"zeros": bytes(1_000_003)})
    assert archive.stat().st_size < 2000
    refused(
        archive, tmp_path, "1,000,003 bytes unpacked, above the limit of 1,000,000", limit=10**6
    )
    unpack(archive, tmp_path / "out", limit=1_000_003)


def test_nothing_wanted_is_an_error(tmp_path):
    archive = make(tmp_path / "x.tar", FILES)
    refused(archive, tmp_path, "none of the files that are wanted", keep=lambda path: None)


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path):
    inner = make(tmp_path / "inner.zip", {"a": b"1"}).read_bytes()
    unpack(make(tmp_path / "x.tar", {"inner.zip": inner}), tmp_path / "out")
    assert contents(tmp_path / "out") == {"inner.zip": inner}


def test_a_file_that_is_also_a_folder(tmp_path):
    archive = make(tmp_path / "x.zip", {"a": b"1", "a/b": b"2"})
    refused(archive, tmp_path, "cannot be unpacked into")


def test_what_is_there_is_not_touched(tmp_path):
    archive = make(tmp_path / "x.zip", FILES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(DataError, match="expected a folder that does not exist"):
        unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {"mine": b"mine"}
    with pytest.raises(DataError, match="nowhere.zip"):
        unpack(tmp_path / "nowhere.zip", tmp_path / "new")
