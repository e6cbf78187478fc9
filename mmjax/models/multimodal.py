"""The multimodal Transformer in its three forms, under the names of the field, and what it reads.

Single-stream (UNITER, ViLT): all tokens in one Transformer. It is the joint representation of
section 2.2. Dual-stream (ViLBERT): a stack for each modality, with cross-attention to the others.
Bottleneck (MBT): a stack for each modality, and a few shared tokens between them.

Sources: Chen et al. (2020), UNITER; Kim et al. (2021), ViLT; Lu et al. (2019), ViLBERT; Nagrani et
al. (2021), MBT; maps of attention over several layers: Abnar & Zuidema (2020).
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jax import Array

from mmjax.attention import padding_mask
from mmjax.checks import require, require_one_of, require_type
from mmjax.models.bottleneck import BottleneckModel, mean_of_present, with_shared
from mmjax.models.representation import (
    CrossAttentionModel,
    Inputs,
    JointModel,
    concatenate_tokens,
    what_it_reads,
)

SingleStreamModel = JointModel
DualStreamModel = CrossAttentionModel

SHARED = "shared"
"""Stands for the Z tokens of a bottleneck in the labels of a map."""

AttentionMaps = dict[tuple[str, str], Array]
"""Of one layer: (who reads, who is read) → weights [B, H, T, S]."""


def attention_maps(model, inputs: Inputs) -> list[AttentionMaps]:
    """The attention weights of every layer, cut into blocks and labelled: who reads whom.

    maps[l]["text", "video"] [B, H, T, S] is what each word gives to each token of the video in
    layer l. What a row sums to depends on the architecture:

    - SingleStreamModel: a softmax over all modalities, so a reader's blocks sum to 1 together.
    - DualStreamModel: (k, k) sums to 1, and so do the blocks (k, j) of all j ≠ k together.
    - BottleneckModel: (k, k) and (k, "shared") sum to 1 together. ("shared", k) is what the shared
      tokens read in the block of modality k; the rest of those rows stays with the shared tokens.
      No token reads another modality itself: see `through_bottleneck`.

    What is not real is not read. Rows of readers that are not real mean nothing, and where there is
    nothing to read a row is zero. The numbers are those of the forward pass without dropout, for
    one example after the other; ask for few examples, as all weights of all layers are kept.
    Raises TypeError for another model.
    """
    for kind, read in READERS.items():
        if isinstance(model, kind):
            return read(model, inputs)
    expected = "a SingleStreamModel, a DualStreamModel or a BottleneckModel"
    require_type(False, "attention_maps", "model", expected=expected, got=type(model).__name__)


def _single_stream_maps(model: JointModel, inputs: Inputs) -> list[AttentionMaps]:
    streams, masks = model.embed(inputs)
    x, mask = concatenate_tokens(streams.values()), concatenate_tokens(masks.values())
    _, weights = model.transformer.with_weights(x, mask=padding_mask(mask))
    lengths = {k: x.shape[1] for k, x in streams.items()}
    return [cut_map(layer, lengths, lengths) for layer in weights]


def _dual_stream_maps(model: CrossAttentionModel, inputs: Inputs) -> list[AttentionMaps]:
    streams, masks = model.embed(inputs)
    lengths = {k: x.shape[1] for k, x in streams.items()}
    maps = []
    for layer in model.layers:
        found, after = {}, {}
        for k, x in streams.items():
            reads = what_it_reads(k, streams, masks)
            after[k], found[k, k], across = layer[k].with_weights(x, **reads)
            others = {j: length for j, length in lengths.items() if j != k}
            found |= cut_map(across, {k: x.shape[1]}, others) if others else {}
        streams = after
        maps.append(found)
    return maps


def _bottleneck_maps(model: BottleneckModel, inputs: Inputs) -> list[AttentionMaps]:
    streams, masks, z = model.embed(inputs)
    here = [mask.any(axis=1) for mask in masks.values()]
    maps = []
    for layer in model.layers:
        found, parts = {}, []
        for k, x in streams.items():
            both, mask = with_shared(x, z, masks[k])
            both, weights = layer[k].with_weights(both, mask=mask)
            lengths = {k: x.shape[1], SHARED: z.shape[1]}
            cut = cut_map(weights, lengths, lengths)
            found |= {pair: block for pair, block in cut.items() if pair != (SHARED, SHARED)}
            streams[k] = both[:, : x.shape[1]]
            parts.append(both[:, x.shape[1] :])
        z = mean_of_present(parts, here)
        maps.append(found)
    return maps


READERS = {
    JointModel: _single_stream_maps,
    CrossAttentionModel: _dual_stream_maps,
    BottleneckModel: _bottleneck_maps,
}


def cut_map(weights: Array, queries: Mapping[str, int], keys: Mapping[str, int]) -> AttentionMaps:
    """Cuts weights [..., T, S] into the blocks of the modalities that stand one after another.

    queries, keys: name → number of tokens, in their order; the numbers sum to T and to S.
    Raises ValueError if they do not.
    """
    for argument, lengths, size in zip(
        ("queries", "keys"), (queries, keys), weights.shape[-2:], strict=True
    ):
        total = sum(lengths.values())
        expected = f"lengths that sum to {size}"
        require(total == size, "cut_map", argument, expected=expected, got=total)
    rows = np.cumsum([0, *queries.values()]).tolist()
    columns = np.cumsum([0, *keys.values()]).tolist()
    return {
        (reader, read): weights[..., rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
        for i, reader in enumerate(queries)
        for j, read in enumerate(keys)
    }


def through_bottleneck(
    earlier: AttentionMaps, later: AttentionMaps, reader: str, read: str, present: int | Array
) -> Array:
    """What a token reads of another modality by way of the shared tokens, in two layers.

    P̂ = P^{l+1}_{reader, shared} P^{l}_{shared, read} / K,  [B, T, S]

    P are means over the heads, and K is the number of modalities that are there (an int, or int
    [B]), since the shared tokens are a mean over those; as in the model, 0 counts as 1. It follows
    the weights only, and not what values and residual sums make of them. Raises ValueError for a
    name that the maps do not hold, or `present` of another shape.
    """
    where = "through_bottleneck"
    require_one_of(reader, sorted(a for a, b in later if b == SHARED), where, "reader")
    require_one_of(read, sorted(b for a, b in earlier if a == SHARED), where, "read")
    to_shared, of_shared = later[reader, SHARED].mean(axis=1), earlier[SHARED, read].mean(axis=1)
    batch, share = len(to_shared), jnp.asarray(present, to_shared.dtype)
    ok = share.shape in ((), (batch,))
    require(ok, where, "present", expected=f"a number or [{batch}]", got=present)
    share = jnp.maximum(1, share).reshape(-1, 1, 1)
    return jnp.einsum("btz,bzs->bts", to_shared, of_shared) / share
