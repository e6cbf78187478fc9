"""The Transformer: attention mixes the tokens, a small network works on each, over and over.

Sources: Vaswani et al. (2017), section 3; the norm in front of each part: Xiong et al. (2020).
"""

from dataclasses import dataclass

import jax
from flax import nnx
from jax import Array

from mmjax.attention.activations import ACTIVATIONS, Activation
from mmjax.attention.dot_product import Implementation
from mmjax.attention.layers import LayerNorm, Linear, dropout
from mmjax.attention.multi_head import KeyValueCache, MultiHeadAttention
from mmjax.checks import require, require_one_of


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a Transformer: `layers` L, `width` M, `heads` H; `hidden` F is 4 M by default.

    `dropout` is the rate on each branch before it joins the residual stream. `remat` recomputes
    each block in the backward pass instead of storing what is inside it. `unroll` is how many
    blocks one step of the loop over the layers holds: 1 compiles fastest, `layers` runs fastest on
    a CPU; the numbers are the same. `activation` and `epsilon` (of the norms) are for the numbers
    of published models.
    """

    layers: int
    width: int
    heads: int
    hidden: int | None = None
    key_value_heads: int | None = None
    query_key_norm: bool = False
    rotary_positions: bool = False
    dropout: float = 0.0
    implementation: Implementation = "plain"
    remat: bool = False
    unroll: int = 1
    activation: Activation = "gelu"
    epsilon: float = 1e-5

    def __post_init__(self):
        where = type(self).__name__
        for name in ("layers", "width", "heads", "unroll"):
            value = getattr(self, name)
            require(value >= 1, where, name, expected="at least 1", got=value)
        ok = self.hidden is None or self.hidden >= 1
        require(ok, where, "hidden", expected="None or at least 1", got=self.hidden)
        expected = "0 <= dropout < 1"
        require(0 <= self.dropout < 1, where, "dropout", expected=expected, got=self.dropout)
        require_one_of(self.activation, ACTIVATIONS, where, "activation")
        require(self.epsilon > 0, where, "epsilon", expected="above 0", got=self.epsilon)

    def attention(self, *, rngs: nnx.Rngs, context: bool = False) -> MultiHeadAttention:
        """A multi-head attention of these sizes; `context=True` for one that reads a context."""
        return MultiHeadAttention(
            self.width,
            self.heads,
            key_value_heads=self.key_value_heads,
            query_key_norm=self.query_key_norm,
            rotary_positions=self.rotary_positions and not context,
            implementation=self.implementation,
            rngs=rngs,
        )

    def norm(self) -> LayerNorm:
        """A layer normalisation of these sizes."""
        return LayerNorm(self.width, epsilon=self.epsilon)

    def mlp(self, *, rngs: nnx.Rngs) -> "MLP":
        """A position-wise network of these sizes."""
        return MLP(self.width, self.hidden or 4 * self.width, self.activation, rngs=rngs)


class MLP(nnx.Module):
    """The position-wise network: MLP(x) = W_2 GELU(W_1 x + b_1) + b_2, [..., M] → [..., M]."""

    def __init__(self, width: int, hidden: int, activation: Activation = "gelu", *, rngs: nnx.Rngs):
        self.activation = activation
        self.expand = Linear(width, hidden, rngs=rngs)
        self.contract = Linear(hidden, width, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.contract(ACTIVATIONS[self.activation](self.expand(x)))


class TransformerBlock(nnx.Module):
    """x ← x + MultiHead(LN(x));  x ← x + MLP(LN(x))  on x [B, T, M].

    The norm stands in front of each branch (pre-norm), so the residual stream itself is never
    rescaled and deep stacks train without warm-up tricks. Source: Xiong et al. (2020), figure 1b.
    """

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.attention_norm = config.norm()
        self.attention = config.attention(rngs=rngs)
        self.mlp_norm = config.norm()
        self.mlp = config.mlp(rngs=rngs)
        self.dropout = config.dropout

    def __call__(
        self, x: Array, *, mask: Array | None = None, dropout_key: Array | None = None
    ) -> Array:
        keys = (None, None) if dropout_key is None else jax.random.split(dropout_key)
        x = x + dropout(self.attention(self.attention_norm(x), mask=mask), self.dropout, keys[0])
        return x + dropout(self.mlp(self.mlp_norm(x)), self.dropout, keys[1])

    def with_weights(self, x: Array, *, mask: Array | None = None) -> tuple[Array, Array]:
        """The same without dropout, and beside it the weights [B, H, T, T] of its attention."""
        read, weights = self.attention.with_weights(self.attention_norm(x), mask=mask)
        x = x + read
        return x + self.mlp(self.mlp_norm(x)), weights

    def prefill(
        self, x: Array, length: int, *, mask: Array | None = None
    ) -> tuple[Array, KeyValueCache]:
        """The block on the first T tokens, and its cache with room for `length` tokens."""
        mixed, cache = self.attention.prefill(self.attention_norm(x), length, mask=mask)
        x = x + mixed
        return x + self.mlp(self.mlp_norm(x)), cache

    def decode(
        self, x: Array, cache: KeyValueCache, *, mask: Array | None = None
    ) -> tuple[Array, KeyValueCache]:
        """The block on new tokens that see the cached ones and each other causally."""
        mixed, cache = self.attention.decode(self.attention_norm(x), cache, mask=mask)
        x = x + mixed
        return x + self.mlp(self.mlp_norm(x)), cache


class CrossAttentionBlock(nnx.Module):
    """A block that also reads a second stream: self-attention, attention to the context, MLP.

    x ← x + MultiHead(LN(x));  x ← x + MultiHead(LN(x), context);  x ← x + MLP(LN(x))

    x [B, T, M], context [B, S, M]; mask is for the first, context_mask for the second attention.
    Source: Vaswani et al. (2017), figure 1, the decoder, with the norms in front.
    """

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.block = TransformerBlock(config, rngs=rngs)
        self.context_norm = config.norm()
        self.context_attention = config.attention(rngs=rngs, context=True)
        self.dropout = config.dropout

    def __call__(
        self,
        x: Array,
        context: Array,
        *,
        mask: Array | None = None,
        context_mask: Array | None = None,
        dropout_key: Array | None = None,
    ) -> Array:
        keys = (None,) * 3 if dropout_key is None else jax.random.split(dropout_key, 3)
        block = self.block
        x = x + dropout(block.attention(block.attention_norm(x), mask=mask), self.dropout, keys[0])
        read = self.context_attention(self.context_norm(x), context, mask=context_mask)
        x = x + dropout(read, self.dropout, keys[1])
        return x + dropout(block.mlp(block.mlp_norm(x)), self.dropout, keys[2])

    def with_weights(
        self,
        x: Array,
        context: Array,
        *,
        mask: Array | None = None,
        context_mask: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        """The same without dropout, and the weights [B, H, T, T] and [B, H, T, S] of the two."""
        block = self.block
        read, own = block.attention.with_weights(block.attention_norm(x), mask=mask)
        x = x + read
        read, across = self.context_attention.with_weights(
            self.context_norm(x), context, mask=context_mask
        )
        x = x + read
        return x + block.mlp(block.mlp_norm(x)), own, across

    def decode(
        self,
        x: Array,
        cache: KeyValueCache,
        context: KeyValueCache,
        *,
        context_mask: Array | None = None,
    ) -> tuple[Array, KeyValueCache]:
        """The block on new tokens, causal, with the context's keys and values computed before."""
        block = self.block
        mixed, cache = block.attention.decode(block.attention_norm(x), cache)
        x = x + mixed
        x = x + self.context_attention.read(self.context_norm(x), context, mask=context_mask)
        return x + block.mlp(block.mlp_norm(x)), cache


