"""Video as tokens: small boxes of space and time, each one a row of numbers.

Arnab et al. 2021, "ViViT: A Video Vision Transformer", section 3.2 (tubelet embedding): x of shape
[F, height, width, C] becomes x_t of shape [T, N * P * P * C] with T = F/N * height/P * width/P. A
linear map of x_t is the same as a three-dimensional convolution with kernel and stride (N, P, P),
done as one matrix product. With N = 1 a tubelet is a patch of one frame.
"""

from typing import TypeVar

import jax.numpy as jnp
import numpy as np

from mmjax.checks import require
from mmjax.modalities.arguments import check_lengths, check_sizes, keep_real

Array = TypeVar("Array")  # a NumPy or a JAX array: out comes what went in


def tubelets(videos: Array, frames: int, patch_size: int) -> Array:
    """Cuts videos into tubelets: x_t[b, t, (n, i, j, c)] = x[b, q N + n, r P + i, s P + j, c].

    Tubelet t = (q · height / P + r) · width / P + s: time first, then rows, then columns.

    Args:
        videos: [B, F, height, width, C], any dtype.
        frames: N, the frames of a tubelet, which must divide F.
        patch_size: P, which must divide both sides.

    Returns:
        [B, T, N * P * P * C] with T = (F / N) * (height / P) * (width / P).

    Raises:
        TypeError: for sizes that are no whole numbers.
        ValueError: for another rank, an empty batch, or lengths that N or P does not divide.
    """
    where = "tubelets"
    N, P = frames, patch_size
    check_sizes(where, frames=N, patch_size=P)
    shape = videos.shape
    right = len(shape) == 5 and 0 not in shape
    expected = "shape [B, F, height, width, C], nothing empty"
    require(right, where, "videos", expected=expected, got=videos)
    B, F, height, width, C = shape
    _check_division(F, height, width, N, P, where, "videos")
    grid = videos.reshape(B, F // N, N, height // P, P, width // P, P, C)
    return grid.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(B, -1, N * P * P * C)


def untubelets(
    tokens: Array, frames: int, patch_size: int, *, length: int, height: int, width: int
) -> Array:
    """Puts tubelets together again: the inverse of `tubelets`.

    Args:
        tokens: [B, T, N * P * P * C] with T = (F / N) * (height / P) * (width / P).
        frames, patch_size: N and P, as in `tubelets`.
        length: F, the frames of the video.
        height, width: sides of a frame in pixels.

    Returns:
        [B, F, height, width, C].

    Raises:
        TypeError: for sizes that are no whole numbers.
        ValueError: for another rank, a wrong number or size of tokens, or lengths that N or P does
            not divide.
    """
    where = "untubelets"
    N, P, F = frames, patch_size, length
    check_sizes(where, frames=N, patch_size=P, length=F, height=height, width=width)
    _check_division(F, height, width, N, P, where, "length, height, width")
    times, rows, columns = F // N, height // P, width // P
    shape = tokens.shape
    right = len(shape) == 3 and 0 not in shape and shape[1] == times * rows * columns
    right = right and shape[2] % (N * P * P) == 0
    expected = f"shape [B, {times * rows * columns}, a multiple of {N * P * P}]"
    require(right, where, "tokens", expected=expected, got=tokens)
    B, C = shape[0], shape[2] // (N * P * P)
    grid = tokens.reshape(B, times, rows, columns, N, P, P, C)
    return grid.transpose(0, 1, 4, 2, 5, 3, 6, 7).reshape(B, F, height, width, C)


def video_tokens(videos, frames: int, patch_size: int, *, lengths=None):
    """A token for each tubelet, and which of them are real.

    lengths: whole numbers [B], the frames of each video that are not padding; all where not given.
    A tubelet is real if all of its frames are; a missing video has length 0.
    The others: as `tubelets`.

    Returns tokens [B, T, N · P · P · C], zeros where not real, and mask bool [B, T], JAX arrays.
    Raises as `tubelets`, and for lengths that are no whole numbers [B] within the video.
    """
    tokens = jnp.asarray(tubelets(videos, frames, patch_size))
    B, T, _ = tokens.shape
    lengths = check_lengths(lengths, B, videos.shape[1], "video_tokens")
    times = videos.shape[1] // frames
    ends = np.repeat(np.arange(1, times + 1, dtype=np.int32) * frames, T // times)
    return keep_real(tokens, ends[None, :] <= lengths[:, None])


def _check_division(F, height, width, frames, patch_size, where, argument) -> None:
    fits = F % frames == 0 and height % patch_size == 0 and width % patch_size == 0
    expected = f"a number of frames that is a multiple of {frames}, and sides of {patch_size}"
    require(fits, where, argument, expected=expected, got=f"{F} x {height} x {width}")
