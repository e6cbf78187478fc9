"""Fashion-MNIST: real pictures of clothes, with descriptions made from what can be measured.

Source: H. Xiao, K. Rasul and R. Vollgraf (2017), "Fashion-MNIST: a novel image dataset for
benchmarking machine learning algorithms", arXiv:1708.07747; repository
zalandoresearch/fashion-mnist, MIT licence. 60,000 + 10,000 grey pictures of 28×28, ten classes, in
the format of MNIST.

The files are looked for in `MMJAX_DATA`, then in the cache, in a folder `fashion`:

    fashion/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz      (or without .gz)

and only then downloaded (30 MB for both parts). The publisher gives MD5 digests, which guard
against damage and not against malice; the address has no https.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.data.download import data_folders
from mmjax.data.errors import DataError
from mmjax.data.idx import read_idx
from mmjax.data.published import fetch_published

FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MD5 = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)
PARTS = {"train": "train", "test": "t10k"}
_IMAGES, _LABELS = 0x00000803, 0x00000801  # the magic numbers of MNIST's format
INK, BRIGHT, LONG = 32, 128, 1.3
"""What `describe_fashion` calls covered, light, and tall or wide."""


@dataclass(frozen=True)
class FashionPictures:
    """N pictures of clothes. Of `load_fashion`.

    Attributes:
        images: uint8 [N, 28, 28], cloth up to 255 on 0.
        labels: int32 [N], an index into CLASSES.
    """

    images: np.ndarray
    labels: np.ndarray


def fashion_available(split: str = "test") -> bool:
    """Whether a part can be loaded without a download; it downloads nothing.

    Raises ValueError for another split, and for nothing else.
    """
    require_one_of(split, PARTS, "fashion_available", "split")
    try:
        return _local(split) is not None
    except (OSError, ValueError, RuntimeError):
        return False


def load_fashion(split: str = "train") -> FashionPictures:
    """The pictures of one official part, 60,000 for "train" or 10,000 for "test".

    Raises:
        ValueError: for another split.
        DataError: for files that are damaged or do not fit together.
        DownloadError: when the files are nowhere and cannot be fetched.
    """
    folder = _local(split) or _fetch(split)
    images_name, labels_name = _names(split)
    path = _variant(folder, images_name)
    images = read_idx(path, magic=_IMAGES)
    labels = read_idx(_variant(folder, labels_name), magic=_LABELS)
    fits = images.shape[1:] == (28, 28) and len(images) == len(labels) > 0
    if not (fits and (labels < len(CLASSES)).all()):
        got = f"{list(images.shape)} and {list(labels.shape)} up to {labels.max(initial=0)}"
        raise DataError(f"{path.name}: expected [N, 28, 28] and N labels up to 9, got {got}")
    labels = labels.astype(np.int32)
    images.flags.writeable = labels.flags.writeable = False
    return FashionPictures(images, labels)


def describe_fashion(images: np.ndarray, labels: np.ndarray) -> list[str]:
    """A description of each picture: "a light tall dress", "a dark trouser".

        a Brightness [Form] Class
        Brightness: light where the mean of the covered pixels is at least 128, else dark
        Form: tall (wide) where the box around them is at least 1.3 times as high (wide), else none

    A pixel is covered from 32 on. The class is the label, the rest is measured from the picture.
    images uint8 [N, 28, 28], labels int [N] from 0 to 9. Raises ValueError for others.
    """
    where, images, labels = "describe_fashion", np.asarray(images), np.asarray(labels)
    ok = images.ndim == 3 and images.shape[1:] == (28, 28) and images.dtype == np.uint8
    require(ok, where, "images", expected="uint8 [N, 28, 28]", got=images)
    ok = labels.shape == images.shape[:1] and ((labels >= 0) & (labels < len(CLASSES))).all()
    require(bool(ok), where, "labels", expected=f"[{len(images)}] from 0 to 9", got=labels)
    covered = images >= INK
    mean = (images * covered).sum(axis=(1, 2)) / np.maximum(covered.sum(axis=(1, 2)), 1)
    height, width = _extent(covered.any(axis=2)), _extent(covered.any(axis=1))
    texts = []
    for label, light, high, broad in zip(
        labels.tolist(), mean >= BRIGHT, height, width, strict=True
    ):
        form = "tall " if high >= LONG * broad else "wide " if broad >= LONG * high else ""
        texts.append(f"a {'light' if light else 'dark'} {form}{CLASSES[label]}")
    return texts


def _extent(covered: np.ndarray) -> np.ndarray:
    """From the first to the last True of each row [N, 28], in pixels; 1 where there is none."""
    last = covered.shape[1] - covered[:, ::-1].argmax(axis=1)
    return np.where(covered.any(axis=1), last - covered.argmax(axis=1), 1)


def _names(split: str) -> tuple[str, str]:
    require_one_of(split, PARTS, "load_fashion", "split")
    return tuple(name for name in FASHION_MD5 if name.startswith(PARTS[split] + "-"))


def _local(split: str) -> Path | None:
    names = _names(split)
    for folder in data_folders():
        if all(_variant(folder / "fashion", name) for name in names):
            return folder / "fashion"
    return None


def _variant(folder: Path, name: str) -> Path | None:
    """The file, compressed or not."""
    options = (folder / f"{name}.gz", folder / name)
    return next((path for path in options if path.is_file()), None)


def _fetch(split: str) -> Path:
    for name in _names(split):
        file = f"{name}.gz"
        path = fetch_published(FASHION_URL + file, "fashion", file, FASHION_MD5[name])
    return path.parent
