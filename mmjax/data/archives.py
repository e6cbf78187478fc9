"""Unpacking archives that come from elsewhere: all that is wanted, or nothing at all.

An archive is a list of names chosen by whoever made it. A name such as `../../.profile`, or a link
that points elsewhere, would write outside the folder. All names are therefore looked at before the
first byte is written, and the files are written into a folder beside the final one, which takes its
place by a rename.
"""

import contextlib
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from mmjax.data.errors import DataError

Keep = Callable[[PurePosixPath], PurePosixPath | None]

_LIMIT = 1 << 30  # bytes: far above the data sets of this course, far below a disk
_BLOCK = 1 << 16
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a zip with a compression that Python does not know
    RuntimeError,  # a zip with a password
)


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str  # "file", "folder" or "other": a link, a device, a pipe
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path, *, keep: Keep | None = None, limit: int = _LIMIT) -> None:
    """Unpacks a zip or tar archive (plain, gzip, bzip2, xz) into the new folder `folder`.

    Args:
        archive: the file; its kind is read from its contents, not from its name.
        folder: must not exist yet. It appears whole, or not at all.
        keep: says where in `folder` a file of the archive goes; None leaves the file out. Without
            it every file keeps its path.
        limit: bytes that the kept files may have together.

    Raises:
        DataError: when a name leads out of the folder, even of a file that is left out; for links
            and devices, an archive that is damaged, too large or holds nothing wanted, and a folder
            that exists or cannot be written. Nothing is written then.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise DataError(f"{archive.name}: expected a folder that does not exist, got {folder}")
    try:
        with _members(archive) as members:
            files = _plan(archive, members, keep, limit)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
                _write(files, Path(temporary, "contents"))
                os.replace(Path(temporary, "contents"), folder)
    except _DAMAGED as error:
        why = str(error).partition("\n")[0].rstrip(":") or "it breaks off"
        raise DataError(f"{archive.name}: the archive is damaged ({why})") from None
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{archive.name}: cannot be unpacked into {folder} ({why})") from None


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    with open(archive, "rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        with zipfile.ZipFile(archive) as file:
            yield [_from_zip(file, info) for info in file.infolist()]
    else:
        with tarfile.open(archive) as file:
            members = [_from_tar(file, info) for info in file]
            while file.fileobj.read(
                _BLOCK
            ):  # up to the checksum at the end of the compressed bytes
                pass
            yield members


def _from_zip(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    mode = info.external_attr >> 16  # zero where no Unix made the archive
    plain = stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)
    kind = "other" if not plain else "folder" if info.is_dir() else "file"
    return _Member(info.filename, kind, info.file_size, lambda: file.open(info))


def _from_tar(file: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    kind = "file" if info.isreg() else "folder" if info.isdir() else "other"
    return _Member(info.name, kind, info.size, lambda: file.extractfile(info))


def _plan(
    archive: Path, members: list[_Member], keep: Keep | None, limit: int
) -> dict[PurePosixPath, _Member]:
    """Which member goes where; raises before anything is written."""
    for member in members:
        if not _stays_inside(member.name):
            raise DataError(f"{archive.name}: tries to write outside its folder: {member.name!r}")
        if member.kind == "other":
            raise DataError(f"{archive.name}: holds a link or device: {member.name!r}")
    files = {}
    for member in members:
        source = PurePosixPath(member.name)
        target = keep(source) if keep else source
        if member.kind == "file" and target is not None:
            files[target] = member
    size = sum(member.size for member in files.values())
    if size > limit:
        raise DataError(f"{archive.name}: {size:,} bytes unpacked, above the limit of {limit:,}")
    if not files:
        raise DataError(f"{archive.name}: holds none of the files that are wanted")
    return files


def _stays_inside(name: str) -> bool:
    """Whether a member's name leads into the folder on every system."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    windows = PureWindowsPath(name)
    return not (".." in parts or parts[:1] == ("/",) or windows.drive or windows.root)


def _write(files: dict[PurePosixPath, _Member], folder: Path) -> None:
    for target, member in files.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.open() as source, open(path, "xb") as file:
            shutil.copyfileobj(source, file)
        if path.stat().st_size != member.size:
            raise EOFError(f"{member.name} breaks off")
