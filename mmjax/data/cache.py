"""Arrays that are computed once and kept in the user's cache folder.

One file an entry: the SHA-256 digest of the payload (32 bytes), then the payload (`.npz`). A file
is written beside its final place and renamed, so a reader sees the old file, the new file or none,
never half of one. A file whose digest does not fit is computed again. Two processes that start at
once both compute, and the later rename replaces equal contents.
"""

import hashlib
import io
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]
_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """The folder of the cache: `MMJAX_CACHE`, or `XDG_CACHE_HOME/mmjax`, or `~/.cache/mmjax`."""
    if chosen := os.environ.get("MMJAX_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "mmjax"
    return Path.home() / ".cache" / "mmjax"


def cached_arrays(name: str, build: Callable[[], Arrays], *, cache: bool = True) -> Arrays:
    """Returns the arrays that `build` makes, from the cache if they are there and intact.

    A cache that cannot be written costs time and one warning, never the result.

    Args:
        name: the file's name in `cache_folder()`; it must hold all that the contents depend on.
        build: makes the arrays, none of them of dtype object.
        cache: False neither reads nor writes the cache.
    """
    if not cache:
        return build()
    try:
        path = cache_folder() / name
        stored = _read(path)
    except RuntimeError as error:  # Path.home() of a user without a home
        path, stored, problem = None, None, str(error)
    if stored is not None:
        return stored
    arrays = build()
    if path is not None:
        problem = _write(path, arrays)
    if problem:
        warnings.warn(
            f"mmjax could not store its cache ({problem}), so this is computed again next time; "
            "set MMJAX_CACHE to a folder that can be written.",
            stacklevel=3,
        )
    return arrays


def _read(path: Path) -> Arrays | None:
    """The arrays stored at `path`; None where there are none or they are damaged."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, payload = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        return None
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile):  # intact, but of another format
        return None


def _write(path: Path, arrays: Arrays) -> str:
    """Stores the arrays at `path` in one step; returns what went wrong, or an empty string."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    payload = buffer.getvalue()
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            temporary = file.name
            file.write(hashlib.sha256(payload).digest() + payload)
        os.chmod(temporary, 0o644)  # a class may share the folder; temporary files are private
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        return str(error)
    return ""
