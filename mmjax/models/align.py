"""ALIGN: CLIP with a convolutional picture tower, for pairs that nobody has cleaned.

Source: Jia et al. (2021), "Scaling up visual and vision-language representation learning with noisy
text supervision", section 4.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx

from mmjax.attention import Linear
from mmjax.checks import require
from mmjax.models.clip import CLIP
from mmjax.models.efficientnet import ConvolutionalEncoder, ConvolutionalEncoderConfig
from mmjax.models.encoders import TextEncoder, TextEncoderConfig


@dataclass(frozen=True)
class ALIGNConfig:
    """The two towers, the width E of the common space, and the first temperature.

    Raises ValueError for a width below 1 or a temperature below 0.01, whose inverse is the cap.
    """

    image: ConvolutionalEncoderConfig
    text: TextEncoderConfig
    embedding: int = 128
    initial_temperature: float = 0.07

    def __post_init__(self):
        where, temperature = type(self).__name__, self.initial_temperature
        require(self.embedding >= 1, where, "embedding", expected="at least 1", got=self.embedding)
        allowed, expected = temperature >= 0.01, "at least 0.01"
        require(allowed, where, "initial_temperature", expected=expected, got=temperature)


class ALIGN(CLIP):
    """A convolutional tower for pictures and a bidirectional Transformer for texts.

    u = normalize(ConvolutionalEncoder(image) W_I),  v = normalize(TextEncoder(text) W_T)

    The methods are those of `CLIP`. What ALIGN changes besides the tower is the loss,
    `mmjax.losses.clip_loss` with label_smoothing 0.1, and the data, which are not cleaned.
    Source: Jia et al. (2021), section 4.1. Theirs is an EfficientNet-L2 beside a BERT-Large that
    reads the class token, and the temperature starts at 1; here the mean of the tokens is read and
    the temperature starts where CLIP's does, so that the two can be compared.
    """

    def __init__(self, config: ALIGNConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.image_encoder = ConvolutionalEncoder(config.image, rngs=rngs)
        self.text_encoder = TextEncoder(config.text, rngs=rngs)
        text_width = config.text.transformer.width
        self.image_projection = Linear(
            config.image.width, config.embedding, use_bias=False, rngs=rngs
        )
        self.text_projection = Linear(text_width, config.embedding, use_bias=False, rngs=rngs)
        self.logit_scale = nnx.Param(
            jnp.asarray(-math.log(config.initial_temperature), jnp.float32)
        )
