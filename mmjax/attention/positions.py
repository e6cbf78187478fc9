"""Positions: attention alone does not know the order of its tokens; these tell it.

Sources: Vaswani et al. (2017), section 3.5 (sinusoidal); Su et al. (2021), RoFormer (rotary).
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

from mmjax.checks import require, require_type
from mmjax.precision import wide_dtype


def sinusoidal_positions(length: int, width: int, *, base: float = 10_000.0) -> Array:
    """A fixed code for each position, to be added to the tokens.

    PE[t, 2i] = sin(t / base^(2i/M)),  PE[t, 2i+1] = cos(t / base^(2i/M))

    Returns float32 [T, M]. Raises ValueError for a length below 1 or an odd width.
    Source: Vaswani et al. (2017), section 3.5.
    """
    where = "sinusoidal_positions"
    require(length >= 1, where, "length", expected="at least 1", got=length)
    require(width >= 2 and width % 2 == 0, where, "width", expected="an even number", got=width)
    frequencies = base ** (-np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * frequencies[None, :]
    table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, width)
    return jnp.asarray(table, jnp.float32)


def rotary(x: Array, positions: Array, *, base: float = 10_000.0) -> Array:
    """Turns queries or keys by an angle that grows with their position.

    Each pair (x_{2i}, x_{2i+1}) of the token at position t turns by t · base^(−2i/D). The dot
    product of a turned query and a turned key then depends on the difference of their positions
    only. It is for queries and keys; values stay as they are.

    x [..., T, D], positions integers [T], or [B, T] for x [B, H, T, D]; returns the shape and dtype
    of x; the angles are computed in at least float32. Raises TypeError if x is not floating-point,
    ValueError for an odd D or positions that do not fit.
    Source: Su et al. (2021), equation 34 (neighbouring pairs, as in the paper).
    """
    is_float = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
    require_type(is_float, "rotary", "x", expected="a floating-point array", got=x)
    expected = "[..., T, D] of rank 2 or more with an even D"
    ok = x.ndim >= 2 and x.shape[-1] >= 2 and x.shape[-1] % 2 == 0
    require(ok, "rotary", "x", expected=expected, got=x)
    width = x.shape[-1]
    if positions.ndim == 2:
        fits = x.ndim == 4 and positions.shape == (x.shape[0], x.shape[2])
        lifted = positions[:, None, :]
    else:
        fits = positions.shape == (x.shape[-2],)
        lifted = positions.reshape((1,) * (x.ndim - 2) + positions.shape)
    expected = f"[T] or [B, T] for x {list(x.shape)}"
    require(fits, "rotary", "positions", expected=expected, got=positions)
    dtype = wide_dtype(x.dtype)
    frequencies = jnp.asarray(base ** (-np.arange(0, width, 2) / width), dtype)
    angles = lifted[..., None].astype(dtype) * frequencies.reshape((1,) * lifted.ndim + (-1,))
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    a, b = x[..., 0::2].astype(dtype), x[..., 1::2].astype(dtype)
    turned = jnp.stack([a * cos - b * sin, a * sin + b * cos], axis=-1)
    return turned.reshape(x.shape).astype(x.dtype)
