"""Two small public sets of medical pictures, from MedMNIST v2: breast ultrasound and chest X-ray.

A set is one file, `medmnist/NAME.npz`, in the folder that `MMJAX_DATA` names or in the cache; else
it is downloaded. It holds six arrays: pictures uint8 [N, 28, 28] and labels uint8 [N, 1] for each
of train, val and test.

Source and licence: J. Yang, R. Shi, D. Wei, Z. Liu, L. Zhao, B. Ke, H. Pfister and B. Ni (2023),
"MedMNIST v2", Scientific Data 10, 41; CC BY 4.0. BreastMNIST after Al-Dhabyani et al. (2020),
PneumoniaMNIST after Kermany et al. (2018). Its authors: not for clinical use.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmjax.checks import require_one_of
from mmjax.data.download import data_folders
from mmjax.data.errors import DataError
from mmjax.data.published import fetch_published

URL = "https://zenodo.org/record/6496656/files/{name}.npz?download=1"
SPLITS = ("train", "val", "test")
_UNREADABLE = (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Facts:
    """What the publisher says of a set: MD5 of the file, meaning of labels."""

    md5: str
    labels: tuple[str, str]
    ill: int
    """The label of the disease; it is 0 in one set and 1 in the other."""


SETS = {
    "breastmnist": Facts("750601b1f35ba3300ea97c75c52ff8f6", ("malignant", "normal, benign"), 0),
    "pneumoniamnist": Facts("28209eda62fecd6e6a2d98b1501bb15f", ("normal", "pneumonia"), 1),
}


@dataclass(frozen=True)
class MedicalPictures:
    """N pictures of one split. Of `load_medmnist`.

    Attributes:
        pictures: uint8 [N, 28, 28], or [N, 28, 28, 3] for a set in colour.
        disease: int32 [N], 1 for the disease whatever its label in the file is.
        labels: int32 [N], as in the file.
        label_names: what labels 0 and 1 mean.
    """

    pictures: np.ndarray
    disease: np.ndarray
    labels: np.ndarray
    label_names: tuple[str, str]


def medmnist_available(name: str = "pneumoniamnist") -> bool:
    """Whether a set can be loaded without a download. Never downloads.

    Raises ValueError for a name that is not in SETS.
    """
    require_one_of(name, SETS, "medmnist_available", "name")
    try:
        return _local(name) is not None
    except (OSError, ValueError):
        return False


def load_medmnist(name: str = "pneumoniamnist", split: str = "train") -> MedicalPictures:
    """One split of a set; downloads the file (0.6 or 4 MB) if it is nowhere.

    Raises:
        ValueError: for a name that is not in SETS, or another split than train, val and test.
        DataError: for a file that is not in MedMNIST's format.
        DownloadError: when the file is nowhere and cannot be fetched, or has another MD5 digest.
    """
    require_one_of(name, SETS, "load_medmnist", "name")
    require_one_of(split, SPLITS, "load_medmnist", "split")
    path = _local(name) or _fetch(name)
    pictures, labels = _read(path, split)
    labels = labels[:, 0].astype(np.int32)
    disease = (labels == SETS[name].ill).astype(np.int32)
    for array in (pictures, disease, labels):
        array.flags.writeable = False
    return MedicalPictures(pictures, disease, labels, SETS[name].labels)


def _local(name: str) -> Path | None:
    options = (folder / "medmnist" / f"{name}.npz" for folder in data_folders())
    return next((path for path in options if path.is_file()), None)


def _fetch(name: str) -> Path:
    return fetch_published(URL.format(name=name), "medmnist", f"{name}.npz", SETS[name].md5)


def _read(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            pictures, labels = file[f"{split}_images"], file[f"{split}_labels"]
    except KeyError:
        raise DataError(f"{path.name}: expected {split}_images and {split}_labels") from None
    except _UNREADABLE as error:
        raise DataError(f"{path.name}: expected an .npz file of arrays ({error})") from None
    number = len(pictures) if pictures.ndim else 0
    fits = pictures.shape in ((number, 28, 28), (number, 28, 28, 3)) and number > 0
    if not fits or pictures.dtype != np.uint8:
        got = f"{pictures.dtype}{list(pictures.shape)}"
        raise DataError(f"{path.name}: {split}_images: expected uint8 [N, 28, 28], got {got}")
    whole = labels.dtype.kind in "ui" and labels.shape == (number, 1)
    if not whole or not ((labels == 0) | (labels == 1)).all():
        got = f"{labels.dtype}{list(labels.shape)}"
        expected = f"0 and 1, whole numbers [{number}, 1]"
        raise DataError(f"{path.name}: {split}_labels: expected {expected}, got {got}")
    return pictures, labels
