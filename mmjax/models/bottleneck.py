"""The bottleneck Transformer: modalities exchange only through a few shared tokens.

Source: Nagrani et al. (2021), "Attention bottlenecks for multimodal fusion", section 3.3. There the
exchange begins in a later layer; here it begins in the first.
"""

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import LayerNorm, TransformerBlock, padding_mask
from mmjax.checks import require
from mmjax.models.encoders import masked_mean
from mmjax.models.representation import (
    Inputs,
    RepresentationConfig,
    make_inputs,
    make_projections,
    read_inputs,
    split_key,
)
from mmjax.models.token_encoder import small_normal


class BottleneckModel(nnx.Module):
    """One stream a modality and Z shared tokens z: one common representation [B, E].

    [x_k; z_k] ← TransformerBlock_k([x_k; z]) for every modality k,   z ← mean of z_k,   L times;
    y = mean over the modalities of (mean of LN(x_k) over the real tokens) W_k

    A token of one modality reaches another only through z. A layer costs Σ (T_k + Z)² weights
    instead of the (Σ T_k)² of one stream, and Z decides how much can pass: with Z = 0 nothing does.
    Both means are over the modalities that are there; a missing one has no influence.
    """

    def __init__(self, config: RepresentationConfig, bottleneck: int, *, rngs: nnx.Rngs):
        ok, where = bottleneck >= 0, "BottleneckModel"
        require(ok, where, "bottleneck", expected="at least 0", got=bottleneck)
        sizes, names = config.transformer, sorted(config.modalities)
        self.config = config
        self.inputs = make_inputs(config, rngs)
        self.bottleneck = small_normal(rngs, bottleneck, sizes.width)
        self.layers = nnx.List(
            nnx.Dict({k: TransformerBlock(sizes, rngs=rngs) for k in names})
            for _ in range(sizes.layers)
        )
        self.norms = nnx.Dict({k: LayerNorm(sizes.width) for k in names})
        self.projections = make_projections(config, rngs)

    def __call__(self, inputs: Inputs, *, dropout_key: Array | None = None) -> Array:
        streams, masks = self.streams(inputs, dropout_key=dropout_key)
        parts = [self.projections[k](masked_mean(x, masks[k])) for k, x in streams.items()]
        return mean_of_present(parts, [mask.any(axis=1) for mask in masks.values()])

    def streams(
        self, inputs: Inputs, *, dropout_key: Array | None = None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The tokens [B, T_k, M] of each given modality after the last layer, and their masks."""
        streams, masks, z = self.embed(inputs)
        here = [mask.any(axis=1) for mask in masks.values()]
        for layer, key in zip(self.layers, split_key(dropout_key, len(self.layers)), strict=True):
            shared_parts = []
            keys = split_key(key, len(streams))
            for (k, x), block_key in zip(streams.items(), keys, strict=True):
                both, mask = with_shared(x, z, masks[k])
                both = layer[k](both, mask=mask, dropout_key=block_key)
                streams[k] = both[:, : x.shape[1]]
                shared_parts.append(both[:, x.shape[1] :])
            z = mean_of_present(shared_parts, here)
        return {k: self.norms[k](x) for k, x in streams.items()}, masks

    def embed(self, inputs: Inputs) -> tuple[dict[str, Array], dict[str, Array], Array]:
        """x_0 [B, T_k, M] and the mask of each given modality, and the shared tokens [B, Z, M]."""
        streams, masks = read_inputs(self.inputs, inputs, "BottleneckModel")
        first = next(iter(streams.values()))
        shared = self.bottleneck[...][None].astype(first.dtype)
        return streams, masks, jnp.broadcast_to(shared, (len(first), *shared.shape[1:]))


def with_shared(x: Array, z: Array, mask: Array) -> tuple[Array, Array]:
    """What the block of one modality reads: [x; z] [B, T + Z, M], and who may be attended to."""
    real = jnp.concatenate([mask, jnp.ones(z.shape[:2], bool)], axis=1)
    return jnp.concatenate([x, z], axis=1), padding_mask(real)


def mean_of_present(parts: list[Array], here: list[Array]) -> Array:
    """Mean of arrays [B, …] over those whose `here` [B] is True; zeros where none is."""
    weights = jnp.stack(here).astype(parts[0].dtype)
    weights = weights / jnp.maximum(1, weights.sum(axis=0, keepdims=True))
    shape = (*weights.shape, *(1,) * (parts[0].ndim - 1))
    return (jnp.stack(parts) * weights.reshape(shape)).sum(axis=0)
