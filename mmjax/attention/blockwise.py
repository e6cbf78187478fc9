"""Blockwise attention: the same numbers as the formula, without ever holding all the scores.

The keys come in blocks. The softmax is kept up to date as each block arrives (a running maximum,
a running sum), and the backward pass computes the scores of each block again instead of storing
them. Memory grows like T + S, not like T · S.

Sources: Milakov and Gimelshein (2018), "Online normalizer calculation for softmax"; Rabe and Staats
(2021), "Self-attention does not need O(n²) memory"; Dao et al. (2022), "FlashAttention",
algorithms 1 and 4. Unlike there, a step takes one block of keys and all queries at once: a single
loop, and tall products that suit a processor.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mmjax.attention.arguments import check_query_key, check_value
from mmjax.attention.masks import check_mask
from mmjax.checks import require
from mmjax.precision import wide_dtype

SHORT = 4096  # queries; up to here a step takes 256 keys, beyond it 128, to save memory
SCORES_AT_ONCE = 2**18  # short sequences: as many heads in a step as keep the scores below this


def blockwise_attention(
    query: Array,
    key: Array,
    value: Array,
    *,
    mask: Array | None = None,
    causal: bool = False,
    block_size: int | None = None,
) -> Array:
    """Scaled dot-product attention in memory O(T + S), forward and backward.

    For each block of keys, with scores S = Q Kᵀ / √d_k, from m = −∞, ℓ = 0, O = 0:
    m' = max(m, max S);  ℓ ← e^(m − m') ℓ + Σ e^(S − m');  O ← e^(m − m') O + e^(S − m') V;  m ← m'
    and after the last block O / ℓ. Backward uses the saved log-sum-exp m + log ℓ.

    query [..., T, D], key [..., S, D], value [..., S, D_v] with equal leading axes; mask bool
    [T, S] or of the rank of the scores with axes of size 1 or equal to theirs, True = may attend;
    it is read block by block, never broadcast. `causal` lets query t see keys s ≤ t + S − T only
    (the last T keys belong to the queries, as in `causal_mask`), and needs
    no mask in memory. `block_size` is the number of keys in a step; by default 256,
    or 128 for more than 4096 queries: the fastest of 64 … 1024 on a CPU, and not too much memory.
    Returns [..., T, D_v] in the dtype of the value; the softmax runs in at least float32, and in
    float64 for float64 input. A query that may attend to nothing gives zeros, with zero gradient.
    A masked block is computed too: causal attention costs as much as full attention. Reverse-mode
    derivatives only, of any order; `jax.jvp` is refused by JAX.

    Raises TypeError or ValueError for arguments of the wrong dtype or shape.
    """
    where = "blockwise_attention"
    scores_shape = check_query_key(query, key, where)
    check_value(key, value, where)
    mask = check_mask(mask, scores_shape, where)
    if block_size is None:
        block_size = 256 if query.shape[-2] <= SHORT else 128
    require(block_size >= 1, where, "block_size", expected="at least 1", got=block_size)
    enough = not causal or key.shape[-2] >= query.shape[-2]
    require(enough, where, "key", expected="at least as many keys as causal queries", got=key)

    *leading, length, key_length = scores_shape
    query, key, value = (x.reshape(-1, *x.shape[-2:]) for x in (query, key, value))
    mask_index = None
    if mask is not None:  # which row of the mask, flattened as it is, belongs to which head
        rows = np.arange(math.prod(mask.shape[:-2]), dtype=np.int32).reshape(mask.shape[:-2])
        mask_index = np.broadcast_to(rows, leading).reshape(-1)
        mask = mask.reshape(-1, *mask.shape[-2:])
    block_size = min(block_size, key_length)
    offset = key_length - length if causal else None
    out = _attention(offset, block_size, query, key, value, mask, mask_index)
    return out.reshape(*leading, length, value.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attention(offset, block_size, query, key, value, mask, mask_index):
    return _forward(offset, block_size, query, key, value, mask, mask_index)[0]


def _forward(offset, block_size, query, key, value, mask, mask_index):
    """Returns the output [N, T, D_v], and what the backward pass needs: inputs, output, LSE."""
    length, wide = query.shape[-2], wide_dtype(query.dtype)

    def one_head(head):
        q, k, v, row = head

        def step(start, size, carry):
            maximum, total, out = carry
            scores = _scores(q, _rows(k, start, size), mask, row, start, offset)
            new_maximum = jnp.maximum(maximum, scores.max(axis=-1, keepdims=True))
            weights = jnp.exp(scores - new_maximum)
            rescale = jnp.exp(maximum - new_maximum)
            total = rescale * total + weights.sum(axis=-1, keepdims=True)
            out = rescale * out + _product("ts,sd->td", weights, _rows(v, start, size))
            return new_maximum, total, out

        # The lowest finite number in place of −∞: an empty row never computes ∞ − ∞.
        maximum = jnp.full((length, 1), jnp.finfo(wide).min, wide)
        carry = maximum, jnp.zeros((length, 1), wide), jnp.zeros((length, v.shape[-1]), wide)
        maximum, total, out = for_each_block(step, carry, len(k), block_size)
        total = jnp.where(total == 0, jnp.ones_like(total), total)  # an empty row: 0 / 1
        return (out / total).astype(v.dtype), maximum + jnp.log(total)

    out, log_sum_exp = _for_each_head(one_head, block_size, (query, key, value, mask_index))
    return out, (query, key, value, mask, mask_index, out, log_sum_exp)


def _backward(offset, block_size, residuals, out_gradient):
    """dV = Pᵀ dO;  dS = P ∘ (dO Vᵀ − rowsum(dO ∘ O));  dQ = dS K / √d_k;  dK = dSᵀ Q / √d_k."""
    query, key, value, mask, mask_index, out, log_sum_exp = residuals
    wide, scale = wide_dtype(query.dtype), 1 / math.sqrt(query.shape[-1])
    # For all heads at once: the output is not needed, nor in memory, after this line.
    delta = jnp.sum(out_gradient.astype(wide) * out.astype(wide), axis=-1, keepdims=True)

    def one_head(head):
        q, k, v, row, delta, log_sum_exp, d_out = head

        def step(start, size, carry):
            d_q, d_k, d_v = carry
            k_block, v_block = _rows(k, start, size), _rows(v, start, size)
            scores = _scores(q, k_block, mask, row, start, offset)
            weights = jnp.exp(scores - log_sum_exp)
            d_scores = weights * (_product("td,sd->ts", d_out, v_block) - delta) * scale
            d_q += _product("ts,sd->td", d_scores, k_block)
            d_k_block = _product("ts,td->sd", d_scores, q).astype(k.dtype)
            d_v_block = _product("ts,td->sd", weights, d_out).astype(v.dtype)
            d_k = lax.dynamic_update_slice_in_dim(d_k, d_k_block, start, axis=0)
            d_v = lax.dynamic_update_slice_in_dim(d_v, d_v_block, start, axis=0)
            return d_q, d_k, d_v

        carry = jnp.zeros(q.shape, wide), jnp.zeros_like(k), jnp.zeros_like(v)
        d_q, d_k, d_v = for_each_block(step, carry, len(k), block_size)
        return d_q.astype(q.dtype), d_k, d_v

    heads = query, key, value, mask_index, delta, log_sum_exp, out_gradient
    return *_for_each_head(one_head, block_size, heads), None, None


_attention.defvjp(_forward, _backward)


def _scores(q, k_block, mask, row, start, offset):
    """Q Kᵀ / √d_k [T, size] of one head and one block of keys; −∞ where it may not attend."""
    scores = _product("td,sd->ts", q, k_block) / math.sqrt(q.shape[-1])
    length, size = scores.shape
    if mask is not None:
        _, rows, columns = mask.shape
        corner = [jnp.asarray(i, jnp.int32) for i in (row, 0, start if columns > 1 else 0)]
        allowed = lax.dynamic_slice(mask, corner, (1, rows, min(size, columns)))[0]
        scores = jnp.where(allowed, scores, -jnp.inf)
    if offset is not None:  # causal: query t stands at position offset + t
        key_position = start + lax.broadcasted_iota(jnp.int32, (length, size), 1)
        allowed = key_position <= offset + lax.broadcasted_iota(jnp.int32, (length, size), 0)
        scores = jnp.where(allowed, scores, -jnp.inf)
    return scores


def _product(pattern, a, b):
    """A matrix product of `a`, rounded to the dtype of `b`, with `b`; sums in at least float32."""
    return jnp.einsum(pattern, a.astype(b.dtype), b, preferred_element_type=wide_dtype(b.dtype))


def _rows(array, start, size):
    return lax.dynamic_slice_in_dim(array, start, size, axis=0)


def _for_each_head(function, block_size, heads):
    """Long sequences go one head after another, short ones several at once."""
    number, length = heads[0].shape[:2]
    limit = max(1, SCORES_AT_ONCE // (length * block_size))
    at_once = max(n for n in range(1, min(limit, number) + 1) if number % n == 0)
    return lax.map(function, heads, batch_size=at_once if at_once > 1 else None)


def for_each_block(step, carry, length, size):
    """carry = step(start, size, carry) for each block; the last one may be shorter."""
    carry = lax.fori_loop(0, length // size, lambda i, c: step(i * size, size, c), carry)
    rest = length % size
    return step(length - rest, rest, carry) if rest else carry
