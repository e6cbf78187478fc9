"""Image tokens from a few small convolutions, in place of one linear map of each patch.

Source: Xiao et al. (2021), "Early convolutions help transformers see better".
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import Linear
from mmjax.attention.layers import LayerNorm, gelu
from mmjax.checks import require, require_type
from mmjax.models.convolution import convolution


class ConvolutionStem(nnx.Module):
    """Pictures [B, H, W, C] with values in [0, 1] → tokens [B, S, F], row by row.

    x ← GELU(LN(K_i ∗ x + b_i))  for i = 1 … n, with K_i [3, 3, C_{i−1}, C_i] and stride 2

    C_0 is `inputs` C, C_1 … C_n are `channels`, F = C_n. Each convolution halves height and width,
    rounded up. A token has seen a window of 2ⁿ⁺¹ − 1 pixels each way, and neighbours are 2ⁿ
    pixels apart: the windows overlap, as patches do not. The same weights read all places.

    Kernels are kept as the matrices [9 C_{i−1}, C_i] that `convolution` multiplies by, so that an
    optimizer for matrices finds them. Raises ValueError for no channels or sizes below 1, and for
    pictures that do not fit; TypeError for pictures of whole numbers.
    Source: Xiao et al. (2021), section 4, with a layer norm in place of their batch norm.
    """

    def __init__(self, inputs: int, channels: Sequence[int], *, rngs: nnx.Rngs):
        where = "ConvolutionStem"
        require(inputs >= 1, where, "inputs", expected="at least 1", got=inputs)
        ok = len(channels) >= 1 and min(channels) >= 1
        require(ok, where, "channels", expected="numbers of at least 1", got=tuple(channels))
        self.inputs, before = inputs, (inputs, *channels[:-1])
        pairs = zip(before, channels, strict=True)
        self.maps = nnx.List(Linear(9 * C, F, rngs=rngs) for C, F in pairs)
        self.norms = nnx.List(LayerNorm(F) for F in channels)

    def __call__(self, images: Array) -> Array:
        where = "ConvolutionStem"
        expected = f"[B, H, W, {self.inputs}] with nothing empty"
        fits = images.ndim == 4 and images.shape[3] == self.inputs and 0 not in images.shape
        require(fits, where, "images", expected=expected, got=images)
        is_float = jnp.issubdtype(images.dtype, jnp.floating)
        expected = "a floating-point array with values in [0, 1]"
        require_type(is_float, where, "images", expected=expected, got=images)
        x = images
        for layer, norm in zip(self.maps, self.norms, strict=True):
            kernel = layer.kernel[...].reshape(3, 3, x.shape[3], -1)
            x = gelu(norm(convolution(x, kernel, layer.bias[...], stride=2)))
        return x.reshape(len(x), -1, x.shape[3])
