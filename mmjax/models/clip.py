"""CLIP: two encoders that meet in one space, where a picture lies next to its text.

Source: Radford et al. (2021), "Learning transferable visual models from natural language
supervision", section 2.3 and figure 3.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import Linear
from mmjax.checks import require
from mmjax.losses import normalize
from mmjax.models.encoders import (
    ImageEncoder,
    ImageEncoderConfig,
    TextEncoder,
    TextEncoderConfig,
)


@dataclass(frozen=True)
class CLIPConfig:
    """The two encoders, the width E of the common space, and the first temperature.

    Raises ValueError for a width below 1 or a temperature below 0.01, whose inverse is the cap.
    """

    image: ImageEncoderConfig
    text: TextEncoderConfig
    embedding: int = 128
    initial_temperature: float = 0.07

    def __post_init__(self):
        where, temperature = type(self).__name__, self.initial_temperature
        require(self.embedding >= 1, where, "embedding", expected="at least 1", got=self.embedding)
        allowed = temperature >= 0.01
        expected = "at least 0.01"
        require(allowed, where, "initial_temperature", expected=expected, got=temperature)


class CLIPOutput(NamedTuple):
    """Embeddings [B, E] of length 1, and logit_scale, the log of the inverse temperature."""

    image_embeddings: Array
    text_embeddings: Array
    logit_scale: Array


class CLIP(nnx.Module):
    """Image and text encoders with projections into a common space of unit vectors.

    u = normalize(ImageEncoder(image) W_I),  v = normalize(TextEncoder(text) W_T)

    How well an image and a text fit is e^{logit_scale} u · v. `logit_scale` is learned and starts
    at ln(1 / 0.07). The loss is `mmjax.losses.clip_loss`.
    Source: Radford et al. (2021), figure 3.
    """

    def __init__(self, config: CLIPConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.image_encoder = ImageEncoder(config.image, rngs=rngs)
        self.text_encoder = TextEncoder(config.text, rngs=rngs)
        image_width = config.image.transformer.width
        text_width = config.text.transformer.width
        self.image_projection = Linear(image_width, config.embedding, use_bias=False, rngs=rngs)
        self.text_projection = Linear(text_width, config.embedding, use_bias=False, rngs=rngs)
        self.logit_scale = nnx.Param(
            jnp.asarray(-math.log(config.initial_temperature), jnp.float32)
        )

    def encode_image(self, images: Array, *, dropout_key: Array | None = None) -> Array:
        """Images [B, side, side, C] in [0, 1] → unit vectors [B, E]."""
        features = self.image_encoder(images, dropout_key=dropout_key)
        return normalize(self.image_projection(features))

    def encode_text(self, tokens: Array, real: Array, *, dropout_key: Array | None = None) -> Array:
        """Tokens int [B, T] and their mask bool [B, T] → unit vectors [B, E]."""
        features = self.text_encoder(tokens, real, dropout_key=dropout_key)
        return normalize(self.text_projection(features))

    def __call__(self, images: Array, tokens: Array, real: Array) -> CLIPOutput:
        return CLIPOutput(
            self.encode_image(images), self.encode_text(tokens, real), self.logit_scale[...]
        )
