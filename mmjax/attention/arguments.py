"""Checks of the arguments that every form of attention shares."""

import jax.numpy as jnp
from jax import Array

from mmjax.checks import require, require_type


def check_query_key(query: Array, key: Array, where: str) -> tuple[int, ...]:
    """Checks query [..., T, D] and key [..., S, D]; returns the shape [..., T, S] of the scores."""
    for name, array in (("query", query), ("key", key)):
        is_float = hasattr(array, "dtype") and jnp.issubdtype(array.dtype, jnp.floating)
        require_type(is_float, where, name, expected="a floating-point array", got=array)
        require(array.ndim >= 2, where, name, expected="rank 2 or more [..., length, D]", got=array)
        require(0 not in array.shape, where, name, expected="no empty axis", got=array)
    expected = f"the dtype of the query, {query.dtype}"
    require_type(key.dtype == query.dtype, where, "key", expected=expected, got=key)
    expected = f"[..., S, D] with the leading axes and the D of the query {list(query.shape)}"
    fits = key.shape[:-2] == query.shape[:-2] and key.shape[-1] == query.shape[-1]
    require(fits, where, "key", expected=expected, got=key)
    return query.shape[:-1] + key.shape[-2:-1]


def check_value(key: Array, value: Array, where: str) -> None:
    """Checks value [..., S, D_v] against key [..., S, D]."""
    is_array = hasattr(value, "dtype") and value.dtype == key.dtype
    require_type(is_array, where, "value", expected=f"the dtype of the key, {key.dtype}", got=value)
    expected = f"[..., S, D_v] with the leading axes and the S of the key {list(key.shape)}"
    fits = value.ndim == key.ndim and value.shape[:-1] == key.shape[:-1] and value.shape[-1] > 0
    require(fits, where, "value", expected=expected, got=value)
