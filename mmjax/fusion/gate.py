"""Gates: all modalities together decide how much of each entry of each is let through.

Source: Arevalo et al. (2017), "Gated multimodal units for information fusion".
"""

from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import Linear
from mmjax.attention.dot_product import masked_softmax
from mmjax.checks import require_one_of
from mmjax.fusion.arguments import (
    check_arrays,
    check_names,
    check_widths,
    linear_maps,
    shown_features,
    stack_modalities,
    where_present,
)
from mmjax.fusion.concatenation import concatenate
from mmjax.precision import wide_dtype

Gate = Literal["sigmoid", "softmax"]
GATES = ("sigmoid", "softmax")


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
    names, present = check_arrays("gated_fusion", arrays, present, one_width=True)
    gates = modality_gates(logits, kind=kind, present=present)
    shown = ((gates[name], where_present(present[name], values[name])) for name in names)
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
    names, present = check_arrays("modality_gates", {"logits": logits}, present, one_width=True)
    a = stack_modalities(logits, names, present)
    a = a.astype(wide_dtype(a.dtype)).swapaxes(1, 2)  # [B, E, K]
    there = jnp.stack([present[name] for name in names], axis=1)[:, None, :]
    if kind == "softmax":
        gates = masked_softmax(a, there)
    else:
        gates = jnp.where(there, jax.nn.sigmoid(a), jnp.zeros_like(a))
    return {name: gates[:, :, m] for m, name in enumerate(names)}


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
        self.names = check_widths("GatedFusion", widths)
        require_one_of(kind, GATES, "GatedFusion", "kind")
        self.kind = kind
        self.values = linear_maps(widths, width, rngs)
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
        check_names("GatedFusion", "features", features, self.names)
        shown = shown_features("GatedFusion", features, present)
        values = {name: jnp.tanh(self.values[name](shown[name])) for name in self.names}
        logits = jnp.split(self.logits(concatenate(features, present)), len(self.names), axis=1)
        return values, dict(zip(self.names, logits, strict=True))
