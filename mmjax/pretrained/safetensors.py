"""Reads and writes the safetensors format: names, shapes and numbers, nothing that could be run.

A file is 8 bytes with the length of a header, the header as JSON, and the bytes of the tensors:
    {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {…}}
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from mmjax.checks import require_type

DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(bool),
}
MAX_HEADER = 100_000_000
"""Bytes; the limit of the format's own reader."""
MAX_RANK = 64
"""Axes; the limit of NumPy."""


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """All tensors of a file by name, as read-only views of the file: nothing is read yet.

    Raises ValueError for a file that is no whole safetensors file; OSError if it cannot be opened.
    """
    path = Path(path)
    size = path.stat().st_size
    _require(size >= 8, path, f"{size} bytes are too few")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        _require(length <= min(size - 8, MAX_HEADER), path, f"a header of {length} bytes")
        header = file.read(length)
    try:
        entries = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: not a safetensors file: {error}") from None
    _require(isinstance(entries, dict), path, "the header is no mapping")
    entries.pop("__metadata__", None)
    room = size - 8 - length
    data = np.memmap(path, np.uint8, "r", offset=8 + length) if room else np.zeros(0, np.uint8)
    tensors = {name: _tensor(path, name, entry, data) for name, entry in entries.items()}
    reached = 0
    for first, last in sorted(entry["data_offsets"] for entry in entries.values()):
        _require(first == reached, path, f"bytes {reached} to {first} of two tensors, or of none")
        reached = last
    _require(reached == room, path, f"bytes from {reached} to {room} of no tensor")
    return tensors


def write_safetensors(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors by name, one after another. Raises TypeError for a dtype the format lacks.

    The file appears whole or not at all, and may be the one that the tensors are views of.
    """
    codes, entries, reached = {dtype: code for code, dtype in DTYPES.items()}, {}, 0
    for name, tensor in tensors.items():
        known, expected = tensor.dtype in codes, "one of " + ", ".join(map(str, codes))
        require_type(known, "write_safetensors", "tensors", expected=expected, got=tensor)
        place = [reached, reached := reached + tensor.nbytes]
        shape = list(tensor.shape)
        entries[name] = {"dtype": codes[tensor.dtype], "shape": shape, "data_offsets": place}
    header = json.dumps({"__metadata__": {"format": "pt"}} | entries).encode()
    header += b" " * (-len(header) % 8)  # the numbers begin at a multiple of 8
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for tensor in tensors.values():
                file.write(np.ascontiguousarray(tensor).tobytes())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _tensor(path: Path, name: str, entry, data: np.ndarray) -> np.ndarray:
    try:
        dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
        first, last = entry["data_offsets"]
        if not all(type(number) is int for number in (first, last, *shape)):
            raise TypeError("numbers that are not whole")
        if len(shape) > MAX_RANK:
            raise ValueError(f"{len(shape)} axes")
        bytes_needed = math.prod(shape) * dtype.itemsize
        whole = 0 <= first <= last <= len(data) and all(0 <= side < 2**40 for side in shape)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: tensor '{name}': cannot be read ({error!r})") from None
    _require(whole, path, f"tensor '{name}' ends at byte {last} of {len(data)}")
    _require(last - first == bytes_needed, path, f"tensor '{name}' has {last - first} bytes")
    try:
        return np.asarray(data[first:last]).view(dtype).reshape(shape)
    except ValueError as error:  # an empty array of sides that multiply beyond what NumPy counts
        raise ValueError(f"{path.name}: tensor '{name}': cannot be read ({error!r})") from None


def _require(condition: bool, path: Path, what: str) -> None:
    if not condition:
        raise ValueError(f"{path.name}: not a whole safetensors file: {what}")
