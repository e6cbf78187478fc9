"""Sound files: RIFF/WAVE with uncompressed samples.

Format: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991. A
file is a sequence of chunks: four letters, a length, that many bytes, and a padding byte after an
odd length. `fmt ` says how samples are stored, `data` holds them.
"""

import struct
from pathlib import Path

import numpy as np

from mmjax.data.errors import DataError

_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
# The 16 bytes by which an extensible header says PCM: the code, then a fixed tail.
_PCM_SUBFORMAT = bytes.fromhex("0100000000001000800000aa00389b71")
_BITS = (8, 16, 24, 32)


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Reads a mono WAV file: samples float32 [N] in [-1, 1), and samples a second.

    The formula, for b bits: sample / 2^(b-1), after 2^(b-1) is taken from the unsigned samples of
    8 bits. 16-bit samples and their quotients are exact in float32; those of 32 bits are rounded.

    Raises:
        DataError: for a file that is no WAVE file, is truncated or holds no samples; for more than
            one channel, compressed or floating-point samples, or another number of bits.
        OSError: for a file that is not there or may not be read.
    """
    name = Path(path).name
    chunks = _chunks(Path(path).read_bytes(), name)
    if b"fmt " not in chunks or b"data" not in chunks:
        raise DataError(f"{name}: expected the chunks 'fmt ' and 'data', got {sorted(chunks)}")
    rate, bits = _format(chunks[b"fmt "], name)
    data = chunks[b"data"]
    if not data or len(data) % (bits // 8):
        expected = f"whole samples of {bits // 8} bytes, at least one"
        raise DataError(f"{name}: expected {expected}, got {len(data)} bytes")
    return _samples(data, bits), rate


def _chunks(content: bytes, name: str) -> dict[bytes, bytes]:
    """The chunks up to the samples, by their letters."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise DataError(f"{name}: expected a WAV file (RIFF … WAVE), got {content[:12]!r}")
    chunks, position = {}, 12
    while position + 8 <= len(content) and b"data" not in chunks:
        letters, length = struct.unpack_from("<4sI", content, position)
        chunk = content[position + 8 : position + 8 + length]
        if len(chunk) < length:
            there = f"says {length:,} bytes, {len(chunk):,} are there"
            raise DataError(f"{name}: truncated: chunk {letters!r} {there}")
        chunks[letters] = chunk
        position += 8 + length + length % 2
    return chunks


def _format(chunk: bytes, name: str) -> tuple[int, int]:
    """Samples a second and bits a sample, after a check of all that is said about them."""
    if len(chunk) < 16:
        raise DataError(f"{name}: expected 16 bytes or more in 'fmt ', got {len(chunk)}")
    code, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    pcm = code == _PCM or (code == _EXTENSIBLE and chunk[24:40] == _PCM_SUBFORMAT)
    if not pcm:
        raise DataError(f"{name}: expected uncompressed samples (PCM), got format {code:#06x}")
    if channels != 1:
        raise DataError(f"{name}: expected one channel, got {channels}")
    if bits not in _BITS or block != bits // 8 or rate == 0:
        got = f"{bits} bits in {block} bytes at {rate} Hz"
        raise DataError(f"{name}: expected samples of 8, 16, 24 or 32 bits, got {got}")
    return rate, bits


def _samples(data: bytes, bits: int) -> np.ndarray:
    if bits == 8:
        return np.frombuffer(data, np.uint8).astype(np.float32) / np.float32(128) - np.float32(1)
    if bits == 16:
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(2**15)
    if bits == 24:  # three bytes become the upper three of four, so the sign is in its place
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data = wide.tobytes()
    return (np.frombuffer(data, "<i4") / 2**31).astype(np.float32)
