"""Attention over modalities: each one's own key decides how much of it is taken.

Source: Vaswani et al. (2017), equation 1, with a learned query.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import (
    attention_weights,
    merge_heads,
    padding_mask,
    scaled_dot_product_attention,
    split_heads,
)
from mmjax.checks import require
from mmjax.fusion.arguments import (
    check_arrays,
    check_heads,
    check_names,
    check_widths,
    linear_maps,
    shown_features,
    stack_modalities,
)


def attention_fusion(
    query: Array,
    keys: Mapping[str, Array],
    values: Mapping[str, Array],
    *,
    heads: int,
    present: Mapping[str, Array] | None = None,
) -> Array:
    """The modalities are the tokens of an attention with one learned query.

    z = Concat_h( Σ_m a_mh v_mh ),  a_mh = softmax over m of q_h · k_mh / √D,  D = E / H

    query [E]; keys and values: name → [B, E]; head h owns the entries hD … hD + D. present: name →
    bool [B]. Returns [B, E] in the dtype of the values; the softmax runs in at least float32.
    Raises TypeError or ValueError for arguments of the wrong dtype, shape or names.
    Source: Vaswani et al. (2017), equation 1; the query is a parameter, as in a class token.
    """
    where = "attention_fusion"
    names, present = check_arrays(where, {"keys": keys, "values": values}, present, one_width=True)
    q, k, mask = _query_and_keys(where, query, keys, heads, names, present)
    v = split_heads(stack_modalities(values, names, present), heads)
    return merge_heads(scaled_dot_product_attention(q, k, v, mask=mask))[:, 0]


def modality_attention(
    query: Array,
    keys: Mapping[str, Array],
    *,
    heads: int,
    present: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """The weights a_mh of `attention_fusion`: name → [B, H], in at least float32.

    Over the modalities that are there they sum to 1 in each head; a missing one has the weight 0.
    """
    where = "modality_attention"
    names, present = check_arrays(where, {"keys": keys}, present, one_width=True)
    q, k, mask = _query_and_keys(where, query, keys, heads, names, present)
    weights = attention_weights(q, k, mask=mask)[:, :, 0]
    return {name: weights[:, :, m] for m, name in enumerate(names)}


class AttentionFusion(nnx.Module):
    """`attention_fusion` of keys x_m K_m + c_m and values x_m V_m + d_m, with a learned query.

    widths: name → E_m; width: E; heads: H, a divisor of E.
    """

    def __init__(self, widths: Mapping[str, int], width: int, heads: int, *, rngs: nnx.Rngs):
        where = "AttentionFusion"
        self.names = check_widths(where, widths)
        check_heads(where, width, heads)
        self.heads = heads
        self.keys = linear_maps(widths, width, rngs)
        self.values = linear_maps(widths, width, rngs)
        self.query = nnx.Param(jax.random.normal(rngs.params(), (width,), jnp.float32))

    def __call__(self, features: Mapping[str, Array], present=None) -> Array:
        """features: name → [B, E_m], present: name → bool [B] or None → [B, E]."""
        query, keys, values = self._project(features, present)
        return attention_fusion(query, keys, values, heads=self.heads, present=present)

    def with_weights(self, features: Mapping[str, Array], present=None):
        """The same output, and beside it the weights: name → [B, H]."""
        query, keys, values = self._project(features, present)
        weights = modality_attention(query, keys, heads=self.heads, present=present)
        return attention_fusion(query, keys, values, heads=self.heads, present=present), weights

    def _project(self, features, present):
        check_names("AttentionFusion", "features", features, self.names)
        shown = shown_features("AttentionFusion", features, present)
        maps = ((self.keys[name], self.values[name], shown[name]) for name in self.names)
        pairs = [(key(x), value(x)) for key, value, x in maps]
        keys, values = zip(*pairs, strict=True)
        by_name = (dict(zip(self.names, arrays, strict=True)) for arrays in (keys, values))
        return self.query[...], *by_name


def _query_and_keys(where, query, keys, heads, names, present):
    """Query [B, H, 1, D], keys [B, H, K, D] and the mask [B, 1, 1, K] of what is there."""
    stacked = stack_modalities(keys, names, present)
    batch, _, width = stacked.shape
    check_heads(where, width, heads)
    ok = hasattr(query, "shape") and query.shape == (width,) and query.dtype == stacked.dtype
    require(ok, where, "query", expected=f"{stacked.dtype}[{width}], as the keys", got=query)
    q = jnp.broadcast_to(query[None, None, :], (batch, 1, width))
    mask = padding_mask(jnp.stack([present[name] for name in names], axis=1))
    return split_heads(q, heads), split_heads(stacked, heads), mask
