"""Augmentation: a picture stays the same thing when it moves a little."""

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.checks import require


def random_shift(images: Array, key: Array, *, pixels: int) -> Array:
    """Moves each image by its own random offset, up to `pixels` in both directions.

    out[b, i, j] = images[b, i + d_b, j + e_b],  d_b and e_b uniform on −pixels … pixels,
    zero where that lies outside. images [B, height, width, C]; returns the same shape and dtype.
    Raises ValueError for another rank or a negative number of pixels.
    """
    require(
        images.ndim == 4, "random_shift", "images", expected="[B, height, width, C]", got=images
    )
    require(pixels >= 0, "random_shift", "pixels", expected="at least 0", got=pixels)
    if pixels == 0:
        return images
    sides = images.shape[1:]
    padded = jnp.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    offsets = jax.random.randint(key, (len(images), 2), 0, 2 * pixels + 1)
    cut = lambda image, d: jax.lax.dynamic_slice(image, (d[0], d[1], 0), sides)  # noqa: E731
    return jax.vmap(cut)(padded, offsets)
