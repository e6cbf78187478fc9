"""Masks: who may attend to whom. The only place where masks are built.

A mask is boolean and True means "may attend". It has the shape [T, S], or the rank of the scores
(for example [B, H, T, S]) with every axis of size 1 or equal to that of the scores. A query that
may attend to nothing gets the output zero and sends back the gradient zero.
"""

import jax.numpy as jnp
from jax import Array

from mmjax.checks import require, require_type


def causal_mask(
    query_length: int, key_length: int | None = None, *, offset: int | None = None
) -> Array:
    """Query t, which stands at position `offset` + t, may attend to keys s ≤ `offset` + t.

    Of `key_length` keys the last `query_length` belong to the queries, unless an `offset` says
    otherwise: the keys before them are in a cache, and new queries see all of them. A single new
    query sees every key, itself included. Without a `key_length` there are `offset` +
    `query_length` keys, and no cache by default. Lengths are Python numbers: they are shapes.

    Returns bool [T, S]. Example, causal_mask(2, 3): 2 queries after 1 cached key:
        [[1, 1, 0],
         [1, 1, 1]]
    Raises ValueError for a length below 1, a negative offset, or fewer keys than queries without
    an offset.
    """
    where, one = "causal_mask", "at least 1"
    require(query_length >= 1, where, "query_length", expected=one, got=query_length)
    require(offset is None or offset >= 0, where, "offset", expected="at least 0", got=offset)
    if key_length is None:
        key_length = (offset or 0) + query_length
    require(key_length >= 1, where, "key_length", expected=one, got=key_length)
    if offset is None:
        offset = key_length - query_length
        expected = f"at least query_length = {query_length}, or an offset"
        require(offset >= 0, where, "key_length", expected=expected, got=key_length)
    return jnp.arange(key_length)[None, :] <= offset + jnp.arange(query_length)[:, None]


def padding_mask(real: Array) -> Array:
    """No query may attend to padding: bool [B, S] (True = a real token) → bool [B, 1, 1, S].

    Raises TypeError for another dtype than bool, ValueError for another rank than 2.
    """
    _require_bool(real, "padding_mask", "real")
    require(real.ndim == 2, "padding_mask", "real", expected="rank 2 [B, S]", got=real)
    return real[:, None, None, :]


def prefix_mask(prefix_length: int, length: int) -> Array:
    """The first `prefix_length` tokens see each other fully; the rest is causal. bool [T, T].

    Example, a prefix of 2 in a length of 4:
        [[1, 1, 0, 0],
         [1, 1, 0, 0],
         [1, 1, 1, 0],
         [1, 1, 1, 1]]
    Raises ValueError unless 0 ≤ prefix_length ≤ length.
    """
    expected = f"between 0 and length = {length}"
    ok = 0 <= prefix_length <= length
    require(ok, "prefix_mask", "prefix_length", expected=expected, got=prefix_length)
    return causal_mask(length) | (jnp.arange(length) < prefix_length)[None, :]


def combine_masks(*masks: Array | None) -> Array | None:
    """Logical and of masks; None stands for "no restriction" and is left out.

    A mask [T, S] beside masks of higher rank is lifted to [1, …, 1, T, S] first.
    Raises TypeError for a mask that is not boolean, ValueError for shapes that do not fit.
    """
    kept = [mask for mask in masks if mask is not None]
    for mask in kept:
        _require_bool(mask, "combine_masks", "masks")
    if not kept:
        return None
    rank = max(mask.ndim for mask in kept)
    combined = lift_mask(kept[0], rank, "combine_masks")
    for mask in kept[1:]:
        mask = lift_mask(mask, rank, "combine_masks")
        fits = all(a == b or 1 in (a, b) for a, b in zip(combined.shape, mask.shape, strict=True))
        expected = f"axes of size 1 or equal to {list(combined.shape)}"
        require(fits, "combine_masks", "masks", expected=expected, got=mask)
        combined = combined & mask
    return combined


def lift_mask(mask: Array, rank: int, where: str) -> Array:
    """Gives a mask [T, S] leading axes of size 1 up to `rank`; a mask of that rank stays."""
    require(mask.ndim in (2, rank), where, "mask", expected=f"rank 2 or {rank}", got=mask)
    return mask.reshape((1,) * (rank - mask.ndim) + mask.shape)


def check_mask(mask: Array | None, scores_shape: tuple[int, ...], where: str) -> Array | None:
    """Checks a mask against the shape of the scores [..., T, S] and lifts it to their rank.

    Raises TypeError if it is not boolean, ValueError if its shape does not fit.
    """
    if mask is None:
        return None
    _require_bool(mask, where, "mask")
    lifted = lift_mask(mask, len(scores_shape), where)
    fits = all(m in (1, s) for m, s in zip(lifted.shape, scores_shape, strict=True))
    expected = f"[T, S] or axes of size 1 or equal to the scores {list(scores_shape)}"
    require(fits, where, "mask", expected=expected, got=mask)
    return lifted


def _require_bool(mask: Array, where: str, argument: str) -> None:
    expected = "a boolean array (True = may attend)"
    is_bool = hasattr(mask, "dtype") and mask.dtype == jnp.bool_
    require_type(is_bool, where, argument, expected=expected, got=mask)
