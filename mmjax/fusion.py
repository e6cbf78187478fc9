"""Fusion: several modalities become one vector, as a weighted sum of what each of them says.

Concatenation gives every modality fixed weights, attention lets each modality's own key decide, a
gate lets all modalities together decide. Everywhere a modality has a name, arrays come in a mapping
from name to array, and `present` says for each name in which examples it is there: bool [B], all by
default. Names are sorted, so the order of the mapping does not matter. A missing modality has no
influence and no gradient, whatever its array holds. Where nothing is there the result is zero.

Sources: Arevalo et al. (2017), "Gated multimodal units for information fusion"; Vaswani et al.
(2017), the attention; Neverova et al. (2016), "ModDrop", dropping modalities in training.
"""

from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import (
    Linear,
    attention_weights,
    merge_heads,
    padding_mask,
    scaled_dot_product_attention,
    split_heads,
)
from mmjax.attention.dot_product import masked_softmax
from mmjax.checks import require, require_one_of, require_type
from mmjax.precision import wide_dtype

Gate = Literal["sigmoid", "softmax"]
GATES = ("sigmoid", "softmax")


def concatenate(features: Mapping[str, Array], present: Mapping[str, Array] | None = None) -> Array:
    """One long vector of all features, and behind them which modalities are there.

    u = [δ_1 x_1, …, δ_K x_K, δ_1, …, δ_K],  δ_m = 1 where modality m is there, else 0

    features: name → [B, E_m], in one floating dtype; present: name → bool [B], or None for all.
    Returns [B, Σ E_m + K], names in sorted order. A linear map of u is what concatenation means in
    practice; the last K entries carry one bias for each modality that is there.
    Raises TypeError or ValueError for arguments of the wrong dtype, shape or names.
    """
    names, present = _check("concatenate", {"features": features}, present)
    shown = [_where(present[name], features[name]) for name in names]
    there = jnp.stack([present[name] for name in names], axis=1)
    return jnp.concatenate([*shown, there.astype(shown[0].dtype)], axis=1)


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
    names, present = _check(where, {"keys": keys, "values": values}, present, one_width=True)
    q, k, mask = _query_and_keys(where, query, keys, heads, names, present)
    v = split_heads(_stack(values, names, present), heads)
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
    names, present = _check(where, {"keys": keys}, present, one_width=True)
    q, k, mask = _query_and_keys(where, query, keys, heads, names, present)
    weights = attention_weights(q, k, mask=mask)[:, :, 0]
    return {name: weights[:, :, m] for m, name in enumerate(names)}


def gated_fusion(
    values: Mapping[str, Array],
    logits: Mapping[str, Array],
    *,
    kind: Gate,
    present: Mapping[str, Array] | None = None,
) -> Array:
    """Every entry of every modality passes a gate of its own.

    z = Σ_m δ_m g_m ∘ v_m,  with the gates g_m of `modality_gates`

    values and logits: name → [B, E]. Returns [B, E] in the dtype of the values.
    Raises TypeError or ValueError for arguments of the wrong dtype, shape or names.
    Source: Arevalo et al. (2017), section 3.1.
    """
    arrays = {"values": values, "logits": logits}
    names, present = _check("gated_fusion", arrays, present, one_width=True)
    gates = modality_gates(logits, kind=kind, present=present)
    shown = ((gates[name], _where(present[name], values[name])) for name in names)
    return sum(gate.astype(value.dtype) * value for gate, value in shown)


