"""Encoders: pictures and texts become one vector each, by the same Transformer.

Sources: Dosovitskiy et al. (2021), the Vision Transformer; Radford et al. (2021), section 2.4.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from mmjax.attention import Linear, Transformer, TransformerConfig, padding_mask
from mmjax.checks import require, require_type
from mmjax.modalities.image import patchify

SMALL = TransformerConfig(layers=3, width=128, heads=4)


@dataclass(frozen=True)
class ImageEncoderConfig:
    """Square images of `image_size` pixels in `channels` C, cut into patches of side P."""

    image_size: int = 32
    channels: int = 1
    patch_size: int = 8
    transformer: TransformerConfig = field(default=SMALL)

    def __post_init__(self):
        _require_positive(self, "image_size", "channels", "patch_size")
        fits = self.image_size % self.patch_size == 0
        expected = f"a divisor of image_size {self.image_size}"
        where = type(self).__name__
        require(fits, where, "patch_size", expected=expected, got=self.patch_size)


@dataclass(frozen=True)
class TextEncoderConfig:
    """Texts of at most `length` T tokens out of `vocabulary` V."""

    vocabulary: int
    length: int
    transformer: TransformerConfig = field(default=SMALL)

    def __post_init__(self):
        _require_positive(self, "vocabulary", "length")


def _require_positive(config, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        require(value >= 1, type(config).__name__, name, expected="at least 1", got=value)


def _small_normal(rngs: nnx.Rngs, *shape: int) -> Array:
    """Numbers to start from, normal with standard deviation 0.02, float32 also under x64."""
    return 0.02 * jax.random.normal(rngs.params(), shape, jnp.float32)


def _check_real(real: Array, shape: tuple[int, ...], where: str) -> None:
    """A mask of tokens has the shape [B, T] of the tokens."""
    expected = f"bool {list(shape)}"
    require_type(real.dtype == jnp.bool_, where, "real", expected=expected, got=real)
    require(real.shape == shape, where, "real", expected=expected, got=real)


def masked_mean(x: Array, real: Array) -> Array:
    """Mean of the real tokens: x [B, T, M], real bool [B, T] → [B, M]; padding does not count.

    A row without a real token gives zeros.
    """
    _check_real(real, x.shape[:2], "masked_mean")
    weight = real.astype(x.dtype)[:, :, None]
    return (x * weight).sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1)


class ImageEncoder(nnx.Module):
    """Images [B, side, side, C] with values in [0, 1] → one vector an image, [B, M].

    x_0 = patches W + b + positions;  x = Transformer(x_0);  out = mean of x over the patches.
    Raises ValueError for images of another size, TypeError for whole numbers (0 to 255).
    Source: Dosovitskiy et al. (2021), equations 1 to 4, with the mean in place of a class token.
    """

    def __init__(self, config: ImageEncoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.transformer.width
        patches = (config.image_size // config.patch_size) ** 2
        self.patch = Linear(config.patch_size**2 * config.channels, width, rngs=rngs)
        self.positions = nnx.Param(_small_normal(rngs, patches, width))
        self.transformer = Transformer(config.transformer, rngs=rngs)

    def __call__(self, images: Array, *, dropout_key: Array | None = None) -> Array:
        return self.tokens(images, dropout_key=dropout_key).mean(axis=1)

    def tokens(self, images: Array, *, dropout_key: Array | None = None) -> Array:
        """The tokens [B, T, M] before they are averaged, one for each patch."""
        size, channels = self.config.image_size, self.config.channels
        fits = images.ndim == 4 and images.shape[1:] == (size, size, channels) and len(images) > 0
        expected = f"[B, {size}, {size}, {channels}] with at least one image"
        require(fits, "ImageEncoder", "images", expected=expected, got=images)
        is_float = jnp.issubdtype(images.dtype, jnp.floating)
        expected = "a floating-point array with values in [0, 1]"
        require_type(is_float, "ImageEncoder", "images", expected=expected, got=images)
        x = self.patch(patchify(images, self.config.patch_size)) + self.positions[...][None]
        return self.transformer(x, dropout_key=dropout_key)


class TextEncoder(nnx.Module):
    """Tokens int [B, T] and a mask bool [B, T] (True = real) → one vector a text, [B, M].

    x_0 = embedding[token] + positions;  x = Transformer(x_0), no attention to padding;
    out = mean of x over the real tokens. T may be at most the configured length.
    Raises ValueError or TypeError for tokens and masks that do not fit, and for a token outside the
    vocabulary where the tokens are known (inside `jit` they are not).
    Source: Radford et al. (2021), section 2.4; theirs is causal and reads the end token instead.
    """

    def __init__(self, config: TextEncoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.transformer.width
        self.embedding = nnx.Param(_small_normal(rngs, config.vocabulary, width))
        self.positions = nnx.Param(_small_normal(rngs, config.length, width))
        self.transformer = Transformer(config.transformer, rngs=rngs)

    def __call__(self, tokens: Array, real: Array, *, dropout_key: Array | None = None) -> Array:
        return masked_mean(self.tokens(tokens, real, dropout_key=dropout_key), real)

    def tokens(self, tokens: Array, real: Array, *, dropout_key: Array | None = None) -> Array:
        """The tokens [B, T, M] before they are averaged."""
        where, length = "TextEncoder", self.config.length
        is_whole = jnp.issubdtype(tokens.dtype, jnp.integer)
        require_type(is_whole, where, "tokens", expected="whole numbers [B, T]", got=tokens)
        fits = tokens.ndim == 2 and 1 <= tokens.shape[1] <= length and len(tokens) > 0
        expected = f"[B, T] with at least one text and 1 to {length} tokens"
        require(fits, where, "tokens", expected=expected, got=tokens)
        _check_real(real, tokens.shape, where)
        if not isinstance(tokens, jax.core.Tracer):
            known = np.asarray(tokens)
            first, last = known.min(), known.max()
            expected = f"at least 0 and below the vocabulary {self.config.vocabulary}"
            inside = 0 <= first and last < self.config.vocabulary
            require(inside, where, "tokens", expected=expected, got=f"{first} to {last}")
        x = self.embedding[...][tokens] + self.positions[...][None, : tokens.shape[1]]
        return self.transformer(x, mask=padding_mask(real), dropout_key=dropout_key)
