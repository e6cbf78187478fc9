"""Your own pairs: a folder of pictures with captions, the form in which a project begins.

    my_project/
        captions.csv        image,caption
        dog.jpg             dog.jpg,a dog runs over the grass
        park/tree.png       park/tree.png,"an old tree, without leaves"

A picture may have several captions, one a row. Instead of `captions.csv` there may be a file with
COCO's captions as JSON.
"""

import contextlib
import hashlib
import posixpath
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.data.captions import Rows, read_captions
from mmjax.data.errors import DataError
from mmjax.data.pictures import read_picture

_PARTS = {"train": 0.8, "test": 0.2}
_SHOWN = 5  # broken files named in one message


@dataclass(frozen=True)
class Pairs:
    """I pictures and their N captions. Of `load_pairs`.

    Attributes:
        images: uint8 [I, height, width, 3], in the order of their first captions.
        names: I paths below the folder, with forward slashes.
        captions: N texts, in the order of the file.
        image_of: int32 [N], the picture of each caption: an index into `images`.
        broken: path and reason of each picture that was skipped, with its captions.
    """

    images: np.ndarray
    names: tuple[str, ...]
    captions: tuple[str, ...]
    image_of: np.ndarray
    broken: tuple[tuple[str, str], ...] = ()


def load_pairs(
    folder: str | Path,
    captions: str | Path = "captions.csv",
    *,
    size: int | tuple[int, int] = 64,
    broken: str = "raise",
) -> Pairs:
    """Reads a folder of pictures with captions.

    Pictures may have any format, size and colours that Pillow can read; `read_picture` says how
    they become RGB of one size.

    Args:
        folder: where the pictures are.
        captions: the file with the captions, as a path from the folder: CSV, or JSON of COCO.
        size: the side of a square in pixels, or height and width.
        broken: what happens to pictures that cannot be read. "raise" names them in one error,
            "skip" names them in one warning and leaves them out with their captions.

    Raises:
        DataError: for a folder or file of captions that is missing, a file of captions that is
            wrong (see `read_captions`), a path that leaves the folder, pictures that cannot be
            read, or none that can.
        ValueError: for another `broken`, or a size below 1.
    """
    require_one_of(broken, ("raise", "skip"), "load_pairs", "broken")
    sides = (size, size) if isinstance(size, int) else tuple(size)
    ok = len(sides) == 2 and all(isinstance(side, int) and side >= 1 for side in sides)
    require(ok, "load_pairs", "size", expected="one or two whole numbers from 1", got=repr(size))
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder with pictures and captions")
    rows = [(_inside(folder, name), text) for name, text in read_captions(folder / captions)]
    images, failed = _read_all(folder, dict.fromkeys(name for name, _ in rows), sides)
    if failed and (broken == "raise" or not images):
        raise DataError(_report(failed, len(images) + len(failed)))
    if failed:
        warnings.warn(_report(failed, len(images) + len(failed)) + "; skipped", stacklevel=2)
    return _pairs(rows, images, failed)


def _inside(folder: Path, name: str) -> str:
    """The path below the folder, in one spelling; raises where it leads out of the folder."""
    path = PurePosixPath(posixpath.normpath(name.replace("\\", "/")))
    stays = not (path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive)
    if stays and "\0" not in name:  # a link may still lead out
        with contextlib.suppress(OSError, RuntimeError):  # links that run in a circle
            if (folder / path).resolve().is_relative_to(folder.resolve()):
                return path.as_posix()
    raise DataError(f"{name!r}: expected a path that stays in {folder}")


def _read_all(folder, names, sides):
    """Pictures by name, and reasons by the names of those that cannot be read."""
    images, failed = {}, {}
    for name in names:
        try:
            images[name] = read_picture(folder / name, sides)
        except DataError as error:
            failed[name] = str(error).removeprefix(f"{Path(name).name}: ")
    return images, failed


def _report(failed: dict[str, str], total: int) -> str:
    shown = [f"{name} ({reason})" for name, reason in list(failed.items())[:_SHOWN]]
    more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
    return f"{len(failed)} of {total} pictures cannot be read: {', '.join(shown)}{more}"


def _pairs(rows: Rows, images: dict[str, np.ndarray], failed: dict[str, str]) -> Pairs:
    places = {name: place for place, name in enumerate(images)}
    kept = [(places[name], text) for name, text in rows if name in places]
    image_of, texts = zip(*kept, strict=True)
    columns = np.stack(list(images.values())), np.array(image_of, np.int32)
    for column in columns:
        column.flags.writeable = False
    return Pairs(columns[0], tuple(images), texts, columns[1], tuple(failed.items()))


def split_pairs(
    pairs: Pairs, parts: Mapping[str, float] = _PARTS, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Divides the captions: the name of a part → indices int32, ascending, of its captions.

    All captions of a picture are in one part. Which one depends on the SHA-256 digest of
    "seed name" alone, read as a fraction of 1, so a picture that is added later moves no other. The
    shares are therefore those of a large folder; a small one deviates.

    Raises:
        ValueError: for shares that are not positive or do not add up to 1, or a part that gets no
            picture.
    """
    shares = np.array(list(parts.values()), np.float64)
    ok = len(shares) > 0 and (shares > 0).all() and abs(shares.sum() - 1) < 1e-9
    expected = "positive shares with the sum 1"
    require(ok, "split_pairs", "parts", expected=expected, got=repr(dict(parts)))
    digests = [hashlib.sha256(f"{seed} {name}".encode()).digest() for name in pairs.names]
    places = np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
    part_of_image = np.searchsorted(np.cumsum(shares)[:-1], places, side="right")
    found = {}
    for number, name in enumerate(parts):
        found[name] = np.flatnonzero(part_of_image[pairs.image_of] == number).astype(np.int32)
        expected = f"a picture in the part '{name}' (a larger share, or another seed)"
        got = f"none of {len(pairs.names)}"
        require(len(found[name]) > 0, "split_pairs", "parts", expected=expected, got=got)
    return found


def pair_batches(
    pairs: Pairs, indices: np.ndarray, batch_size: int, *, seed: int
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches of the captions `indices` with their pictures, in an order that `seed` fixes.

    No caption is twice in an epoch. The last len(indices) mod batch_size of an epoch wait for
    another, so that all batches have one shape.

    A batch holds `images` uint8 [B, height, width, 3], `captions` [B] of str, `image_of` int32 [B]
    and `caption` int32 [B], the index of the caption. Two captions of one picture may meet in a
    batch; `image_of` tells which, as a contrastive loss must not take them for negatives.

    Raises ValueError for an index out of range, or a batch size that is not between 1 and
    len(indices).
    """
    indices = np.asarray(indices)
    ok = indices.ndim == 1 and indices.dtype.kind in "iu" and len(indices) > 0
    ok = ok and 0 <= indices.min() and indices.max() < len(pairs.captions)
    expected = f"whole numbers [N] from 0 to {len(pairs.captions) - 1}"
    require(ok, "pair_batches", "indices", expected=expected, got=indices)
    expected, ok = f"between 1 and {len(indices)}", 1 <= batch_size <= len(indices)
    require(ok, "pair_batches", "batch_size", expected=expected, got=batch_size)
    return _batches(pairs, indices, batch_size, np.random.default_rng(seed))


def _batches(pairs, indices, batch_size, rng):
    texts = np.array(pairs.captions, object)
    while True:
        order = rng.permutation(indices)
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size].astype(np.int32)
            image_of = pairs.image_of[chosen]
            yield {
                "images": pairs.images[image_of],
                "captions": texts[chosen],
                "image_of": image_of,
                "caption": chosen,
            }
