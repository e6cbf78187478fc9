"""Files from the network: found locally if possible, else fetched once, whole and checked.

A file is looked for in the folder named by the environment variable `MMJAX_DATA`, then in the
cache of `mmjax.data.cache`. Only then is it downloaded, into that cache. The bytes arrive in a file
beside the final place, which is renamed when its SHA-256 digest is right, so a reader sees the
whole file or none. What had arrived when a download broke off is kept, and the next one goes on
from there (HTTP range requests, RFC 9110, section 14).
"""

import contextlib
import hashlib
import http.client
import os
import secrets
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from mmjax.checks import require
from mmjax.data.cache import cache_folder
from mmjax.data.errors import DataError, DownloadError
from mmjax.data.progress import Bar

_BLOCK = 1 << 16
_ATTEMPTS = 10


def data_folders() -> list[Path]:
    """The folders that may hold data, in the order in which they are searched.

    Raises DataError when `MMJAX_DATA` names something that is not a folder, as a slip in that name
    would otherwise look like missing data.
    """
    folders = []
    if chosen := os.environ.get("MMJAX_DATA"):
        if not Path(chosen).is_dir():
            raise DataError(f"MMJAX_DATA: expected a folder, got {chosen!r}")
        folders.append(Path(chosen))
    with contextlib.suppress(RuntimeError):  # Path.home() of a user without a home
        folders.append(cache_folder())
    return folders


def download(
    url: str, path: Path, *, sha256: str | None, timeout: float = 30.0, progress: bool = True
) -> Path:
    """Fetches `url` into the file `path` and returns `path`. A file already there is kept.

    Args:
        url: an address that begins with http:// or https://.
        path: the file's final place; its folder is made if it is missing.
        sha256: the digest in hexadecimal; None only where the contents are checked afterwards.
        timeout: seconds of silence after which the server counts as gone.
        progress: shows a bar on stdout.

    Raises:
        DownloadError: for no network, a server that refuses or falls silent, a wrong digest, or a
            folder that cannot be written. What had arrived is kept, unless its digest is wrong.
        ValueError: for another kind of address or a timeout that is not positive.
    """
    is_web = url.startswith(("http://", "https://"))
    require(is_web, "download", "url", expected="http:// or https://", got=url)
    require(timeout > 0, "download", "timeout", expected="above 0 seconds", got=timeout)
    path = Path(path)
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _claimed(path) as part:
            resumed = part.exists() and part.stat().st_size > 0
            _fetch(url, path, part, timeout, progress)
            if sha256 and resumed and digest(part) != sha256:  # the old half may be of another file
                part.unlink()
                _fetch(url, path, part, timeout, progress)
            if sha256 and digest(part) != sha256:
                part.unlink()
                raise DownloadError(_advice(url, path, "its SHA-256 digest is not the known one"))
            os.chmod(part, 0o644)
            os.replace(part, path)
    except OSError as error:  # of the disk; those of the network became a DownloadError
        reason = f"{path.parent} cannot be written: {error.strerror or error}"
        raise DownloadError(_advice(url, path, reason)) from None
    return path


def digest(path: Path) -> str:
    """The SHA-256 digest of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _claimed(path: Path) -> Iterator[Path]:
    """A private name for the unfinished file, so that two processes never write one file.

    Renaming is atomic: one process goes on with what had arrived, the other begins anew. What is
    left unfinished goes back to the common name.
    """
    common = path.with_name(path.name + ".part")
    mine = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with contextlib.suppress(FileNotFoundError):
        os.replace(common, mine)
    try:
        yield mine
    finally:
        if mine.exists():
            os.replace(mine, common)


def _fetch(url: str, path: Path, part: Path, timeout: float, progress: bool) -> None:
    """Brings `part` to its full length; tries again where an attempt broke off but brought more."""
    bar = Bar(path.name, shown=progress)
    for left in reversed(range(_ATTEMPTS)):
        before = part.stat().st_size if part.exists() else 0
        try:
            return _attempt(url, part, before, timeout, bar)
        except _BrokenOff as broken:
            brought_more = part.exists() and part.stat().st_size > before
            if not (left and brought_more):
                raise DownloadError(_advice(url, path, str(broken))) from None
        finally:
            bar.end()


class _BrokenOff(Exception):
    """The connection failed; says why."""


def _attempt(url: str, part: Path, have: int, timeout: float, bar: Bar) -> None:
    """One request: appends the missing bytes, or takes all where the server sends all."""
    with _open(url, have, timeout) as response:
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if response.status == 206 and continues else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        with open(part, "ab") as file:
            file.truncate(have)
            while block := _read(response, timeout):
                file.write(block)
                have += len(block)
                bar.show(have, total)
    if total is not None and have != total:
        raise _BrokenOff(f"the connection broke off after {have:,} of {total:,} bytes")


def _open(url: str, have: int, timeout: float) -> http.client.HTTPResponse:
    """Asks for the bytes from `have` on; for all of them if there are no such bytes."""
    # Without "identity" a server may compress, and the digest would be that of other bytes.
    headers = {"User-Agent": "mmjax", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return _open(url, 0, timeout)
        raise _BrokenOff(f"the server answered {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(_reason(error, timeout)) from None


def _read(response: http.client.HTTPResponse, timeout: float) -> bytes:
    try:
        return response.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(_reason(error, timeout)) from None


def _reason(error: Exception, timeout: float) -> str:
    """What went wrong, in words that need no knowledge of sockets."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer for {timeout:g} s"
    if isinstance(cause, socket.gaierror):
        return "the name of the server cannot be looked up, as without a network"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    return f"{type(cause).__name__}: {cause}".strip().replace("\r", " ").replace("\n", " ")


def _advice(url: str, path: Path, reason: str) -> str:
    return (
        f"{path.name} could not be downloaded from {url} ({reason}): connect to the internet and "
        f"try again, or put the file into {path.parent}, or set MMJAX_DATA to a folder with the "
        "data (CONTRIBUTING.md says how it is laid out)."
    )
