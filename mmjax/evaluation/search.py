"""Exact search: the best few of a great many vectors, block by block in bounded memory."""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from mmjax.attention.blockwise import for_each_block
from mmjax.checks import require, require_type
from mmjax.precision import wide_dtype

GROUP = 64  # neighbours that are first judged by their maximum


def search(
    queries: Array, vectors: Array, k: int, *, block_size: int = 4096
) -> tuple[Array, Array]:
    """The k vectors with the largest inner product for each query, best first.

    s_qn = q · v_n for all n, in blocks: what has been kept so far and the scores of a block compete
    for k places. The result is that of a sort of all N scores; nothing is left to chance as in an
    approximate index. Of equal scores the lower index comes first (0.0 before −0.0); NaN counts as
    the largest. For unit vectors it is the search by cosine. On a GPU or TPU the products are exact
    to the setting that `mmjax.precision` names.

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
    dtype, N = wide_dtype(queries.dtype), len(vectors)

    def best_of(start, size):
        block = lax.dynamic_slice_in_dim(vectors, start, size)
        scores = jnp.matmul(queries, block.T, preferred_element_type=dtype)
        scores = jnp.where(jnp.isnan(scores), jnp.nan, scores)  # one kind of NaN, the largest
        scores, places = _best_of_block(scores, min(k, size))
        return scores, start + places

    def step(start, size, best):
        # Inside a block first: then k and k compete, not k and the whole block.
        added = best_of(first + start, size)
        scores = jnp.concatenate([best[0], added[0]], axis=1)
        indices = jnp.concatenate([best[1], added[1]], axis=1)
        scores, kept = lax.top_k(scores, k)  # of equals the first, so the lower index
        return scores, jnp.take_along_axis(indices, kept, axis=1)

    first = max(k, block_size)  # enough for k of them, so no place is ever empty
    best = best_of(0, first)
    if first == N:
        return best
    return for_each_block(step, best, N - first, min(block_size, N - first))


def _best_of_block(scores, k):
    """lax.top_k of scores [Q, size], which looks closely at k groups of neighbours only.

    The k best lie in the k groups with the largest maxima: for an element of another group, each of
    these groups holds one that is larger, or equal and before it. A maximum costs a pass over the
    scores at the speed of memory, the choice of k places ten times as much.
    """
    Q, size = scores.shape
    groups = size // GROUP
    if size % GROUP or groups <= k:
        return lax.top_k(scores, k)
    grouped = scores.reshape(Q, groups, GROUP)
    chosen = jnp.sort(lax.top_k(grouped.max(2), k)[1], axis=1)  # in order, so that ties stay so
    scores = jnp.take_along_axis(grouped, chosen[:, :, None], axis=1).reshape(Q, k * GROUP)
    scores, places = lax.top_k(scores, k)
    group = jnp.take_along_axis(chosen, places // GROUP, axis=1)
    return scores, group * GROUP + places % GROUP
