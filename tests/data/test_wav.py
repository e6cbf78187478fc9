"""WAV files: against Python's own `wave` module, and every way in which a file can be broken."""

import struct
import wave

import numpy as np
import pytest

from mmjax.data.errors import DataError
from mmjax.data.wav import read_wav

RATE = 8000
PCM_GUID = struct.pack("<HHHH", 1, 0, 0, 0x10) + bytes.fromhex("800000aa00389b71")


def write(path, integers, bits, *, rate=RATE, channels=1):
    """Signed integers as a WAV file, by the standard library; 8 bits are stored unsigned."""
    if bits == 8:
        data = bytes(int(value) + 128 for value in integers)
    else:
        data = b"".join(int(value).to_bytes(bits // 8, "little", signed=True) for value in integers)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def chunk(letters, content):
    return letters + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def header(code=1, channels=1, rate=RATE, block=2, bits=16, more=b""):
    return struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits) + more


def riff(*chunks):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_samples_are_fractions_of_the_full_range(tmp_path, bits):
    full = 2 ** (bits - 1)
    integers = [0, 1, -1, full // 3, -full // 3, full - 1, -full]
    samples, rate = read_wav(write(tmp_path / "x.wav", integers, bits, rate=11025))
    assert samples.dtype == np.float32 and rate == 11025
    np.testing.assert_array_equal(samples, (np.array(integers) / full).astype(np.float32))


def test_sixteen_bits_lose_nothing(tmp_path):
    integers = np.arange(-(2**15), 2**15)
    samples, _ = read_wav(write(tmp_path / "x.wav", integers, 16))
    np.testing.assert_array_equal(samples.astype(np.float64) * 2**15, integers)
    assert samples.min() == -1 and samples.max() < 1


def test_other_chunks_are_passed_over_with_their_padding(tmp_path):
    path = tmp_path / "x.wav"
    data = chunk(b"data", b"\x00\x40\x00\xc0")
    path.write_bytes(
        riff(chunk(b"LIST", b"odd"), chunk(b"fmt ", header()), chunk(b"fact", b"1234"), data)
        + chunk(b"LIST", b"cut off later")[:7]
    )
    np.testing.assert_array_equal(read_wav(path)[0], np.array([0.5, -0.5], np.float32))


def test_the_extended_header_of_deep_samples(tmp_path):
    path = tmp_path / "x.wav"
    more = struct.pack("<HHI", 22, 24, 4) + PCM_GUID
    form = header(code=0xFFFE, block=3, bits=24, more=more)
    path.write_bytes(riff(chunk(b"fmt ", form), chunk(b"data", b"\0\0\x40")))
    np.testing.assert_array_equal(read_wav(path)[0], np.array([0.5], np.float32))


DATA = chunk(b"data", b"\1\2\3\4")
FORMAT = chunk(b"fmt ", header())
BROKEN = {
    "empty": (b"", "expected a WAV file"),
    "other": (b"not a sound" * 9, "expected a WAV file"),
    "big endian": (b"RIFX" + riff(FORMAT, DATA)[4:], "expected a WAV file"),
    "header only": (riff(), "expected the chunks"),
    "no samples": (riff(FORMAT), "expected the chunks"),
    "no format": (riff(DATA), "expected the chunks"),
    "format too late": (riff(DATA, FORMAT), "expected the chunks"),
    "short format": (riff(chunk(b"fmt ", header()[:14]), DATA), "16 bytes or more in 'fmt '"),
    "zero samples": (riff(FORMAT, chunk(b"data", b"")), "at least one, got 0 bytes"),
    "half a sample": (riff(FORMAT, chunk(b"data", b"\1\2\3")), "whole samples of 2 bytes"),
    "float": (riff(chunk(b"fmt ", header(code=3, block=4, bits=32)), DATA), "format 0x0003"),
    "a-law": (riff(chunk(b"fmt ", header(code=6, block=1, bits=8)), DATA), "format 0x0006"),
    "extended float": (
        riff(chunk(b"fmt ", header(code=0xFFFE, more=b"\x16\0\x10\0\4\0\0\0\3" + bytes(15))), DATA),
        "format 0xfffe",
    ),
    "stereo": (riff(chunk(b"fmt ", header(channels=2, block=4)), DATA), "one channel, got 2"),
    "12 bits": (riff(chunk(b"fmt ", header(bits=12)), DATA), "got 12 bits in 2 bytes"),
    "wrong block": (riff(chunk(b"fmt ", header(block=4)), DATA), "got 16 bits in 4 bytes"),
    "no rate": (riff(chunk(b"fmt ", header(rate=0)), DATA), "at 0 Hz"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_with_its_fault(tmp_path, kind):
    content, message = BROKEN[kind]
    (tmp_path / "7_ann_3.wav").write_bytes(content)
    with pytest.raises(DataError, match=f"^7_ann_3.wav: .*{message}"):
        read_wav(tmp_path / "7_ann_3.wav")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = write(tmp_path / "x.wav", range(5), 16)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="^x.wav: "):
            read_wav(path)
    path.write_bytes(whole[:-2])
    with pytest.raises(DataError, match="truncated: chunk b'data' says 10 bytes, 8 are there"):
        read_wav(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "x.wav")
