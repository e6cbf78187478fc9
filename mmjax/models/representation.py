"""Representation: one vector for all modalities together, or one for each, made to agree.

Joint: y = f(x_1, …, x_K), one network over the tokens of all modalities.
Coordinated: y_k = f_k(x_k), one network a modality, tied to the others by attention between them or
by a contrastive loss.

Source: Baltrušaitis et al. (2019), section 3, for the two kinds and their names.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import (
    CrossAttentionBlock,
    LayerNorm,
    Linear,
    Transformer,
    TransformerConfig,
    padding_mask,
)
from mmjax.checks import require, require_one_of, require_type
from mmjax.losses import normalize
from mmjax.models.encoders import masked_mean
from mmjax.models.token_encoder import TextInput, TokenInput, require_positive, small_normal

Inputs = Mapping[str, tuple[Array, Array | None]]
"""For each modality its tokens ([B, T, features], or int [B, T] for words) and mask bool [B, T]."""


@dataclass(frozen=True)
class Tokens:
    """A modality of at most `length` tokens with `features` numbers each."""

    features: int
    length: int

    def __post_init__(self):
        require_positive(self, "features", "length")

    def input(self, width: int, rngs: nnx.Rngs) -> TokenInput:
        """The linear map and the positions that bring it to `width` M."""
        return TokenInput(self.features, self.length, width, rngs=rngs)


@dataclass(frozen=True)
class Words:
    """A modality of at most `length` tokens out of `vocabulary` V."""

    vocabulary: int
    length: int

    def __post_init__(self):
        require_positive(self, "vocabulary", "length")

    def input(self, width: int, rngs: nnx.Rngs) -> TextInput:
        """The table of words and the positions that bring it to `width` M."""
        return TextInput(self.vocabulary, self.length, width, rngs=rngs)


@dataclass(frozen=True)
class RepresentationConfig:
    """The modalities by name, the Transformer (of each stream, or of all), the embedding width E.

    Raises ValueError for no modality or an embedding width below 1.
    """

    modalities: Mapping[str, Tokens | Words]
    transformer: TransformerConfig
    embedding: int

    def __post_init__(self):
        where, found = "RepresentationConfig", self.modalities
        require(len(found) > 0, where, "modalities", expected="at least one", got=found)
        for spec in found.values():
            ok = isinstance(spec, Tokens | Words)
            require_type(ok, where, "modalities", expected="Tokens or Words only", got=spec)
        require_positive(self, "embedding")


class JointModel(nnx.Module):
    """All tokens in one Transformer: one common representation [B, E].

    x_0 = [input_k(x_k) + e_k for every modality k], one after another along T;
    y = (mean of Transformer(x_0) over all real tokens) W_E.

    e_k, the modality embedding, says where a token comes from. A modality that is missing, with a
    mask that is False everywhere or not given at all, has no influence. Nothing real: zeros.
    """

    def __init__(self, config: RepresentationConfig, *, rngs: nnx.Rngs):
        width, names = config.transformer.width, sorted(config.modalities)
        self.config = config
        self.inputs = make_inputs(config, rngs)
        self.modality_embeddings = nnx.Dict({k: small_normal(rngs, 1, width) for k in names})
        self.transformer = Transformer(config.transformer, rngs=rngs)
        self.projection = Linear(width, config.embedding, use_bias=False, rngs=rngs)

    def __call__(self, inputs: Inputs, *, dropout_key: Array | None = None) -> Array:
        x, mask = self.tokens(inputs, dropout_key=dropout_key)
        return self.projection(masked_mean(x, mask))

    def tokens(self, inputs: Inputs, *, dropout_key: Array | None = None) -> tuple[Array, Array]:
        """The tokens [B, T, M] of all modalities in the order of their names, and their mask."""
        streams, masks = self.embed(inputs)
        x, mask = concatenate_tokens(streams.values()), concatenate_tokens(masks.values())
        return self.transformer(x, mask=padding_mask(mask), dropout_key=dropout_key), mask

    def embed(self, inputs: Inputs) -> tuple[dict[str, Array], dict[str, Array]]:
        """What the Transformer reads: x_0 [B, T_k, M] and the mask of each given modality."""
        streams, masks = read_inputs(self.inputs, inputs, "JointModel")
        return {k: x + self.modality_embeddings[k][...][None] for k, x in streams.items()}, masks


class CoordinatedModel(nnx.Module):
    """One encoder a modality; the vectors live in one space, where a loss brings them together.

    y_k = normalize( (mean of Transformer_k(input_k(x_k))) W_k ),  [B, E] of length 1

    No encoder sees another modality, so any of them can be used alone. `logit_scale`, the logarithm
    of the inverse temperature, is for a contrastive loss between pairs of modalities; it starts at
    ln(1/0.07). A missing modality has the vector zero.
    """

    def __init__(self, config: RepresentationConfig, *, rngs: nnx.Rngs):
        sizes, names = config.transformer, sorted(config.modalities)
        self.config = config
        self.inputs = make_inputs(config, rngs)
        self.transformers = nnx.Dict({k: Transformer(sizes, rngs=rngs) for k in names})
        self.projections = make_projections(config, rngs)
        self.logit_scale = nnx.Param(jnp.asarray(math.log(1 / 0.07), jnp.float32))

    def __call__(self, inputs: Inputs, *, dropout_key: Array | None = None) -> dict[str, Array]:
        """The vectors of the modalities that are given, by name."""
        streams, masks = read_inputs(self.inputs, inputs, "CoordinatedModel")
        out = {}
        for (k, x), key in zip(streams.items(), split_key(dropout_key, len(streams)), strict=True):
            x = self.transformers[k](x, mask=padding_mask(masks[k]), dropout_key=key)
            out[k] = normalize(self.projections[k](masked_mean(x, masks[k])))
        return out


class CrossAttentionModel(nnx.Module):
    """One stream a modality, tied by attention: in every layer it reads the tokens of the others.

    x_k ← CrossAttentionBlock_k(x_k, context = [x_j for all j ≠ k]), L times, all k at once;
    y_k = (mean of LN(x_k) over the real tokens of k) W_k,  [B, E]

    Each modality keeps a vector of its own, informed by the others. A missing modality is read by
    nobody and has the vector zero. One that is alone reads nothing: an empty row of attention.
    """

    def __init__(self, config: RepresentationConfig, *, rngs: nnx.Rngs):
        names, sizes = sorted(config.modalities), config.transformer
        several = len(names) > 1
        expected = "at least two modalities"
        require(several, "CrossAttentionModel", "config", expected=expected, got=str(names))
        self.config = config
        self.inputs = make_inputs(config, rngs)
        self.layers = nnx.List(
            nnx.Dict({k: CrossAttentionBlock(sizes, rngs=rngs) for k in names})
            for _ in range(sizes.layers)
        )
        self.norms = nnx.Dict({k: LayerNorm(sizes.width) for k in names})
        self.projections = make_projections(config, rngs)

    def __call__(self, inputs: Inputs, *, dropout_key: Array | None = None) -> dict[str, Array]:
        """The vectors of the modalities that are given, by name."""
        streams, masks = self.embed(inputs)
        for layer, key in zip(self.layers, split_key(dropout_key, len(self.layers)), strict=True):
            keys = dict(zip(streams, split_key(key, len(streams)), strict=True))
            streams = {
                k: layer[k](x, **what_it_reads(k, streams, masks), dropout_key=keys[k])
                for k, x in streams.items()
            }
        return {
            name: self.projections[name](masked_mean(self.norms[name](x), masks[name]))
            for name, x in streams.items()
        }

    def embed(self, inputs: Inputs) -> tuple[dict[str, Array], dict[str, Array]]:
        """What the first layer reads: x_0 [B, T_k, M] and the mask of each given modality."""
        return read_inputs(self.inputs, inputs, "CrossAttentionModel")


def what_it_reads(name: str, streams: dict, masks: dict) -> dict[str, Array]:
    """The arguments of a CrossAttentionBlock: context (all other tokens), mask, context_mask."""
    others = [k for k in streams if k != name]
    if others:
        context = concatenate_tokens(streams[k] for k in others)
        seen = concatenate_tokens(masks[k] for k in others)
    else:  # alone: one token that nobody may look at
        context = jnp.zeros_like(streams[name][:, :1])
        seen = jnp.zeros_like(masks[name][:, :1])
    own, seen = padding_mask(masks[name]), padding_mask(seen)
    return {"context": context, "mask": own, "context_mask": seen}


def make_inputs(config: RepresentationConfig, rngs: nnx.Rngs) -> nnx.Dict:
    """What brings the tokens of each modality to the width M, in the order of the names."""
    found, width = config.modalities, config.transformer.width
    return nnx.Dict({k: found[k].input(width, rngs) for k in sorted(found)})


def make_projections(config: RepresentationConfig, rngs: nnx.Rngs) -> nnx.Dict:
    """W_k [M, E] for each modality. Without a bias: zeros, for what is missing, stay zeros."""
    width, out = config.transformer.width, config.embedding
    names = sorted(config.modalities)
    return nnx.Dict({k: Linear(width, out, use_bias=False, rngs=rngs) for k in names})


def read_inputs(parts: nnx.Dict, inputs: Inputs, where: str) -> tuple[dict, dict]:
    """x_0 and the mask of each given modality, in the order of the names."""
    require(len(inputs) > 0, where, "inputs", expected="at least one modality", got="none")
    for name in inputs:
        require_one_of(name, sorted(parts), where, "inputs")
    read = {name: parts[name](*inputs[name]) for name in sorted(inputs)}
    sizes = {name: len(mask) for name, (_, mask) in read.items()}
    same = len(set(sizes.values())) == 1
    require(same, where, "inputs", expected="one batch size for all modalities", got=str(sizes))
    return {k: x for k, (x, _) in read.items()}, {k: mask for k, (_, mask) in read.items()}


def concatenate_tokens(arrays) -> Array:
    """Tokens or masks of several modalities, one after another along T."""
    return jnp.concatenate(list(arrays), axis=1)


def split_key(key: Array | None, number: int) -> list:
    return [None] * number if key is None else list(jax.random.split(key, number))
