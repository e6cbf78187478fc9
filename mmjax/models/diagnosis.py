"""Diagnosis from a picture and a record: an encoder for each, and a sum of what they say.

Given the disease the two are independent, so log odds add (equation 5.5.2). A linear map of the
concatenated features is such a sum, and a missing modality takes its term away. The prior stays.

Sources: Ilse, Tomczak and Welling (2018), attention pooling over the parts of a picture;
Dosovitskiy et al. (2021), the Vision Transformer; Gorishniy et al. (2021), fields as tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import (
    Linear,
    TransformerConfig,
    attention_weights,
    scaled_dot_product_attention,
)
from mmjax.checks import require
from mmjax.fusion import ConcatenationFusion
from mmjax.models.encoders import ImageEncoder, ImageEncoderConfig
from mmjax.models.token_encoder import TokenEncoder, TokenEncoderConfig

MODALITIES = ("picture", "record")


class AttentionPooling(nnx.Module):
    """Tokens [B, T, M] → one vector [B, M], a mean with weights that the tokens' keys decide.

    a = softmax over t of q · (x_t K) / √M;  out = Σ_t a_t (x_t V), with a learned query q [M]

    Source: Ilse et al. (2018), equation 7, with the softmax of a scaled dot product in place of
    that of a small network.
    """

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.key = Linear(width, width, use_bias=False, rngs=rngs)
        self.value = Linear(width, width, rngs=rngs)
        self.query = nnx.Param(jax.random.normal(rngs.params(), (width,), jnp.float32))

    def __call__(self, tokens: Array) -> Array:
        query = self._query(tokens)
        return scaled_dot_product_attention(query, self.key(tokens), self.value(tokens))[:, 0]

    def weights(self, tokens: Array) -> Array:
        """The weights a [B, T]; each row sums to 1."""
        return attention_weights(self._query(tokens), self.key(tokens))[:, 0]

    def _query(self, tokens: Array) -> Array:
        query = self.query[...].astype(tokens.dtype)
        return jnp.broadcast_to(query[None, None], (len(tokens), 1, tokens.shape[2]))


class PictureReader(nnx.Module):
    """Pictures [B, side, side, C] → [B, M]: patches, a Transformer, attention pooling."""

    def __init__(self, config: ImageEncoderConfig, *, rngs: nnx.Rngs):
        self.encoder = ImageEncoder(config, rngs=rngs)
        self.pooling = AttentionPooling(config.transformer.width, rngs=rngs)

    def __call__(self, pictures: Array) -> Array:
        return self.pooling(self.encoder.tokens(pictures))

    def weights(self, pictures: Array) -> Array:
        """How much of each patch is taken: [B, side / P, side / P], summing to 1 a picture."""
        weights, config = self.pooling.weights(self.encoder.tokens(pictures)), self.encoder.config
        side = config.image_size // config.patch_size
        return weights.reshape(-1, side, side)


@dataclass(frozen=True)
class DiagnosisConfig:
    """`reads` names the modalities in use; a record is `fields` tokens of 2 numbers."""

    reads: tuple[str, ...] = MODALITIES
    picture: ImageEncoderConfig = field(
        default=ImageEncoderConfig(24, 1, 4, TransformerConfig(layers=2, width=32, heads=4))
    )
    fields: int = 5
    record: TransformerConfig = field(default=TransformerConfig(layers=1, width=16, heads=2))

    def __post_init__(self):
        ok = len(self.reads) > 0 and set(self.reads) <= set(MODALITIES)
        expected = f"at least one of {list(MODALITIES)}"
        require(ok, "DiagnosisConfig", "reads", expected=expected, got=repr(self.reads))


class DiagnosisModel(nnx.Module):
    """The log odds z [B] of a disease, from a picture, a record, or both.

    z = b + Σ_m δ_m (f_m w_m + b_m), with f_m the features of modality m, δ_m = 1 where it is there

    The constant b is for the prior, which counts once however many modalities there are.

    inputs: name → pictures [B, side, side, C], record tokens [B, fields, 2]; present: name → bool
    [B], or None for all. Raises ValueError for other names than those of `config.reads`.
    """

    def __init__(self, config: DiagnosisConfig, *, rngs: nnx.Rngs):
        self.config = config
        make = {"picture": self._picture, "record": self._record}
        made = {name: make[name](config, rngs) for name in sorted(config.reads)}
        widths = {name: width for name, (_, width) in made.items()}
        self.readers = nnx.Dict({name: reader for name, (reader, _) in made.items()})
        self.fusion = ConcatenationFusion(widths, 1, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros((), jnp.float32))

    def __call__(self, inputs: Mapping[str, Array], present=None) -> Array:
        names = self.fusion.names
        same = set(inputs) == set(names)
        expected = f"the names {list(names)}"
        require(same, "DiagnosisModel", "inputs", expected=expected, got=f"{sorted(inputs)}")
        if present is not None:  # the gradient of a reader at NaN would be NaN, times zero
            inputs = {name: _blank(inputs[name], present.get(name)) for name in names}
        features = {name: self.readers[name](inputs[name]) for name in names}
        sums = self.fusion(features, present)[:, 0]
        return sums + jnp.broadcast_to(self.bias[...].astype(sums.dtype), sums.shape)

    @staticmethod
    def _picture(config, rngs):
        return PictureReader(config.picture, rngs=rngs), config.picture.transformer.width

    @staticmethod
    def _record(config, rngs):
        width = config.record.width
        reader = TokenEncoder(TokenEncoderConfig(2, config.fields, config.record, width), rngs=rngs)
        return reader, width


def _blank(x: Array, there: Array | None) -> Array:
    if there is None or there.shape != (len(x),):
        return x  # the fusion names what is wrong
    return jnp.where(there.reshape(-1, *[1] * (x.ndim - 1)), x, jnp.zeros_like(x))
