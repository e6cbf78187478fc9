"""Checks that the modalities share: sizes that are whole numbers, and lengths of a padded batch."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from mmjax.checks import require, require_type


def check_sizes(where: str, **sizes) -> None:
    """Raises TypeError for a size that is no whole number, ValueError for one below 1."""
    for name, size in sizes.items():
        whole = isinstance(size, int) and not isinstance(size, bool)
        require_type(whole, where, name, expected="a whole number", got=size)
        require(size >= 1, where, name, expected="at least 1", got=size)


def check_lengths(lengths, batch: int, longest: int, where: str) -> Array:
    """The lengths as int32 [B], all `longest` where not given.

    Raises TypeError if they are no whole numbers, ValueError for another shape, or a length outside
    0 … longest. The numbers are not looked at while a function is traced.
    """
    if lengths is None:
        return jnp.full(batch, longest, jnp.int32)
    if not isinstance(lengths, jax.core.Tracer):
        lengths = np.asarray(lengths)
    is_whole = jnp.issubdtype(lengths.dtype, jnp.integer)
    require_type(is_whole, where, "lengths", expected="whole numbers", got=lengths)
    right = lengths.shape == (batch,)
    require(right, where, "lengths", expected=f"shape [{batch}]", got=lengths)
    if isinstance(lengths, np.ndarray):
        inside = bool(((lengths >= 0) & (lengths <= longest)).all())
        expected = f"numbers from 0 to {longest}"
        require(inside, where, "lengths", expected=expected, got=str(lengths.tolist()))
    return jnp.asarray(lengths).astype(jnp.int32)


def keep_real(tokens: Array, mask: Array) -> tuple[Array, Array]:
    """Tokens [B, T, features] with zeros where the mask [B, T] is False, and the mask."""
    return jnp.where(mask[..., None], tokens, 0), mask
