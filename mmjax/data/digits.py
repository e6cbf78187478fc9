"""Spoken and handwritten digits: the classic pair of sound and picture, from two real data sets.

The loaders look into `MMJAX_DATA`, then into the cache, then download; see `mmjax.data.download`.

Sources and licences:
- Free Spoken Digit Dataset 1.0.10, Z. Jackson and others,
  github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0. 3,000 recordings, 8 kHz, six
  speakers, 50 of each digit by each speaker.
- MNIST, Y. LeCun, C. Cortes and C. J. C. Burges, from the mirror that torchvision uses,
  CC BY-SA 3.0. 60,000 + 10,000 pictures of 28×28.
"""

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.data.digit_files import mnist_file, recordings_folder
from mmjax.data.errors import DataError
from mmjax.data.idx import read_idx
from mmjax.data.wav import read_wav

SPLITS = ("train", "test")
FILES = ("10k", "all")
_NAME = re.compile(r"([0-9])_(.+)_([0-9]+)\.wav")
_TEST_INDICES = 5  # recordings 0 to 4 of each speaker and digit are the official test set
_IMAGES, _LABELS = 0x00000803, 0x00000801  # the magic numbers of MNIST's files


@dataclass(frozen=True)
class SpokenDigits:
    """N recordings of digits, each padded with zeros at its end. Of `load_spoken_digits`.

    Attributes:
        audio: float32 [N, samples] in [-1, 1).
        lengths: int32 [N], how many samples of each row are recorded.
        labels: int32 [N], the digit.
        speakers: int32 [N], an index into `speaker_names`.
        takes: int32 [N], the number of the recording, from 0 for each speaker and digit.
        speaker_names: the names, in the order of the alphabet.
        sample_rate: samples a second.
        shortened: how many recordings were longer than a row and lost their end.
    """

    audio: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray
    takes: np.ndarray
    speaker_names: tuple[str, ...]
    sample_rate: int
    shortened: int

    @property
    def mask(self) -> np.ndarray:
        """bool [N, samples]: True where a sample is recorded, False where it is padding."""
        return _mask(self.audio, self.lengths)


