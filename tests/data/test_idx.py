"""IDX files: written here byte by byte, as the format says, plain and compressed."""

import gzip
import struct

import numpy as np
import pytest

from mmjax.data.errors import DataError
from mmjax.data.idx import read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array):
    code = CODES[array.dtype.str[1:]]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", CODES)
def test_every_type_comes_back(tmp_path, kind, compressed):
    array = np.arange(-15, 15).astype(kind).reshape(5, 2, 3)
    content = idx(array)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(content) if compressed else content)
    got = read_idx(path, magic=CODES[kind] << 8 | 3)
    np.testing.assert_array_equal(got, array)
    assert got.dtype == np.dtype(kind) and got.dtype.isnative


def test_the_last_dimension_runs_fastest(tmp_path):
    (tmp_path / "x").write_bytes(struct.pack(">IIII", 0x803, 1, 2, 3) + bytes(range(6)))
    np.testing.assert_array_equal(
        read_idx(tmp_path / "x", magic=0x803), np.array([[[0, 1, 2], [3, 4, 5]]], np.uint8)
    )


IMAGES = idx(np.zeros((2, 3, 5), np.uint8))
BROKEN = {
    "empty": (b"", "expected the magic number 0x00000803, got 0 bytes"),
    "three bytes": (IMAGES[:3], "got 3 bytes"),
    "labels for images": (idx(np.zeros(7, np.uint8)), "0x00000803, got 0x00000801"),
    "another type": (idx(np.zeros((2, 3, 5), np.int32)), "0x00000803, got 0x00000c03"),
    "no header": (IMAGES[:10], "16 bytes of header"),
    "truncated": (IMAGES[:-1], r"truncated: shape \[2, 3, 5\] needs 30 bytes, 29 are there"),
    "no elements": (IMAGES[:16], "truncated: .* needs 30 bytes, 0 are there"),
    "too long": (IMAGES + b"x", "too long: .* needs 30 bytes, 31 are there"),
    "immense": (struct.pack(">IIII", 0x803, *[2**32 - 1] * 3), "truncated"),
    "cut compression": (gzip.compress(IMAGES)[:-9], "truncated or damaged compression"),
    "wrong checksum": (gzip.compress(IMAGES)[:-8] + bytes(8), "truncated or damaged compression"),
    "not compressed": (b"\x1f\x8b" + bytes(30), "truncated or damaged compression"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_with_its_fault(tmp_path, kind):
    content, message = BROKEN[kind]
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(DataError, match=f"^images: .*{message}"):
        read_idx(tmp_path / "images", magic=0x803)


def test_a_magic_number_of_no_known_type(tmp_path):
    (tmp_path / "x").write_bytes(struct.pack(">II", 0x701, 0))
    with pytest.raises(DataError, match="^x: expected a known type"):
        read_idx(tmp_path / "x", magic=0x701)
