"""Multi-head attention: several attentions side by side, each in its own small space.

Sources: Vaswani et al. (2017), section 3.2.2; grouped keys and values: Ainslie et al. (2023);
query/key normalisation: Dehghani et al. (2023).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention.dot_product import (
    IMPLEMENTATIONS,
    Implementation,
    attention_weights,
    scaled_dot_product_attention,
)
from mmjax.attention.layers import LayerNorm, Linear, linear
from mmjax.attention.masks import combine_masks
from mmjax.attention.positions import rotary
from mmjax.checks import require, require_one_of


def split_heads(x: Array, heads: int) -> Array:
    """[B, T, H·D] → [B, H, T, D]: the heads become an axis in front of the length.

    Raises ValueError for another rank than 3 or a width that the heads do not divide.
    """
    require(x.ndim == 3, "split_heads", "x", expected="rank 3 [B, T, H·D]", got=x)
    batch, length, width = x.shape
    divides = heads >= 1 and width % heads == 0
    expected = f"a divisor of the width {width}"
    require(divides, "split_heads", "heads", expected=expected, got=heads)
    return x.reshape(batch, length, heads, width // heads).swapaxes(1, 2)


def merge_heads(x: Array) -> Array:
    """[B, H, T, D] → [B, T, H·D]: Concat(head_1, …, head_H), the inverse of `split_heads`."""
    require(x.ndim == 4, "merge_heads", "x", expected="rank 4 [B, H, T, D]", got=x)
    batch, heads, length, width = x.shape
    return x.swapaxes(1, 2).reshape(batch, length, heads * width)


class KeyValueCache(NamedTuple):
    """Keys and values of the tokens so far.

    key, value [B, H_kv, S, D] with room for S tokens; length, an int32, says how many are filled.
    """

    key: Array
    value: Array
    length: Array


class MultiHeadAttention(nnx.Module):
    """Self- or cross-attention with H heads.

    MultiHead(X, C) = Concat(head_1, …, head_H) W^O,
    head_h = Attention(X W_h^Q, C W_h^K, C W_h^V), with C = X for self-attention.

    width M and heads H give the head width D = M/H. `key_value_heads` H_kv < H shares each key and
    value among H/H_kv heads; `context_width` is the width of C where it differs from M;
    `query_key_norm` puts a LayerNorm on each query and key; `rotary_positions` turns queries and
    keys by their positions (self-attention only). The four maps carry a bias unless
    `use_bias=False`, which is the form of the paper. The columns of each kernel hold the heads one
    after the other: W^Q = [W_1^Q … W_H^Q].

    Raises ValueError if H does not divide M, H_kv does not divide H, or rotary D is odd.
    Source: Vaswani et al. (2017), section 3.2.2.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        key_value_heads: int | None = None,
        context_width: int | None = None,
        use_bias: bool = True,
        query_key_norm: bool = False,
        rotary_positions: bool = False,
        implementation: Implementation = "plain",
        rngs: nnx.Rngs,
    ):
        where = type(self).__name__
        expected = f"a divisor of the width {width}"
        require(heads >= 1 and width % heads == 0, where, "heads", expected=expected, got=heads)
        shared = heads if key_value_heads is None else key_value_heads
        expected = f"a divisor of the number of heads {heads}"
        ok = shared >= 1 and heads % shared == 0
        require(ok, where, "key_value_heads", expected=expected, got=shared)
        require_one_of(implementation, IMPLEMENTATIONS, where, "implementation")
        expected, ok = "an even head width", not rotary_positions or width // heads % 2 == 0
        require(ok, where, "rotary_positions", expected=expected, got=f"{width // heads}")
        context_width = width if context_width is None else context_width
        self.heads, self.key_value_heads, self.head_width = heads, shared, width // heads
        self.rotary_positions, self.implementation = rotary_positions, implementation
        narrow = shared * self.head_width
        self.query = Linear(width, width, use_bias=use_bias, rngs=rngs)
        self.key = Linear(context_width, narrow, use_bias=use_bias, rngs=rngs)
        self.value = Linear(context_width, narrow, use_bias=use_bias, rngs=rngs)
        self.output = Linear(width, width, use_bias=use_bias, rngs=rngs)
        self.query_norm = LayerNorm(self.head_width) if query_key_norm else None
        self.key_norm = LayerNorm(self.head_width) if query_key_norm else None

    def __call__(
        self,
        x: Array,
        context: Array | None = None,
        *,
        mask: Array | None = None,
        positions: Array | None = None,
    ) -> Array:
        """x [B, T, M], context [B, S, M_c] or None for self-attention → [B, T, M].

        mask: bool [T, S], [B, 1, T, S] or [B, H, T, S] (axes of size 1 allowed), True = may attend.
        positions: integers [T] or [B, T] for rotary positions; 0, 1, 2, … by default.
        """
        query, key, value = self._project(x, context, positions)
        key, value = self._share(key), self._share(value)
        out = scaled_dot_product_attention(
            query, key, value, mask=mask, implementation=self.implementation
        )
        return self.output(merge_heads(out))

    def with_weights(
        self,
        x: Array,
        context: Array | None = None,
        *,
        mask: Array | None = None,
        positions: Array | None = None,
    ) -> tuple[Array, Array]:
        """The same output, and beside it the weights [B, H, T, S] of every head, to look at."""
        query, key, value = self._project(x, context, positions)
        weights = attention_weights(query, self._share(key), mask=mask)
        out = jnp.einsum("bhts,bhsd->bhtd", weights.astype(value.dtype), self._share(value))
        return self.output(merge_heads(out)), weights

    def init_cache(self, batch: int, length: int, dtype=None) -> KeyValueCache:
        """An empty cache with room for `length` tokens, in the dtype of the parameters if None."""
        where = "MultiHeadAttention.init_cache"
        require(batch >= 1, where, "batch", expected="at least 1", got=batch)
        require(length >= 1, where, "length", expected="at least 1", got=length)
        dtype = self.key.kernel[...].dtype if dtype is None else dtype
        shape = (batch, self.key_value_heads, length, self.head_width)
        # Two arrays: one array given twice could not be donated.
        return KeyValueCache(
            jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), jnp.zeros((), jnp.int32)
        )

    def prefill(
        self, x: Array, length: int, *, mask: Array | None = None
    ) -> tuple[Array, KeyValueCache]:
        """Self-attention of the first T tokens, and a cache with room for `length` that holds them.

        The same output as `self(x, mask=mask)`: every token sees every other one unless the mask
        forbids it. `decode` goes on from there. Without `rotary_positions` only.
        Raises ValueError for a length below T or rotary positions.
        """
        where = "MultiHeadAttention.prefill"
        rotary_free = not self.rotary_positions
        require(rotary_free, where, "self", expected="no rotary_positions", got="them")
        query, key, value = self._project(x, None, None)
        held = x.shape[1]
        require(length >= held, where, "length", expected=f"at least {held}", got=length)
        out = scaled_dot_product_attention(
            query,
            self._share(key),
            self._share(value),
            mask=mask,
            implementation=self.implementation,
        )
        room = ((0, 0), (0, 0), (0, length - held), (0, 0))
        cache = KeyValueCache(jnp.pad(key, room), jnp.pad(value, room), jnp.int32(held))
        return self.output(merge_heads(out)), cache

    def project_context(self, context: Array) -> KeyValueCache:
        """Keys and values of a context [B, S, M_c], to be read many times by `read`.

        Raises ValueError for rotary positions, which are for self-attention.
        """
        where, expected = "MultiHeadAttention", "None: rotary positions are for self-attention"
        require(not self.rotary_positions, where, "context", expected=expected, got=context)
        key = split_heads(self.key(context), self.key_value_heads)
        value = split_heads(self.value(context), self.key_value_heads)
        if self.key_norm is not None:
            key = self.key_norm(key)
        return KeyValueCache(key, value, jnp.int32(context.shape[1]))

    def read(self, x: Array, context: KeyValueCache, *, mask: Array | None = None) -> Array:
        """`self(x, context, mask=mask)`, with what `project_context` made of the context."""
        query = split_heads(self.query(x), self.heads)
        if self.query_norm is not None:
            query = self.query_norm(query)
        out = scaled_dot_product_attention(
            query,
            self._share(context.key),
            self._share(context.value),
            mask=mask,
            implementation=self.implementation,
        )
        return self.output(merge_heads(out))

    def decode(
        self, x: Array, cache: KeyValueCache, *, mask: Array | None = None
    ) -> tuple[Array, KeyValueCache]:
        """Causal self-attention of T new tokens on the cached ones and on each other.

        Returns the output [B, T, M] and the cache with the new keys and values in it. The new
        tokens stand at the positions length, length + 1, …. Feeding a sequence piece by piece
        gives the output of the whole sequence under a causal mask. mask [T, S] or [B, 1, T, S],
        with S the room of the cache, forbids more, for example padding. Always in the plain form.
        Raises ValueError when the cache is known to be too short; inside `jit`, where its length is
        not known, the output is NaN instead.
        """
        where = "MultiHeadAttention.decode"
        batch, room = cache.key.shape[0], cache.key.shape[2]
        ok, expected = x.ndim == 3 and x.shape[0] == batch, f"[{batch}, T, M], the cache's batch"
        require(ok, where, "x", expected=expected, got=x)
        new = x.shape[1]
        if not isinstance(cache.length, jax.core.Tracer):
            total, expected = int(cache.length) + new, f"at most {room} tokens, the cache's room"
            require(total <= room, where, "cache", expected=expected, got=f"{total} with the new")
        positions = cache.length + jnp.arange(new, dtype=jnp.int32)
        query, key, value = self._project(x, None, positions if self.rotary_positions else None)
        zero = jnp.zeros_like(cache.length)  # one integer type for all four, also under x64
        start = (zero, zero, cache.length, zero)
        key = jax.lax.dynamic_update_slice(cache.key, key.astype(cache.key.dtype), start)
        value = jax.lax.dynamic_update_slice(cache.value, value.astype(cache.value.dtype), start)
        causal = jnp.arange(room, dtype=jnp.int32)[None, :] <= positions[:, None]
        out = scaled_dot_product_attention(
            query,
            self._share(key).astype(query.dtype),
            self._share(value).astype(query.dtype),
            mask=combine_masks(causal, mask),
        )
        out = jnp.where(cache.length + new <= room, out, jnp.nan)
        return self.output(merge_heads(out)), KeyValueCache(key, value, cache.length + new)

    def _project(self, x, context, positions):
        """Queries [B, H, T, D], keys and values [B, H_kv, S, D]."""
        where = "MultiHeadAttention"
        require(x.ndim == 3, where, "x", expected="rank 3 [B, T, M]", got=x)
        if context is None:
            same = self.key.kernel.shape[0] == self.query.kernel.shape[0]
            expected = f"[B, S, {self.key.kernel.shape[0]}], the context_width"
            require(same, where, "context", expected=expected, got=None)
            query, key, value = self._project_self(x)
        else:
            expected = f"[{x.shape[0]}, S, M_c] with the batch of x"
            fits = context.ndim == 3 and context.shape[0] == x.shape[0]
            require(fits, where, "context", expected=expected, got=context)
            query, key, value = self.query(x), self.key(context), self.value(context)
        query = split_heads(query, self.heads)
        key = split_heads(key, self.key_value_heads)
        value = split_heads(value, self.key_value_heads)
        if self.query_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        expected = "None without rotary_positions"
        ok = positions is None or self.rotary_positions
        require(ok, where, "positions", expected=expected, got=positions)
        if self.rotary_positions:
            expected = "None: rotary positions are for self-attention"
            require(context is None, where, "context", expected=expected, got=context)
            positions = jnp.arange(x.shape[1]) if positions is None else positions
            query, key = rotary(query, positions), rotary(key, positions)
        return query, key, value

    def _project_self(self, x):
        """X [W^Q W^K W^V] in one matrix product, then cut into the three."""
        maps = (self.query, self.key, self.value)
        kernel = jnp.concatenate([m.kernel[...] for m in maps], axis=1)
        bias = None
        if self.query.bias is not None:
            bias = jnp.concatenate([m.bias[...] for m in maps])
        cut = self.heads * self.head_width
        ends = (cut, cut + self.key_value_heads * self.head_width)
        return jnp.split(linear(x, kernel, bias), ends, axis=-1)

    def _share(self, x: Array) -> Array:
        """[B, H_kv, S, D] → [B, H, S, D]: neighbouring heads share a key and a value."""
        group = self.heads // self.key_value_heads
        return x if group == 1 else jnp.repeat(x, group, axis=1)
