"""Positions on a grid: where in the picture a patch lies, and when in the video a tubelet.

Source: Vaswani et al. (2017), section 3.5, once for each axis, as in MAE (He et al. 2022).
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from mmjax.attention.positions import sinusoidal_positions
from mmjax.checks import require
from mmjax.modalities.arguments import check_sizes


def grid_positions(sizes: Sequence[int], width: int, *, base: float = 10_000.0) -> Array:
    """A fixed code for each place of a grid, to be added to the tokens of `patchify` or `tubelets`.

    The code of place (r, s) is [PE[r], PE[s]] with PE the sinusoidal positions of width M / 2; with
    three axes [PE[q], PE[r], PE[s]] of width M / 3. So the dot product of two codes depends on how
    far apart they are along each axis, and on nothing else.

    sizes: places along each axis, the slowest first: (rows, columns) for an image, (times, rows,
    columns) for a video. width: M, a multiple of twice the number of axes.
    Returns float32 [T, M], T the product of the sizes, in the order of the tokens.
    Raises TypeError for sizes that are no whole numbers, ValueError for none, for a size below 1 or
    another width.
    """
    where, axes = "grid_positions", len(sizes)
    require(axes > 0, where, "sizes", expected="at least one axis", got=str(sizes))
    for size in sizes:
        check_sizes(where, sizes=size)
    check_sizes(where, width=width)
    fits = width % (2 * axes) == 0
    require(fits, where, "width", expected=f"a multiple of {2 * axes}", got=width)
    part = width // axes
    codes = []
    for axis, size in enumerate(sizes):
        shape = [size if a == axis else 1 for a in range(axes)] + [part]
        code = sinusoidal_positions(size, part, base=base).reshape(shape)
        codes.append(jnp.broadcast_to(code, (*sizes, part)))
    return jnp.concatenate(codes, axis=-1).reshape(-1, width)
