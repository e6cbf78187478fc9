"""Scaled dot-product attention, the one formula of the course.

Source: Vaswani et al. (2017), "Attention is all you need", equation 1.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.attention.arguments import check_query_key, check_value
from mmjax.attention.blockwise import blockwise_attention
from mmjax.attention.masks import check_mask
from mmjax.checks import require, require_one_of, require_type
from mmjax.precision import wide_dtype

Implementation = Literal["plain", "blockwise", "xla", "cudnn"]
IMPLEMENTATIONS = ("plain", "blockwise", "xla", "cudnn")


def attention_weights(query: Array, key: Array, *, mask: Array | None = None) -> Array:
    """The share of its attention that each query gives to each key.

    P = softmax(Q Kᵀ / √d_k), the softmax over the keys that may be attended to.

    query [..., T, D], key [..., S, D], mask bool [T, S] or of the rank of the scores; returns
    [..., T, S] in at least float32. A row that may attend to nothing is zero, and so is its
    gradient. Raises TypeError or ValueError for arguments of the wrong dtype or shape.
    Source: Vaswani et al. (2017), equation 1, first factor.
    """
    scores_shape = check_query_key(query, key, "attention_weights")
    mask = check_mask(mask, scores_shape, "attention_weights")
    accumulate = wide_dtype(query.dtype)
    scores = jnp.einsum("...td,...sd->...ts", query, key, preferred_element_type=accumulate)
    return masked_softmax(scores / math.sqrt(query.shape[-1]), mask)


def masked_softmax(scores: Array, mask: Array | None) -> Array:
    """Softmax along the last axis over the entries where mask is True; an empty row gives zeros.

    The masked entries get the lowest finite number in place of −∞, so that an empty row has a
    maximum to subtract, and are set to zero afterwards.
    """
    if mask is None:
        return jax.nn.softmax(scores, axis=-1)
    lowest = jnp.finfo(scores.dtype).min
    weights = jax.nn.softmax(jnp.where(mask, scores, lowest), axis=-1)
    return jnp.where(mask, weights, jnp.zeros_like(weights))


def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    *,
    mask: Array | None = None,
    implementation: Implementation = "plain",
) -> Array:
    """Each query gathers the values, weighted by how well their keys match it.

    Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V

    query [..., T, D], key [..., S, D], value [..., S, D_v] with equal leading axes, for example
    [B, H]; mask bool [T, S] or of the rank of the scores, True = may attend. Returns [..., T, D_v]
    in the dtype of the value. Softmax runs in at least float32, and in float64 for float64 input.
    A query that may attend to nothing gives zeros and a zero gradient.

    implementation: "plain" is the formula and keeps the weights [..., T, S] in memory;
    "blockwise" gives the same numbers in memory O(T + S); "xla" and "cudnn" call
    `jax.nn.dot_product_attention` with that backend. "cudnn" is the fast kernel of NVIDIA GPUs, for
    float16 and bfloat16. Both take [B, H, T, D] with D_v = D only, and compute float64 in float32.

    Raises TypeError or ValueError for arguments of the wrong dtype or shape.
    Source: Vaswani et al. (2017), equation 1; the treatment of empty rows is ours.
    """
    where = "scaled_dot_product_attention"
    require_one_of(implementation, IMPLEMENTATIONS, where, "implementation")
    scores_shape = check_query_key(query, key, where)
    check_value(key, value, where)
    mask = check_mask(mask, scores_shape, where)
    if implementation == "blockwise":
        return blockwise_attention(query, key, value, mask=mask)
    if implementation in ("xla", "cudnn"):
        return _builtin_attention(query, key, value, mask, implementation)
    weights = attention_weights(query, key, mask=mask).astype(value.dtype)
    return jnp.einsum("...ts,...sd->...td", weights, value)


def _builtin_attention(query, key, value, mask, implementation: str) -> Array:
    """`jax.nn.dot_product_attention`, which wants [B, T, H, D] and knows no empty rows."""
    where = f"scaled_dot_product_attention with implementation={implementation!r}"
    require(query.ndim == 4, where, "query", expected="rank 4 [B, H, T, D]", got=query)
    expected = f"[..., S, D] with the D of the key {list(key.shape)}"
    require(value.shape[-1] == key.shape[-1], where, "value", expected=expected, got=value)
    if implementation == "cudnn":
        half = query.dtype in (jnp.float16, jnp.bfloat16)
        require_type(half, where, "query", expected="float16 or bfloat16", got=query)
        if mask is not None:  # its kernel wants the last two axes in full
            rows_and_columns = (query.shape[2], key.shape[2])
            mask = jnp.broadcast_to(mask, (*mask.shape[:2], *rows_and_columns))
    query, key, value = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    # Inside, JAX mixes bfloat16 with float32, which the strict promotion of our tests forbids.
    with jax.numpy_dtype_promotion("standard"):
        out = jax.nn.dot_product_attention(
            query, key, value, mask=mask, implementation=implementation
        )
    out = jnp.swapaxes(out, 1, 2)
    if mask is None:
        return out
    return jnp.where(mask.any(axis=-1, keepdims=True), out, jnp.zeros_like(out))
