"""A small convolutional encoder for videos, and for pictures as videos of one frame.

Space first, then time: the same two convolutions look at every frame, then a linear map looks at
all frames of one place. So what is seen is found wherever it stands, and what moves is seen as
what comes and goes at a place.
Source: Tran et al. (2018), "A closer look at spatiotemporal convolutions" (space and time apart).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import LayerNorm, Linear
from mmjax.checks import require, require_type
from mmjax.models.convolution import convolution


@dataclass(frozen=True)
class VideoEncoderConfig:
    """Videos of `frames` T square frames with `image_size` pixels a side and `channels` C.

    `stem` and `body` are the channels of the two convolutions, `time` those of the map over time,
    `hidden` F the width of the last perceptron, `embedding` E what comes out.
    Raises ValueError for a size below 1 or an image size that 4 does not divide.
    """

    frames: int
    image_size: int = 32
    channels: int = 3
    stem: int = 16
    body: int = 32
    time: int = 64
    hidden: int = 256
    embedding: int = 128

    def __post_init__(self):
        where = type(self).__name__
        for name, value in vars(self).items():
            require(value >= 1, where, name, expected="at least 1", got=value)
        fits = self.image_size % 4 == 0
        require(fits, where, "image_size", expected="a multiple of 4", got=self.image_size)


class VideoEncoder(nnx.Module):
    """Videos [B, T, side, side, C] floating-point → [B, E].

    h = gelu(conv(x)), then gelu(conv(h)), both 3 × 3 with stride 2, frame by frame;
    h = gelu(all T frames of a place · W + b);  for each row the mean and the maximum over its
    columns, one row after the other;  out = W_E gelu(W LN(rows) + b), where gelu is the form with
    tanh, `formulas.gelu_tanh`.

    What is left of the picture's height tells where something is; the width is pooled away, after
    time was looked at. Raises ValueError for videos of another shape, TypeError for whole numbers.
    """

    def __init__(self, config: VideoEncoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        C, stem, body, time = config.channels, config.stem, config.body, config.time
        rows = config.image_size // 4 * 2 * time
        self.stem = Linear(9 * C, stem, rngs=rngs)
        self.body = Linear(9 * stem, body, rngs=rngs)
        self.time = Linear(config.frames * body, time, rngs=rngs)
        self.norm = LayerNorm(rows)
        self.hidden = Linear(rows, config.hidden, rngs=rngs)
        self.projection = Linear(config.hidden, config.embedding, use_bias=False, rngs=rngs)

    def __call__(self, videos: Array) -> Array:
        T, side, C = self.config.frames, self.config.image_size, self.config.channels
        where, shape = "VideoEncoder", (T, side, side, C)
        fits = videos.ndim == 5 and videos.shape[1:] == shape and len(videos) > 0
        expected = f"[B, {', '.join(map(str, shape))}] with at least one video"
        require(fits, where, "videos", expected=expected, got=videos)
        is_float = jnp.issubdtype(videos.dtype, jnp.floating)
        require_type(is_float, where, "videos", expected="a floating-point array", got=videos)
        B, small = len(videos), side // 4
        x = videos.reshape(B * T, side, side, C)
        for layer in (self.stem, self.body):
            kernel = layer.kernel[...].reshape(3, 3, x.shape[-1], -1)
            x = jax.nn.gelu(convolution(x, kernel, layer.bias[...], stride=2))
        x = jnp.moveaxis(x.reshape(B, T, small, small, -1), 1, 3)
        x = jax.nn.gelu(self.time(x.reshape(B, small, small, -1)))
        rows = jnp.concatenate([x.mean(axis=2), x.max(axis=2)], axis=-1).reshape(B, -1)
        return self.projection(jax.nn.gelu(self.hidden(self.norm(rows))))