def modality_gates(
    logits: Mapping[str, Array], *, kind: Gate, present: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """How far each gate is open: name → [B, E], in at least float32; 0 for a missing modality.

    kind "sigmoid": g_m = 1 / (1 + e^{−a_m}); the gates are independent of each other.
    kind "softmax": g_m = e^{a_m} / Σ_n e^{a_n} over the modalities that are there; they compete.

    With two modalities, softmax is the sigmoid of a difference of logits: the two-modality unit of
    the paper. With more, the paper takes sigmoids.
    """
    require_one_of(kind, GATES, "modality_gates", "kind")
    names, present = _check("modality_gates", {"logits": logits}, present, one_width=True)
    a = _stack(logits, names, present)
    a = a.astype(wide_dtype(a.dtype)).swapaxes(1, 2)  # [B, E, K]
    there = jnp.stack([present[name] for name in names], axis=1)[:, None, :]
    if kind == "softmax":
        gates = masked_softmax(a, there)
    else:
        gates = jnp.where(there, jax.nn.sigmoid(a), jnp.zeros_like(a))
    return {name: gates[:, :, m] for m, name in enumerate(names)}


def modality_dropout(present: Mapping[str, Array], rate: float, key: Array) -> dict[str, Array]:
    """Hides each modality of each example with probability `rate`, but never all of them.

    Where all K that are there would be hidden, one of them, each as likely, is kept. So
    p(m is kept) = 1 − rate + rate^K / K.

    present: name → bool [B], what is there; key: a JAX random key. Returns name → bool [B]. What
    was missing stays missing.
    Raises ValueError unless 0 ≤ rate ≤ 1, and for arrays that do not fit.
    Source: Neverova et al. (2016), ModDrop; that one modality always stays is ours.
    """
    where = "modality_dropout"
    require(0 <= rate <= 1, where, "rate", expected="0 <= rate <= 1", got=rate)
    _check_mapping(where, "present", present)
    names = tuple(sorted(present))
    shape = getattr(present[names[0]], "shape", ())
    batch = shape[0] if shape else None
    _check_present(where, present, batch)
    there = jnp.stack([present[name] for name in names], axis=1)
    drop_key, rescue_key = jax.random.split(key)
    kept = there & ~jax.random.bernoulli(drop_key, float(rate), there.shape)
    lottery = jnp.where(there, jax.random.uniform(rescue_key, there.shape, jnp.float32), -1.0)
    winner = jnp.arange(len(names))[None, :] == lottery.argmax(axis=1, keepdims=True)
    kept = jnp.where(kept.any(axis=1, keepdims=True), kept, winner & there)
    return {name: kept[:, m] for m, name in enumerate(names)}


class ConcatenationFusion(nnx.Module):
    """z = u W with u = `concatenate`(features, present): one linear map over everything.

    widths: name → E_m; width: E. The kernel is [Σ E_m + K, E]; its last K rows are the biases, one
    for each modality that is there.
    """

    def __init__(self, widths: Mapping[str, int], width: int, *, rngs: nnx.Rngs):
        self.names = _check_widths("ConcatenationFusion", widths)
        inputs = sum(widths.values()) + len(widths)
        self.output = Linear(inputs, width, use_bias=False, rngs=rngs)

    def __call__(self, features: Mapping[str, Array], present=None) -> Array:
        """features: name → [B, E_m], present: name → bool [B] or None → [B, E]."""
        _check_names("ConcatenationFusion", "features", features, self.names)
        return self.output(concatenate(features, present))


class AttentionFusion(nnx.Module):
    """`attention_fusion` of keys x_m K_m + c_m and values x_m V_m + d_m, with a learned query.

    widths: name → E_m; width: E; heads: H, a divisor of E.
    """

    def __init__(self, widths: Mapping[str, int], width: int, heads: int, *, rngs: nnx.Rngs):
        where = "AttentionFusion"
        self.names = _check_widths(where, widths)
        _check_heads(where, width, heads)
        self.heads = heads
        self.keys = _maps(widths, width, rngs)
        self.values = _maps(widths, width, rngs)
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
        _check_names("AttentionFusion", "features", features, self.names)
        shown = _shown("AttentionFusion", features, present)
        maps = ((self.keys[name], self.values[name], shown[name]) for name in self.names)
        pairs = [(key(x), value(x)) for key, value, x in maps]
        keys, values = zip(*pairs, strict=True)
        by_name = (dict(zip(self.names, arrays, strict=True)) for arrays in (keys, values))
        return self.query[...], *by_name


class GatedFusion(nnx.Module):
    """`gated_fusion` of v_m = tanh(x_m V_m + d_m), the gates computed from all modalities at once.

    Logits: [a_1, …, a_K] = u U with u = `concatenate`(features, present), U [Σ E_m + K, K·E].
    widths: name → E_m; width: E; kind: as in `modality_gates`. U starts at zero: every gate starts
    half open ("sigmoid") or evenly shared ("softmax").
    Source: Arevalo et al. (2017), section 3.1. There the gate has no bias; here it has one for each
    modality that is there.
    """

    def __init__(
        self, widths: Mapping[str, int], width: int, *, kind: Gate = "sigmoid", rngs: nnx.Rngs
    ):
        self.names = _check_widths("GatedFusion", widths)
        require_one_of(kind, GATES, "GatedFusion", "kind")
        self.kind = kind
        self.values = _maps(widths, width, rngs)
        inputs = sum(widths.values()) + len(widths)
        self.logits = Linear(inputs, len(widths) * width, use_bias=False, rngs=rngs)
        self.logits.kernel[...] = jnp.zeros_like(self.logits.kernel[...])

    def __call__(self, features: Mapping[str, Array], present=None) -> Array:
        """features: name → [B, E_m], present: name → bool [B] or None → [B, E]."""
        values, logits = self._project(features, present)
        return gated_fusion(values, logits, kind=self.kind, present=present)

    def with_weights(self, features: Mapping[str, Array], present=None):
        """The same output, and beside it the gates: name → [B, E]."""
        values, logits = self._project(features, present)
        gates = modality_gates(logits, kind=self.kind, present=present)
        return gated_fusion(values, logits, kind=self.kind, present=present), gates

    def _project(self, features, present):
        _check_names("GatedFusion", "features", features, self.names)
        shown = _shown("GatedFusion", features, present)
        values = {name: jnp.tanh(self.values[name](shown[name])) for name in self.names}
        logits = jnp.split(self.logits(concatenate(features, present)), len(self.names), axis=1)
        return values, dict(zip(self.names, logits, strict=True))


def _maps(widths: Mapping[str, int], width: int, rngs: nnx.Rngs) -> nnx.Dict:
    """A linear map for each modality, made in sorted order so that a seed means one model."""
    return nnx.Dict({name: Linear(widths[name], width, rngs=rngs) for name in sorted(widths)})


def _where(present: Array, x: Array) -> Array:
    """x [B, E] where present, zero elsewhere, even if x is not a number there."""
    return jnp.where(present[:, None], x, jnp.zeros_like(x))


def _shown(where: str, features, present) -> dict[str, Array]:
    """The features with zeros where a modality is missing."""
    names, present = _check(where, {"features": features}, present)
    return {name: _where(present[name], features[name]) for name in names}


def _stack(arrays: Mapping[str, Array], names: tuple[str, ...], present) -> Array:
    """name → [B, E] as [B, K, E], zeros where missing."""
    return jnp.stack([_where(present[name], arrays[name]) for name in names], axis=1)


def _query_and_keys(where, query, keys, heads, names, present):
    """Query [B, H, 1, D], keys [B, H, K, D] and the mask [B, 1, 1, K] of what is there."""
    stacked = _stack(keys, names, present)
    batch, _, width = stacked.shape
    _check_heads(where, width, heads)
    ok = hasattr(query, "shape") and query.shape == (width,) and query.dtype == stacked.dtype
    require(ok, where, "query", expected=f"{stacked.dtype}[{width}], as the keys", got=query)
    q = jnp.broadcast_to(query[None, None, :], (batch, 1, width))
    mask = padding_mask(jnp.stack([present[name] for name in names], axis=1))
    return split_heads(q, heads), split_heads(stacked, heads), mask


def _check(where: str, groups: Mapping[str, Mapping[str, Array]], present, *, one_width=False):
    """Checks mappings of features against each other; returns sorted names and `present`, filled.

    one_width: all arrays have one shape [B, E], else only one B.
    """
    (first, arrays), *_ = groups.items()
    _check_mapping(where, first, arrays)
    names = tuple(sorted(arrays))
    reference = arrays[names[0]]
    for argument, mapping in groups.items():
        _check_names(where, argument, mapping, names)
        for name in names:
            x, which = mapping[name], f"{argument}[{name!r}]"
            is_float = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
            require_type(is_float, where, which, expected="a floating-point array", got=x)
            require(x.ndim == 2 and 0 not in x.shape, where, which, expected="[B, E_m]", got=x)
            same = x.dtype == reference.dtype
            require_type(same, where, which, expected=f"dtype {reference.dtype}", got=x)
            fits = x.shape == reference.shape if one_width else len(x) == len(reference)
            expected = f"{list(reference.shape)}" if one_width else f"a batch of {len(reference)}"
            require(fits, where, which, expected=expected, got=x)
    if present is None:
        return names, {name: jnp.ones(len(reference), bool) for name in names}
    _check_names(where, "present", present, names)
    _check_present(where, present, len(reference))
    return names, dict(present)


def _check_present(where: str, present: Mapping[str, Array], batch: int) -> None:
    for name, x in present.items():
        which, expected = f"present[{name!r}]", f"bool [{batch or 'B'}] (True = it is there)"
        require_type(getattr(x, "dtype", None) == jnp.bool_, where, which, expected=expected, got=x)
        require(x.shape == (batch,), where, which, expected=expected, got=x)


def _check_mapping(where: str, argument: str, mapping) -> None:
    ok = isinstance(mapping, Mapping)
    require_type(ok, where, argument, expected="a mapping from name to array", got=mapping)
    require(len(mapping) > 0, where, argument, expected="at least one modality", got=mapping)


def _check_names(where: str, argument: str, mapping, names: tuple[str, ...]) -> None:
    _check_mapping(where, argument, mapping)
    same = set(mapping) == set(names)
    require(same, where, argument, expected=f"the names {list(names)}", got=f"{sorted(mapping)}")


def _check_widths(where: str, widths: Mapping[str, int]) -> tuple[str, ...]:
    ok = len(widths) > 0 and all(width >= 1 for width in widths.values())
    require(ok, where, "widths", expected="name → width, at least 1 each", got=dict(widths))
    return tuple(sorted(widths))


def _check_heads(where: str, width: int, heads: int) -> None:
    ok = heads >= 1 and width % heads == 0
    require(ok, where, "heads", expected=f"a divisor of the width {width}", got=heads)
