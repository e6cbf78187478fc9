"""SigLIP to the letter, so that its published weights give its published numbers.

Zhai et al. (2023), "Sigmoid loss for language image pre-training", and the released code. Against
CLIP: no class token but a query that attends to all patches, a text Transformer that is not causal
and is read at its last token, GELU by tanh, and a bias on the logits.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from mmjax.attention import LayerNorm, Linear, MultiHeadAttention, Transformer, TransformerConfig
from mmjax.checks import require
from mmjax.losses import normalize
from mmjax.modalities import patchify
from mmjax.models.public_clip import check_images, check_tokens
from mmjax.models.token_encoder import require_positive, small_normal


@dataclass(frozen=True)
class SigLIPConfig:
    """Sizes of a published SigLIP; both towers end in vectors of one width E.

    The image width is E itself; `embedding` is what the text is mapped to. Where `patch_size` does
    not divide `image_size` (14 and 384 in one of them), the last rows and columns are not read.
    """

    image_size: int
    patch_size: int
    image: TransformerConfig
    vocabulary: int
    length: int
    text: TransformerConfig
    embedding: int

    def __post_init__(self):
        require_positive(self, "image_size", "patch_size", "vocabulary", "length", "embedding")
        fits = self.embedding == self.image.width
        expected = f"the width of the images, {self.image.width}"
        require(fits, type(self).__name__, "embedding", expected=expected, got=self.embedding)


class AttentionPool(nnx.Module):
    """One learned query reads all patches: p = MultiHead(q, x); out = p + MLP(LN(p)), [B, M]."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.query = small_normal(rngs, 1, config.width)
        self.attention = MultiHeadAttention(config.width, config.heads, rngs=rngs)
        self.norm = LayerNorm(config.width, epsilon=config.epsilon)
        self.mlp = config.mlp(rngs=rngs)

    def __call__(self, x: Array) -> Array:
        query = jnp.broadcast_to(self.query[...][None], (len(x), 1, x.shape[2])).astype(x.dtype)
        p = self.attention(query, x)
        return (p + self.mlp(self.norm(p)))[:, 0]


class SigLIP(nnx.Module):
    """u = normalize(pool(Transformer(patches))), v = normalize(W last token of Transformer(text)).

    Images [B, side, side, 3], float, prepared as the weights expect; tokens int [B, T], padded to
    T = `length` with the token the weights expect, as padding is attended to.
    """

    def __init__(self, config: SigLIPConfig, *, rngs: nnx.Rngs):
        self.config = config
        side, width = config.image_size // config.patch_size, config.image.width
        self.patches = Linear(3 * config.patch_size**2, width, rngs=rngs)
        self.image_positions = small_normal(rngs, side * side, width)
        self.image_transformer = Transformer(config.image, rngs=rngs)
        self.pool = AttentionPool(config.image, rngs=rngs)
        self.table = small_normal(rngs, config.vocabulary, config.text.width)
        self.text_positions = small_normal(rngs, config.length, config.text.width)
        self.text_transformer = Transformer(config.text, rngs=rngs)
        self.text_projection = Linear(config.text.width, config.embedding, rngs=rngs)
        self.logit_scale = nnx.Param(jnp.asarray(np.log(10.0), jnp.float32))
        self.logit_bias = nnx.Param(jnp.asarray(-10.0, jnp.float32))

    def encode_image(self, images: Array) -> Array:
        """Unit vectors [B, E]. Raises ValueError for images of another size."""
        check_images(images, self.config.image_size)
        cut = self.config.image_size // self.config.patch_size * self.config.patch_size
        x = self.patches(patchify(images[:, :cut, :cut], self.config.patch_size))
        x = self.image_transformer(x + self.image_positions[...][None])
        return normalize(self.pool(x))

    def encode_text(self, tokens: Array) -> Array:
        """Unit vectors [B, E]. Raises TypeError or ValueError for tokens that do not fit."""
        check_tokens(tokens, self.config.vocabulary, self.config.length)
        whole, length = tokens.shape[1] == self.config.length, self.config.length
        require(whole, "encode_text", "tokens", expected=f"[B, {length}], padded", got=tokens)
        x = self.table[...][tokens] + self.text_positions[...][None, : tokens.shape[1]]
        return normalize(self.text_projection(self.text_transformer(x)[:, -1]))

    def __call__(self, images: Array, tokens: Array) -> Array:
        """logits_per_image [B images, B texts] = e^{logit_scale} u · v + logit_bias."""
        image, text = self.encode_image(images), self.encode_text(tokens)
        return jnp.exp(self.logit_scale[...]) * image @ text.T + self.logit_bias[...]
