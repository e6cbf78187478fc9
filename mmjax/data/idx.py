"""IDX, the format of MNIST: an array with its type and shape written in front.

Format: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits". The
magic number is four bytes, 0, 0, a code for the type and the number of dimensions; then each
dimension as a big-endian 32-bit number; then the elements, big-endian, the last dimension fastest.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from mmjax.data.errors import DataError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"


def read_idx(path: Path, *, magic: int) -> np.ndarray:
    """Reads an IDX file, plain or compressed by gzip, in the byte order of this machine.

    Args:
        path: the file.
        magic: what its first four bytes must say; 0x00000803 for MNIST's images (bytes in three
            dimensions), 0x00000801 for its labels.

    Raises:
        DataError: for another magic number, fewer or more elements than the shape says, or damaged
            compression.
        OSError: for a file that is not there or may not be read.
    """
    path = Path(path)
    content = _read(path)
    got = int.from_bytes(content[:4], "big")
    if len(content) < 4 or got != magic:
        shown = f"{got:#010x}" if len(content) >= 4 else f"{len(content)} bytes"
        raise DataError(f"{path.name}: expected the magic number {magic:#010x}, got {shown}")
    code, dimensions = divmod(magic, 256)
    header = 4 + 4 * dimensions
    if code not in _TYPES or len(content) < header:
        raise DataError(f"{path.name}: expected a known type and {header} bytes of header")
    dtype = np.dtype(_TYPES[code])
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    size, there = math.prod(shape) * dtype.itemsize, len(content) - header
    if there != size:
        what = "truncated" if there < size else "too long"
        raise DataError(
            f"{path.name}: {what}: shape {list(shape)} needs {size:,} bytes, {there:,} are there"
        )
    array = np.frombuffer(content, dtype, offset=header).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _read(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path.name}: truncated or damaged compression ({error})") from None
