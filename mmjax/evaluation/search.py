"""Exact search: the best few of a great many vectors, block by block in bounded memory."""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from mmjax.attention.blockwise import for_each_block
from mmjax.checks import require, require_type
from mmjax.precision import wide_dtype


def search(
    queries: Array, vectors: Array, k: int, *, block_size: int = 4096
) -> tuple[Array, Array]:
    """The k vectors with the largest inner product for each query, best first.

    s_qn = q · v_n for all n, in blocks: what has been kept so far and the scores of a block compete
    for k places. The result is that of a sort of all N scores; nothing is left to chance as in an
    approximate index. Of equal scores the lower index comes first. For unit vectors it is the
    search by cosine.

    queries [Q, E], vectors [N, E] of one floating dtype; 1 ≤ k ≤ N; block_size: vectors in a step.
    Returns scores [Q, k] in at least float32 and indices int32 [Q, k]. The memory beside arguments
    and results is O(Q · (block_size + k)).
    Raises TypeError or ValueError for arguments that do not fit.
    """
    where = "search"
    for name, x in (("queries", queries), ("vectors", vectors)):
        is_float = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
        require_type(is_float, where, name, expected="a floating-point array", got=x)
        full = x.ndim == 2 and 0 not in x.shape
        require(full, where, name, expected="two axes, nothing empty", got=x)
    same, expected = vectors.dtype == queries.dtype, f"dtype {queries.dtype}, as the queries"
    require_type(same, where, "vectors", expected=expected, got=vectors)
    expected = f"[N, {queries.shape[1]}], as wide as the queries"
    require(vectors.shape[1] == queries.shape[1], where, "vectors", expected=expected, got=vectors)
    expected = f"from 1 to the number of vectors, {len(vectors)}"
    require(1 <= k <= len(vectors), where, "k", expected=expected, got=k)
    require(block_size >= 1, where, "block_size", expected="at least 1", got=block_size)
    return _search(jnp.asarray(queries), jnp.asarray(vectors), k, min(block_size, len(vectors)))


@functools.partial(jax.jit, static_argnums=(2, 3))
def _search(queries, vectors, k, block_size):
    dtype = wide_dtype(queries.dtype)

    def step(start, size, best):
        block = lax.dynamic_slice_in_dim(vectors, start, size)
        scores = jnp.matmul(queries, block.T, preferred_element_type=dtype)
        # Inside a block first: then k and k compete, not k and the whole block.
        scores, places = lax.top_k(scores, min(k, size))
        both = jnp.concatenate([best[0], scores], axis=1)
        where_from = jnp.concatenate([best[1], start + places], axis=1)
        kept, chosen = lax.top_k(both, k)  # of equals the first, so the lower index
        return kept, jnp.take_along_axis(where_from, chosen, axis=1)

    nothing = jnp.full((len(queries), k), -jnp.inf, dtype), jnp.zeros((len(queries), k), jnp.int32)
    return for_each_block(step, nothing, len(vectors), block_size)