@dataclass(frozen=True)
class HandwrittenDigits:
    """N pictures of digits. Of `load_handwritten_digits`.

    Attributes:
        images: uint8 [N, 28, 28], ink 255 on 0.
        labels: int32 [N], the digit.
        rows: int32 [N], each picture's place in its file.
        source: what the pictures are, in words: which files, and how they were split.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    source: str


@dataclass(frozen=True)
class PairedDigits:
    """P pairs of a recording and a picture of the same digit. Of `pair_digits`.

    Attributes:
        audio, lengths, mask: as in `SpokenDigits`, float32 [P, samples], int32 [P], bool.
        images: uint8 [P, 28, 28].
        labels: int32 [P].
        spoken, handwritten: int32 [P], the rows of the two sets that make a pair.
    """

    audio: np.ndarray
    lengths: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    spoken: np.ndarray
    handwritten: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """bool [P, samples]: True where a sample is recorded, False where it is padding."""
        return _mask(self.audio, self.lengths)


def load_spoken_digits(split: str = "train", *, samples: int = 8192) -> SpokenDigits:
    """The recordings of one part: 2,700 for training, 300 (takes 0 to 4) for the test.

    The six speakers are the same in both parts, so accuracy on the test is that on known voices;
    `speakers` allows to hold out a voice instead. Ordered by digit, speaker and take.

    Args:
        split: "train" or "test".
        samples: length of a row. A longer recording loses its end: of the default 8192 (1.02 s), 17
            of the 3,000 do; the longest has 18,262.

    Raises:
        ValueError: for another split or a length below 1.
        DataError: for a file that is named or written differently from the data set.
        DownloadError: when the recordings are nowhere and cannot be fetched.
    """
    require_one_of(split, SPLITS, "load_spoken_digits", "split")
    require(samples >= 1, "load_spoken_digits", "samples", expected="at least 1", got=samples)
    found = sorted(map(_parse, recordings_folder().glob("*.wav")))
    speaker_names = tuple(sorted({speaker for _, speaker, _, _ in found}))
    found = [entry for entry in found if (entry[2] < _TEST_INDICES) == (split == "test")]
    if not found:
        raise DataError(f"{recordings_folder()}: expected recordings for '{split}', got none")
    audio, lengths = np.zeros((len(found), samples), np.float32), np.zeros(len(found), np.int32)
    rates, shortened = {}, 0
    for row, (_, _, _, path) in enumerate(found):
        recording, rate = read_wav(path)
        rates.setdefault(rate, path.name)
        lengths[row] = min(len(recording), samples)
        shortened += len(recording) > samples
        audio[row, : lengths[row]] = recording[:samples]
    if len(rates) > 1:
        raise DataError(f"expected one sample rate, got several, for example {rates}")
    digits, speakers, takes, _ = zip(*found, strict=True)
    numbers = [digits, [speaker_names.index(speaker) for speaker in speakers], takes]
    columns = _frozen(audio, lengths, *(np.array(number, np.int32) for number in numbers))
    return SpokenDigits(*columns, speaker_names, next(iter(rates)), int(shortened))


def _parse(path: Path) -> tuple[int, str, int, Path]:
    """Digit, speaker, take and path of a recording; sorts by the first three."""
    match = _NAME.fullmatch(path.name)
    if not match:
        raise DataError(f"{path.name}: expected a name like 7_jackson_32.wav")
    return int(match[1]), match[2], int(match[3]), path


def load_handwritten_digits(split: str = "train", *, files: str = "10k") -> HandwrittenDigits:
    """The pictures of one part of MNIST.

    `files="10k"` (1.7 MB) takes the 10,000 pictures of MNIST's test set only, which is more than
    3,000 recordings need, and divides them: of each digit the fifth with the smallest SHA-256
    digests of their rows is the test, about 2,000 in all, and the rest is for training. A writer
    may be in both parts, so this is an easier test than MNIST's own, and figures must not be
    compared. `files="all"` (11.6 MB) takes the official parts, 60,000 and 10,000, of other writers.

    Raises:
        ValueError: for another split or another choice of files.
        DataError: for files that are damaged or do not fit together.
        DownloadError: when the files are nowhere and cannot be fetched.
    """
    require_one_of(split, SPLITS, "load_handwritten_digits", "split")
    require_one_of(files, FILES, "load_handwritten_digits", "files")
    part = "train" if (files, split) == ("all", "train") else "t10k"
    path = mnist_file(f"{part}-images-idx3-ubyte", files)
    images = read_idx(path, magic=_IMAGES)
    labels = read_idx(mnist_file(f"{part}-labels-idx1-ubyte", files), magic=_LABELS)
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or not (labels < 10).all():
        got = f"{list(images.shape)} and {list(labels.shape)} up to {labels.max(initial=0)}"
        raise DataError(f"{path.name}: expected [N, 28, 28] and N labels up to 9, got {got}")
    rows, source = np.arange(len(labels)), f"MNIST, official {split} set"
    if files == "10k":
        rows = _split_ten_thousand(labels, split)
        source = f"MNIST, {split} part of a split of the {len(labels):,} test pictures"
    columns = (images[rows], labels[rows].astype(np.int32), rows.astype(np.int32))
    return HandwrittenDigits(*_frozen(*columns), source)


def _split_ten_thousand(labels: np.ndarray, split: str) -> np.ndarray:
    chosen = []
    for digit in range(10):
        rows = _shuffled(np.flatnonzero(labels == digit), "split")
        number = round(len(rows) / 5)
        chosen.append(rows[:number] if split == "test" else rows[number:])
    return np.sort(np.concatenate(chosen))


def pair_digits(
    spoken: SpokenDigits, handwritten: HandwrittenDigits, *, seed: int, pictures: int = 1
) -> PairedDigits:
    """Gives each recording pictures of its digit; no picture is in two pairs.

    Which ones is decided by SHA-256 digests of the seed and the picture's row: the same on every
    platform and with every version of NumPy. Ordered as the recordings are, so batches have to be
    shuffled.

    Args:
        spoken, handwritten: the two sets; parts of one kind, or the test leaks into the training.
        seed: another seed makes other pairs.
        pictures: pairs for each recording, with different pictures.

    Raises:
        ValueError: for fewer pictures of a digit than its recordings need.
    """
    require(pictures >= 1, "pair_digits", "pictures", expected="at least 1", got=pictures)
    free = {
        digit: list(_shuffled(np.flatnonzero(handwritten.labels == digit), seed))
        for digit in range(10)
    }
    rows = defaultdict(list)
    for row, digit in enumerate(spoken.labels.tolist()):
        got = len(free[digit])
        expected = f"a picture of digit {digit} for each pair, {pictures} a recording"
        require(got >= pictures, "pair_digits", "handwritten", expected=expected, got=got)
        for _ in range(pictures):
            rows["spoken"].append(row)
            rows["handwritten"].append(free[digit].pop())
    first, second = (np.array(rows[name], np.int32) for name in ("spoken", "handwritten"))
    columns = (spoken.audio[first], spoken.lengths[first], handwritten.images[second])
    return PairedDigits(*_frozen(*columns, spoken.labels[first], first, second))


def _shuffled(rows: np.ndarray, seed: int | str) -> np.ndarray:
    def key(row):
        return hashlib.sha256(f"{seed} {row}".encode()).digest()

    return np.array(sorted(rows.tolist(), key=key), np.int64)


def _mask(audio: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return np.arange(audio.shape[1]) < lengths[:, None]


def _frozen(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    for column in columns:
        column.flags.writeable = False
    return columns
