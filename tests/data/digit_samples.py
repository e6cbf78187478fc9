"""Small data sets in the exact formats of the real ones, for tests without them."""

import gzip
import struct
import wave

import numpy as np

SPEAKERS = ("ann", "bo_2", "eve")
TAKES = 7


def recording(digit, speaker, take):
    """int16 samples: each recording has its own length and its own values."""
    length = 11 + 13 * digit + 3 * SPEAKERS.index(speaker) + take
    return (np.arange(length) * 100 + digit * 1000 + take).astype(np.int16)


def write_recordings(folder, rate=8000):
    folder.mkdir(parents=True)
    for digit in range(10):
        for speaker in SPEAKERS:
            for take in range(TAKES):
                write_wav(folder / f"{digit}_{speaker}_{take}.wav", digit, speaker, take, rate)


def write_wav(path, digit, speaker, take, rate):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(recording(digit, speaker, take).astype("<i2").tobytes())


def mnist_files(part, number):
    """The contents of one part's two files; a picture's first two pixels hold its row."""
    rows = np.arange(number)
    images = np.zeros((number, 28, 28), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = rows // 256, rows % 256
    labels = (rows * 7 % 10).astype(np.uint8)
    return {
        f"{part}-images-idx3-ubyte": struct.pack(">4I", 0x803, *images.shape) + images.tobytes(),
        f"{part}-labels-idx1-ubyte": struct.pack(">2I", 0x801, number) + labels.tobytes(),
    }


def write_mnist(folder, part="t10k", number=260, compressed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in mnist_files(part, number).items():
        if compressed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def rows_of(images):
    """The rows in the file that the pictures say they come from."""
    return images[:, 0, 0].astype(int) * 256 + images[:, 0, 1]
