"""Attention: masks, positions, the formula, many heads, the Transformer (chapters 3.1 and 4)."""

from mmjax.attention.activations import ACTIVATIONS, Activation, gelu_tanh, quick_gelu
from mmjax.attention.blockwise import blockwise_attention
from mmjax.attention.dot_product import attention_weights, scaled_dot_product_attention
from mmjax.attention.layers import LayerNorm, Linear, dropout, gelu, layer_norm, linear
from mmjax.attention.masks import causal_mask, combine_masks, padding_mask, prefix_mask
from mmjax.attention.multi_head import (
    KeyValueCache,
    MultiHeadAttention,
    merge_heads,
    split_heads,
)
from mmjax.attention.positions import rotary, sinusoidal_positions
from mmjax.attention.transformer import (
    MLP,
    CrossAttentionBlock,
    Transformer,
    TransformerBlock,
    TransformerConfig,
)

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Activation",
    "CrossAttentionBlock",
    "KeyValueCache",
    "LayerNorm",
    "Linear",
    "MultiHeadAttention",
    "Transformer",
    "TransformerBlock",
    "TransformerConfig",
    "attention_weights",
    "blockwise_attention",
    "causal_mask",
    "combine_masks",
    "dropout",
    "gelu",
    "gelu_tanh",
    "layer_norm",
    "linear",
    "merge_heads",
    "padding_mask",
    "prefix_mask",
    "quick_gelu",
    "rotary",
    "scaled_dot_product_attention",
    "sinusoidal_positions",
    "split_heads",
]
