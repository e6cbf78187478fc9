"""Concatenation: every modality has its place in one long vector, and a fixed weight."""

from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import Linear
from mmjax.fusion.arguments import check_arrays, check_names, check_widths, where_present


def concatenate(features: Mapping[str, Array], present: Mapping[str, Array] | None = None) -> Array:
    """One long vector of all features, and behind them which modalities are there.

    u = [δ_1 x_1, …, δ_K x_K, δ_1, …, δ_K],  δ_m = 1 where modality m is there, else 0

    features: name → [B, E_m], in one floating dtype; present: name → bool [B], or None for all.
    Returns [B, Σ E_m + K], names in sorted order. A linear map of u is what concatenation means in
    practice; the last K entries carry one bias for each modality that is there.
    Raises TypeError or ValueError for arguments of the wrong dtype, shape or names.
    """
    names, present = check_arrays("concatenate", {"features": features}, present)
    shown = [where_present(present[name], features[name]) for name in names]
    there = jnp.stack([present[name] for name in names], axis=1)
    return jnp.concatenate([*shown, there.astype(shown[0].dtype)], axis=1)


class ConcatenationFusion(nnx.Module):
    """z = u W with u = `concatenate`(features, present): one linear map over everything.

    widths: name → E_m; width: E. The kernel is [Σ E_m + K, E]; its last K rows are the biases, one
    for each modality that is there.
    """

    def __init__(self, widths: Mapping[str, int], width: int, *, rngs: nnx.Rngs):
        self.names = check_widths("ConcatenationFusion", widths)
        inputs = sum(widths.values()) + len(widths)
        self.output = Linear(inputs, width, use_bias=False, rngs=rngs)

    def __call__(self, features: Mapping[str, Array], present=None) -> Array:
        """features: name → [B, E_m], present: name → bool [B] or None → [B, E]."""
        check_names("ConcatenationFusion", "features", features, self.names)
        return self.output(concatenate(features, present))
