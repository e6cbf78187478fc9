"""A convolutional picture encoder in the manner of EfficientNet: a stem and MBConv blocks.

Sources: Sandler et al. (2018), "MobileNetV2" (inverted residuals); Tan & Le (2019), "EfficientNet",
table 1. Where EfficientNet has a batch norm behind each convolution, a block here has one layer
norm in front, over the channels of each position: the output for a picture then depends on no other
picture of the batch, and there are no running averages.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import Linear
from mmjax.attention.layers import LayerNorm
from mmjax.checks import require, require_type
from mmjax.models.convolution import convolution, depthwise_convolution, squeeze_excitation


@dataclass(frozen=True)
class Stage:
    """`blocks` MBConv blocks with F `channels`; the first of them has the stride.

    `expansion` is the hidden width of a block as a multiple of its input width, `kernel` the side
    of the depthwise filters. Raises ValueError for a size below 1 or an even kernel.
    """

    channels: int
    blocks: int = 1
    stride: int = 1
    expansion: int = 4
    kernel: int = 3

    def __post_init__(self):
        for name in ("channels", "blocks", "stride", "expansion", "kernel"):
            value = getattr(self, name)
            require(value >= 1, "Stage", name, expected="at least 1", got=value)
        require(self.kernel % 2 == 1, "Stage", "kernel", expected="odd", got=self.kernel)


@dataclass(frozen=True)
class ConvolutionalEncoderConfig:
    """Square pictures of `image_size` pixels; a stem with stride 2, then the stages in order."""

    image_size: int = 32
    channels: int = 1
    stem: int = 16
    stages: tuple[Stage, ...] = (Stage(32, 2, stride=2), Stage(64, 2, stride=2))

    def __post_init__(self):
        where = type(self).__name__
        for name in ("image_size", "channels", "stem"):
            value = getattr(self, name)
            require(value >= 1, where, name, expected="at least 1", got=value)
        ok = len(self.stages) > 0
        require(ok, where, "stages", expected="at least one Stage", got=str(self.stages))

    @property
    def width(self) -> int:
        """The length M of the vector that comes out."""
        return self.stages[-1].channels


class MBConv(nnx.Module):
    """An inverted residual block: narrow in, wide inside, narrow out.

    h = silu(LN(x) W_1 + b_1);  h = silu(depthwise(h) + b);  h = squeeze_excitation(h);
    y = h W_2 + b_2, and x + y where the shapes allow it.

    [B, H, W, C] → [B, ⌈H/s⌉, ⌈W/s⌉, F]. The hidden width is expansion · C, the squeezed one C / 4,
    at least 1. Sources: Sandler et al. (2018), figure 3; Tan & Le (2019), section 4.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int, *, rngs: nnx.Rngs
    ):
        hidden, squeezed = expansion * inputs, max(1, inputs // 4)
        self.stride, self.residual = stride, stride == 1 and inputs == outputs
        self.norm = LayerNorm(inputs)
        self.expand = Linear(inputs, hidden, rngs=rngs)
        self.filters = nnx.Param(_he_normal(rngs, (kernel, kernel, hidden), kernel**2))
        self.filter_bias = nnx.Param(jnp.zeros(hidden, jnp.float32))
        self.squeeze = Linear(hidden, squeezed, rngs=rngs)
        self.excite = Linear(squeezed, hidden, rngs=rngs)
        self.contract = Linear(hidden, outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        h = jax.nn.silu(self.expand(self.norm(x)))
        h = depthwise_convolution(h, self.filters[...], stride=self.stride)
        h = jax.nn.silu(h + self.filter_bias[...][None, None, None])
        h = squeeze_excitation(h, _weights(self.squeeze), _weights(self.excite))
        y = self.contract(h)
        return x + y if self.residual else y


class ConvolutionalEncoder(nnx.Module):
    """Images [B, side, side, C] with values in [0, 1] → one vector an image, [B, M].

    A 3 × 3 convolution with stride 2, the stages of MBConv blocks, a layer norm, and the mean over
    all positions. Raises ValueError for images of another size, TypeError for whole numbers.
    Source: Tan & Le (2019), table 1; Jia et al. (2021), section 4.1 (the mean, without a head).
    """

    def __init__(self, config: ConvolutionalEncoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        C, stem = config.channels, config.stem
        self.stem = nnx.Param(_he_normal(rngs, (3, 3, C, stem), 9 * C))
        self.stem_bias = nnx.Param(jnp.zeros(config.stem, jnp.float32))
        blocks, inputs = [], config.stem
        for stage in config.stages:
            for number in range(stage.blocks):
                stride, sizes = stage.stride if number == 0 else 1, (stage.expansion, stage.kernel)
                blocks.append(MBConv(inputs, stage.channels, stride, *sizes, rngs=rngs))
                inputs = stage.channels
        self.blocks = nnx.List(blocks)
        self.norm = LayerNorm(inputs)

    def __call__(self, images: Array, *, dropout_key: Array | None = None) -> Array:
        """`dropout_key` is there for the interface of the encoders; this one has no dropout."""
        return self.features(images).mean(axis=(1, 2))

    def features(self, images: Array) -> Array:
        """The map [B, H', W', M] before it is averaged."""
        where, size = "ConvolutionalEncoder", self.config.image_size
        shape = (size, size, self.config.channels)
        fits = images.ndim == 4 and images.shape[1:] == shape and len(images) > 0
        expected = f"[B, {', '.join(map(str, shape))}] with at least one image"
        require(fits, where, "images", expected=expected, got=images)
        is_float = jnp.issubdtype(images.dtype, jnp.floating)
        expected = "a floating-point array with values in [0, 1]"
        require_type(is_float, where, "images", expected=expected, got=images)
        x = convolution(images, self.stem[...], self.stem_bias[...], stride=2)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def _he_normal(rngs: nnx.Rngs, shape: tuple[int, ...], inputs: int) -> Array:
    """Normal with variance 2 / inputs, float32 also under x64."""
    return math.sqrt(2 / inputs) * jax.random.normal(rngs.params(), shape, jnp.float32)


def _weights(layer: Linear) -> tuple[Array, Array]:
    return layer.kernel[...], layer.bias[...]
