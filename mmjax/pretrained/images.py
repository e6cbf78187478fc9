"""Pictures as published models expect them: resized, cropped, scaled and shifted.

Radford et al. (2021) and Zhai et al. (2023), as in their released code. A model gives its published
numbers only for pictures that were prepared as in its training.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from mmjax.checks import require, require_type


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes an array: its side in pixels, whether it is cropped, and its colours.

    crop: the shorter side becomes `side` and the middle is cut out; else both sides become `side`.
    x = (pixel / 255 − mean) / deviation, for red, green and blue.
    """

    side: int
    crop: bool
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def __post_init__(self):
        require(self.side >= 1, "Preparation", "side", expected="at least 1", got=self.side)

    def __call__(self, images: list[Image.Image]) -> np.ndarray:
        """B pictures of any size and mode → float32 [B, side, side, 3].

        Raises ValueError for no picture, TypeError for something that is none.
        """
        require(len(images) > 0, "Preparation", "images", expected="at least one", got=images)
        return np.stack([self._one(image) for image in images])

    def _one(self, image: Image.Image) -> np.ndarray:
        is_image = isinstance(image, Image.Image)
        require_type(is_image, "Preparation", "images", expected="Pillow images", got=repr(image))
        image, side = image.convert("RGB"), self.side
        width, height = image.size
        if self.crop:
            short = min(width, height)
            width, height = int(side * width / short), int(side * height / short)
            image = image.resize((width, height), Image.Resampling.BICUBIC)
            left, top = (width - side) // 2, (height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        else:
            image = image.resize((side, side), Image.Resampling.BICUBIC)
        pixels = np.asarray(image, np.float32) / 255
        mean, deviation = (np.asarray(x, np.float32) for x in (self.mean, self.deviation))
        return (pixels - mean) / deviation


def clip_preparation(side: int = 224) -> Preparation:
    """That of OpenAI's CLIP: the middle of the picture, the colours of its training data."""
    mean = (0.48145466, 0.4578275, 0.40821073)
    return Preparation(side, True, mean, (0.26862954, 0.26130258, 0.27577711))


def siglip_preparation(side: int = 224) -> Preparation:
    """That of SigLIP: the whole picture made square, numbers from −1 to 1."""
    return Preparation(side, False, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
