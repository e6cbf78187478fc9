"""A small encoder for tokens of any modality: sound, video, pictures, or words.

x_0 = tokens W + b + positions  →  Transformer  →  mean of the real tokens  →  projection

Source: Dosovitskiy et al. (2021), equations 1 to 4, with a masked mean in place of a class token.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from mmjax.attention import Linear, Transformer, TransformerConfig, padding_mask
from mmjax.checks import require, require_type
from mmjax.models.encoders import masked_mean


@dataclass(frozen=True)
class TokenEncoderConfig:
    """At most `length` T tokens of `features` numbers each, encoded as `embedding` E numbers."""

    features: int
    length: int
    transformer: TransformerConfig
    embedding: int

    def __post_init__(self):
        require_positive(self, "features", "length", "embedding")


@dataclass(frozen=True)
class TextTokenEncoderConfig:
    """At most `length` T tokens out of `vocabulary` V, encoded as `embedding` E numbers."""

    vocabulary: int
    length: int
    transformer: TransformerConfig
    embedding: int

    def __post_init__(self):
        require_positive(self, "vocabulary", "length", "embedding")


def require_positive(config, *names: str) -> None:
    """Raises ValueError unless these fields of a configuration are at least 1."""
    for name in names:
        value = getattr(config, name)
        require(value >= 1, type(config).__name__, name, expected="at least 1", got=value)


def small_normal(rngs: nnx.Rngs, length: int, width: int) -> nnx.Param:
    """A table [length, width] to start from: normal with standard deviation 0.02."""
    return nnx.Param(0.02 * jax.random.normal(rngs.params(), (length, width), jnp.float32))


def check_mask(mask: Array | None, tokens: Array, where: str) -> Array:
    """The mask bool [B, T] of tokens [B, T, …]; None means that every token is real."""
    shape = tokens.shape[:2]
    if mask is None:
        return jnp.ones(shape, bool)
    expected = f"bool {list(shape)} (True = a real token)"
    require_type(mask.dtype == jnp.bool_, where, "mask", expected=expected, got=mask)
    require(mask.shape == shape, where, "mask", expected=expected, got=mask)
    return mask


class TokenInput(nnx.Module):
    """Tokens [B, T, features] → x_0 = tokens W + b + positions, [B, T, M].

    What stands behind a False of the mask is not looked at; it may be anything, NaN included.
    Raises ValueError or TypeError for tokens and masks that do not fit.
    """

    def __init__(self, features: int, length: int, width: int, *, rngs: nnx.Rngs):
        self.features, self.length = features, length
        self.linear = Linear(features, width, rngs=rngs)
        self.positions = small_normal(rngs, length, width)

    def __call__(self, tokens: Array, mask: Array | None) -> tuple[Array, Array]:
        """Returns x_0 and the mask bool [B, T], which is given or all True."""
        where = "TokenInput"
        is_float = jnp.issubdtype(tokens.dtype, jnp.floating)
        expected = "a floating-point array [B, T, features]"
        require_type(is_float, where, "tokens", expected=expected, got=tokens)
        fits = tokens.ndim == 3 and tokens.shape[2] == self.features and len(tokens) > 0
        fits = fits and 1 <= tokens.shape[1] <= self.length
        expected = f"[B, T, {self.features}] with B at least 1 and T from 1 to {self.length}"
        require(fits, where, "tokens", expected=expected, got=tokens)
        mask = check_mask(mask, tokens, where)
        tokens = jnp.where(mask[:, :, None], tokens, jnp.zeros_like(tokens))
        return self.linear(tokens) + self.positions[...][None, : tokens.shape[1]], mask


class TextInput(nnx.Module):
    """Tokens int [B, T] → x_0 = embedding[token] + positions, [B, T, M].

    Raises ValueError or TypeError for tokens and masks that do not fit, and for a token outside the
    vocabulary where the tokens are known (inside `jit` they are not).
    """

    def __init__(self, vocabulary: int, length: int, width: int, *, rngs: nnx.Rngs):
        self.vocabulary, self.length = vocabulary, length
        self.embedding = small_normal(rngs, vocabulary, width)
        self.positions = small_normal(rngs, length, width)

    def __call__(self, tokens: Array, mask: Array | None) -> tuple[Array, Array]:
        """Returns x_0 and the mask bool [B, T], which is given or all True."""
        where = "TextInput"
        is_whole = jnp.issubdtype(tokens.dtype, jnp.integer)
        require_type(is_whole, where, "tokens", expected="whole numbers [B, T]", got=tokens)
        fits = tokens.ndim == 2 and len(tokens) > 0 and 1 <= tokens.shape[1] <= self.length
        expected = f"[B, T] with B at least 1 and T from 1 to {self.length}"
        require(fits, where, "tokens", expected=expected, got=tokens)
        mask = check_mask(mask, tokens, where)
        if not isinstance(tokens, jax.core.Tracer):
            first, last = np.asarray(tokens).min(), np.asarray(tokens).max()
            expected = f"at least 0 and below the vocabulary {self.vocabulary}"
            inside = 0 <= first and last < self.vocabulary
            require(inside, where, "tokens", expected=expected, got=f"{first} to {last}")
        return self.embedding[...][tokens] + self.positions[...][None, : tokens.shape[1]], mask


class TokenEncoder(nnx.Module):
    """Tokens [B, T, features] and a mask bool [B, T] (True = real; None = all) → [B, E].

    x_0 = tokens W + b + positions;  x = Transformer(x_0), no attention to tokens that are not real;
    out = (mean of x over the real tokens) W_E.

    A row without a real token gives zeros and sends back no gradient. T may be at most the
    configured length.
    """

    def __init__(self, config: TokenEncoderConfig, *, rngs: nnx.Rngs):
        width = config.transformer.width
        self.config = config
        self.input = self._make_input(config, width, rngs)
        self.transformer = Transformer(config.transformer, rngs=rngs)
        self.projection = Linear(width, config.embedding, use_bias=False, rngs=rngs)

    @staticmethod
    def _make_input(config: TokenEncoderConfig, width: int, rngs: nnx.Rngs) -> TokenInput:
        return TokenInput(config.features, config.length, width, rngs=rngs)

    def __call__(
        self, tokens: Array, mask: Array | None = None, *, dropout_key: Array | None = None
    ) -> Array:
        x = self.tokens(tokens, mask, dropout_key=dropout_key)
        return self.projection(masked_mean(x, check_mask(mask, tokens, "TokenEncoder")))

    def tokens(
        self, tokens: Array, mask: Array | None = None, *, dropout_key: Array | None = None
    ) -> Array:
        """The tokens [B, T, M] before they are averaged."""
        x, mask = self.input(tokens, mask)
        return self.transformer(x, mask=padding_mask(mask), dropout_key=dropout_key)


class TextTokenEncoder(TokenEncoder):
    """The same for text: tokens int [B, T] and a mask bool [B, T] → [B, E], by a table of words."""

    @staticmethod
    def _make_input(config: TextTokenEncoderConfig, width: int, rngs: nnx.Rngs) -> TextInput:
        return TextInput(config.vocabulary, config.length, width, rngs=rngs)