class Transformer(nnx.Module):
    """L blocks one after the other, then a last norm: [B, T, M] → [B, T, M].

    The parameters of the blocks are stacked along a first axis of size L, and one compiled loop
    runs over it, so compile time does not grow with depth.
    """

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        make = nnx.vmap(lambda rngs: TransformerBlock(config, rngs=rngs))
        self.blocks = make(rngs.split(config.layers))
        self.norm = config.norm()

    def __call__(
        self, x: Array, *, mask: Array | None = None, dropout_key: Array | None = None
    ) -> Array:
        layers, unroll = self.config.layers, min(self.config.unroll, self.config.layers)
        keys = None if dropout_key is None else jax.random.split(dropout_key, layers)

        def apply(block: TransformerBlock, x: Array, key: Array | None) -> Array:
            return block(x, mask=mask, dropout_key=key)

        # The blocks share no variables, so the tree form of the transforms (graph=False) is enough.
        # It is the lighter one, and it works when a jitted function closes over the model.
        if self.config.remat:
            apply = nnx.remat(apply, graph=False)
        run = nnx.scan(
            apply, in_axes=(0, nnx.Carry, 0), out_axes=nnx.Carry, unroll=unroll, graph=False
        )
        return self.norm(run(self.blocks, x, keys))

    def with_weights(self, x: Array, *, mask: Array | None = None) -> tuple[Array, Array]:
        """The same without dropout, and the weights [L, B, H, T, T] of all layers."""
        run = nnx.scan(
            lambda block, x: block.with_weights(x, mask=mask),
            in_axes=(0, nnx.Carry),
            out_axes=(nnx.Carry, 0),
            graph=False,
        )
        x, weights = run(self.blocks, x)
        return self.norm(x), weights
