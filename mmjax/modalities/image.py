"""Images as tokens: a grid of square patches, each one a row of numbers.

Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", section 3.1: x of shape [height, width,
C] becomes x_p of shape [T, P * P * C] with T = height * width / P^2. A linear map of x_p is the
same as a convolution with kernel and stride P, done as one matrix product.
"""

from typing import TypeVar

import jax.numpy as jnp

from mmjax.checks import require, require_type
from mmjax.modalities.arguments import keep_real

Array = TypeVar("Array")  # a NumPy or a JAX array: out comes what went in


def patchify(images: Array, patch_size: int) -> Array:
    """Cuts images into patches: x_p[b, t, (i, j, c)] = x[b, r * P + i, s * P + j, c].

    Patch t = r * (width / P) + s lies in row r and column s of the grid.

    Args:
        images: [B, height, width, C], any dtype.
        patch_size: P, which must divide both sides.

    Returns:
        [B, T, P * P * C] with T = (height / P) * (width / P).

    Raises:
        TypeError: for a patch size that is no whole number.
        ValueError: for another rank, an empty batch, or sides that P does not divide.
    """
    _check_patch_size(patch_size, "patchify")
    shape = images.shape
    batch = len(shape) == 4 and 0 not in shape
    expected = "shape [B, height, width, C], nothing empty"
    require(batch, "patchify", "images", expected=expected, got=images)
    B, height, width, C = shape
    P = patch_size
    _check_sides(height, width, P, "patchify", "images")
    grid = images.reshape(B, height // P, P, width // P, P, C)  # [B, row, i, column, j, C]
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(B, -1, P * P * C)


def unpatchify(patches: Array, patch_size: int, height: int, width: int) -> Array:
    """Puts patches together again: the inverse of `patchify`.

    Args:
        patches: [B, T, P * P * C] with T = (height / P) * (width / P).
        patch_size: P, which must divide both sides.
        height, width: sides of the images in pixels.

    Returns:
        [B, height, width, C].

    Raises:
        TypeError: for a patch size that is no whole number.
        ValueError: for another rank, a wrong number or size of patches, or sides that P does not
            divide.
    """
    P = patch_size
    _check_patch_size(P, "unpatchify")
    _check_sides(height, width, P, "unpatchify", "height, width")
    rows, columns = height // P, width // P
    shape = patches.shape
    right = len(shape) == 3 and 0 not in shape and shape[1] == rows * columns
    right = right and shape[2] % (P * P) == 0
    expected = f"shape [B, {rows * columns}, a multiple of {P * P}]"
    require(right, "unpatchify", "patches", expected=expected, got=patches)
    B, _, features = shape
    C = features // (P * P)
    grid = patches.reshape(B, rows, columns, P, P, C)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(B, height, width, C)


def image_tokens(images, patch_size: int, *, here=None):
    """A token for each patch, and which of them are real.

    here: bool [B], False for an image that is missing and has no real token; all are here where
    not given. The others: as `patchify`.

    Returns tokens [B, T, P · P · C], zeros where not real, and mask bool [B, T], JAX arrays.
    Raises as `patchify`, TypeError if `here` is not boolean, ValueError if it is not [B].
    """
    tokens = jnp.asarray(patchify(images, patch_size))
    B, T, _ = tokens.shape
    here = jnp.ones(B, bool) if here is None else jnp.asarray(here)
    where = "image_tokens"
    require_type(here.dtype == bool, where, "here", expected="a boolean array", got=here)
    require(here.shape == (B,), where, "here", expected=f"shape [{B}]", got=here)
    return keep_real(tokens, jnp.broadcast_to(here[:, None], (B, T)))


def _check_patch_size(patch_size: int, where: str) -> None:
    whole = isinstance(patch_size, int) and not isinstance(patch_size, bool)
    require_type(whole, where, "patch_size", expected="a whole number", got=patch_size)
    require(patch_size > 0, where, "patch_size", expected="at least 1", got=patch_size)


def _check_sides(height: int, width: int, patch_size: int, where: str, argument: str) -> None:
    fits = height > 0 and width > 0 and height % patch_size == 0 and width % patch_size == 0
    expected = f"height and width that are multiples of the patch size {patch_size}"
    require(fits, where, argument, expected=expected, got=f"{height} x {width}")
