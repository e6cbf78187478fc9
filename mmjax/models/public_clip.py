"""OpenAI's CLIP to the letter, so that its published weights give its published numbers.

Radford et al. (2021), section 2.4, and the released code. Against our own CLIP of `models.clip`: a
class token in place of a mean, a norm before the image blocks, a causal text Transformer that is
read at its end-of-text token, x σ(1.702 x) for GELU, no bias at the patches.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from mmjax.attention import LayerNorm, Linear, Transformer, TransformerConfig, causal_mask
from mmjax.checks import require, require_type
from mmjax.losses import normalize
from mmjax.modalities import patchify
from mmjax.models.token_encoder import require_positive, small_normal


@dataclass(frozen=True)
class PublicCLIPConfig:
    """Sizes of a published CLIP: images, patches, vocabulary V, text length T, width E.

    `end_token` is the id of end-of-text; `legacy_end` says that the end is the largest id of the
    text, as in OpenAI's own code, and not the first `end_token`.
    """

    image_size: int
    patch_size: int
    image: TransformerConfig
    vocabulary: int
    length: int
    text: TransformerConfig
    embedding: int
    end_token: int = 49407
    legacy_end: bool = True

    def __post_init__(self):
        require_positive(self, "image_size", "patch_size", "vocabulary", "length", "embedding")
        whole = self.image_size % self.patch_size == 0
        expected = f"a divisor of image_size = {self.image_size}"
        require(whole, type(self).__name__, "patch_size", expected=expected, got=self.patch_size)


class ImageTower(nnx.Module):
    """x_0 = LN([class; patches W] + positions) → Transformer → its class token, [B, M]."""

    def __init__(self, config: PublicCLIPConfig, *, rngs: nnx.Rngs):
        width, side = config.image.width, config.image_size // config.patch_size
        self.patch_size = config.patch_size
        self.class_token = small_normal(rngs, 1, width)
        self.patches = Linear(3 * config.patch_size**2, width, use_bias=False, rngs=rngs)
        self.positions = small_normal(rngs, side * side + 1, width)
        self.first_norm = LayerNorm(width, epsilon=config.image.epsilon)
        self.transformer = Transformer(config.image, rngs=rngs)

    def __call__(self, images: Array) -> Array:
        x = self.patches(patchify(images, self.patch_size))
        first = jnp.broadcast_to(self.class_token[...][None], (len(x), 1, x.shape[2]))
        x = jnp.concatenate([first.astype(x.dtype), x], axis=1) + self.positions[...][None]
        return self.transformer(self.first_norm(x))[:, 0]


class TextTower(nnx.Module):
    """x_0 = table[tokens] + positions → causal Transformer → its end-of-text token, [B, M]."""

    def __init__(self, config: PublicCLIPConfig, *, rngs: nnx.Rngs):
        width = config.text.width
        self.end_token, self.legacy_end = config.end_token, config.legacy_end
        self.table = small_normal(rngs, config.vocabulary, width)
        self.positions = small_normal(rngs, config.length, width)
        self.transformer = Transformer(config.text, rngs=rngs)

    def __call__(self, tokens: Array) -> Array:
        x = self.table[...][tokens] + self.positions[...][None, : tokens.shape[1]]
        x = self.transformer(x, mask=causal_mask(tokens.shape[1]))
        end = tokens if self.legacy_end else (tokens == self.end_token).astype(jnp.int32)
        return jnp.take_along_axis(x, end.argmax(axis=1)[:, None, None], axis=1)[:, 0]


class PublicCLIP(nnx.Module):
    """u = normalize(ImageTower(image) W_I), v = normalize(TextTower(text) W_T), and `logit_scale`.

    Images [B, side, side, 3], float, prepared as the weights expect; tokens int [B, T].
    """

    def __init__(self, config: PublicCLIPConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.image = ImageTower(config, rngs=rngs)
        self.text = TextTower(config, rngs=rngs)
        width, out = (config.image.width, config.text.width), config.embedding
        self.image_projection = Linear(width[0], out, use_bias=False, rngs=rngs)
        self.text_projection = Linear(width[1], out, use_bias=False, rngs=rngs)
        self.logit_scale = nnx.Param(jnp.asarray(np.log(1 / 0.07), jnp.float32))

    def encode_image(self, images: Array) -> Array:
        """Unit vectors [B, E]. Raises ValueError for images of another size."""
        check_images(images, self.config.image_size)
        return normalize(self.image_projection(self.image(images)))

    def encode_text(self, tokens: Array) -> Array:
        """Unit vectors [B, E]. Raises TypeError or ValueError for tokens that do not fit."""
        check_tokens(tokens, self.config.vocabulary, self.config.length)
        return normalize(self.text_projection(self.text(tokens)))

    def __call__(self, images: Array, tokens: Array) -> Array:
        """logits_per_image [B images, B texts] = e^{logit_scale} u · v."""
        image, text = self.encode_image(images), self.encode_text(tokens)
        return jnp.exp(self.logit_scale[...]) * image @ text.T


def check_images(images: Array, side: int) -> None:
    """Raises ValueError unless images are [B, side, side, 3], TypeError unless they are float."""
    is_float = jnp.issubdtype(images.dtype, jnp.floating)
    expected = f"floating-point [B, {side}, {side}, 3]"
    require_type(is_float, "encode_image", "images", expected=expected, got=images)
    ok = images.ndim == 4 and images.shape[1:] == (side, side, 3) and len(images) > 0
    require(ok, "encode_image", "images", expected=expected, got=images)


def check_tokens(tokens: Array, vocabulary: int, length: int) -> None:
    """Raises unless tokens are whole numbers [B, T] of the vocabulary, with T up to `length`."""
    whole = jnp.issubdtype(tokens.dtype, jnp.integer)
    expected = f"whole numbers [B, T] with T from 1 to {length}"
    require_type(whole, "encode_text", "tokens", expected=expected, got=tokens)
    ok = tokens.ndim == 2 and len(tokens) > 0 and 1 <= tokens.shape[1] <= length
    require(ok, "encode_text", "tokens", expected=expected, got=tokens)
    if not isinstance(tokens, jax.core.Tracer):
        first, last = int(tokens.min()), int(tokens.max())
        expected, ok = f"ids from 0 to {vocabulary - 1}", 0 <= first and last < vocabulary
        require(ok, "encode_text", "tokens", expected=expected, got=f"{first} to {last}")
