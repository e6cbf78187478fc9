"""Any picture that Pillow can read, as an array of one size in red, green and blue."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from mmjax.data.errors import DataError

_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_CLEAR = ("RGBA", "LA", "PA", "La", "RGBa")


def read_picture(path: Path, size: int | tuple[int, int]) -> np.ndarray:
    """Reads a picture: uint8 [height, width, 3], red, green and blue, 255 the brightest.

    It is turned the way its EXIF orientation says, cropped about its centre to the shape that is
    asked for, and resized with an antialiasing filter. What is transparent becomes white. Grey
    levels of 16 bits are divided by 257, so that 65,535 becomes 255. Other deep pictures (32-bit
    integers beyond that, floating-point numbers beyond 0 to 1) have no known white and are scaled
    from their smallest to their largest value. Of an animation the first picture is taken.

    Args:
        path: the file.
        size: the side of a square, or height and width.

    Raises:
        DataError: for a file that is missing, empty, truncated, of no format that Pillow knows, or
            of more pixels than Pillow allows for safety (179 million).
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path.name}: the file has zero bytes")
        with warnings.catch_warnings():  # of odd metadata, which does not concern the pixels
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return _prepared(image, size)
    except FileNotFoundError:
        raise DataError(f"{path.name}: there is no such file") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{path.name}: not a picture in a format that Pillow knows") from None
    except DataError:
        raise
    except Exception as error:  # the decoders of the many formats raise errors of many types
        raise DataError(f"{path.name}: {str(error).strip() or type(error).__name__}") from None


def _prepared(image: Image.Image, size: int | tuple[int, int]) -> np.ndarray:
    height, width = (size, size) if isinstance(size, int) else size
    longest = 2 * max(height, width)
    image.draft(None, (longest, longest))  # a large JPEG is decoded at a half, quarter or eighth
    image = _in_colour(ImageOps.exif_transpose(image))
    image = ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS)
    return np.asarray(image)


def _in_colour(image: Image.Image) -> Image.Image:
    """The picture in mode RGB."""
    if image.mode in _DEEP:
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.applyTransform(
            image, ImageCms.buildTransform(*profiles, inMode="LAB", outMode="RGB")
        )
    if image.mode == "La":  # its only way out
        image = image.convert("LA")
    if image.mode in _CLEAR or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey levels uint8 of a picture with more than 256 of them."""
    white = 1 if values.dtype.kind == "f" else 65535
    low, high = 0.0, float(white)
    if values.min() < 0 or values.max() > white:
        low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high) and np.isfinite(values).all()):
        raise ValueError("holds values that are not finite")
    return np.rint((values - low) / (high - low or 1.0) * 255).astype(np.uint8)
