"""A picture told in words: an encoder reads the picture, a causal decoder writes and looks back.

Sources: Vaswani et al. (2017), figure 1, encoder and decoder; Xu et al. (2015), a caption whose
words look at parts of the picture; Press & Wolf (2017), the tied output head.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import (
    CrossAttentionBlock,
    KeyValueCache,
    Transformer,
    TransformerConfig,
    causal_mask,
    linear,
    padding_mask,
)
from mmjax.checks import require
from mmjax.models.representation import split_key
from mmjax.models.token_encoder import TextInput, TokenInput, require_positive


@dataclass(frozen=True)
class CaptionerConfig:
    """At most `image_length` S image tokens of `features` numbers, told in `length` T tokens.

    The words are out of a `vocabulary` V. Raises ValueError unless the widths M of `encoder` and
    `decoder` are equal.
    """

    features: int
    image_length: int
    vocabulary: int
    length: int
    encoder: TransformerConfig
    decoder: TransformerConfig

    def __post_init__(self):
        require_positive(self, "features", "image_length", "vocabulary", "length")
        same, expected = self.encoder.width == self.decoder.width, "the width of the encoder"
        got = self.decoder.width
        require(same, type(self).__name__, "decoder", expected=expected, got=got)


class CaptionState(NamedTuple):
    """What decoding carries from token to token. Every array begins with the batch, but lengths.

    caches: keys and values of the tokens so far, one a layer. contexts: those of the picture, one
    a layer, empty in the prefix form. image_mask bool [B, S]: the image tokens that are real.
    """

    caches: tuple[KeyValueCache, ...]
    contexts: tuple[KeyValueCache, ...]
    image_mask: Array


def tied_logits(x: Array, embedding: Array) -> Array:
    """z = x Eᵀ: the output head is the table of words itself. [..., M], E [V, M] → [..., V]."""
    return linear(x, embedding.T)


class Captioner(nnx.Module):
    """Image tokens [B, S, features] and the words so far [B, T] → logits [B, T, V] of the next.

    c = Transformer(tokens W + b + positions)                            the encoder
    x_0 = E[words] + positions,  x ← CrossAttentionBlock(x, c) L times   the decoder, causal
    z = LN(x) Eᵀ                                                         the tied output head

    Position t of the output tells what comes after word t, and reads words 0 … t only. Where no
    image token is real (`image_mask` False throughout) nothing is read from the picture, and the
    model is one of language alone. With a `stem`, such as `ConvolutionStem`, the images are
    pictures, and the stem makes the tokens [B, S, features] of them.
    """

    def __init__(self, config: CaptionerConfig, *, stem: nnx.Module | None = None, rngs: nnx.Rngs):
        self.config, self.stem, width = config, stem, config.decoder.width
        self.image = TokenInput(config.features, config.image_length, width, rngs=rngs)
        self.encoder = Transformer(config.encoder, rngs=rngs)
        self.text = TextInput(config.vocabulary, config.length, width, rngs=rngs)
        self.blocks = nnx.List(
            CrossAttentionBlock(config.decoder, rngs=rngs) for _ in range(config.decoder.layers)
        )
        self.norm = config.decoder.norm()

    def __call__(
        self,
        images: Array,
        tokens: Array,
        *,
        image_mask: Array | None = None,
        dropout_key: Array | None = None,
    ) -> Array:
        """image_mask: bool [B, S], True = a real image token; all where not given.

        Padding behind a text needs no mask: no real word reads what comes after it.
        """
        keys = split_key(dropout_key, 1 + len(self.blocks))
        context, image_mask = self.encode(images, image_mask, dropout_key=keys[0])
        x, _ = self.text(tokens, None)
        mask, context_mask = causal_mask(x.shape[1]), padding_mask(image_mask)
        for block, key in zip(self.blocks, keys[1:], strict=True):
            x = block(x, context, mask=mask, context_mask=context_mask, dropout_key=key)
        return tied_logits(self.norm(x), self.text.embedding[...])

    def encode(
        self, images: Array, image_mask: Array | None = None, *, dropout_key: Array | None = None
    ) -> tuple[Array, Array]:
        """The picture as the decoder sees it: [B, S, M], and its mask bool [B, S]."""
        if self.stem is not None:
            images = self.stem(images)
        x, image_mask = self.image(images, image_mask)
        mask = padding_mask(image_mask)
        return self.encoder(x, mask=mask, dropout_key=dropout_key), image_mask

    def start(self, images: Array, length: int, *, image_mask: Array | None = None) -> CaptionState:
        """Reads the picture once; room for `length` words, the start among them.

        Raises ValueError for a length below 1, or above `config.length`: there are no positions.
        """
        require_room(self, length)
        context, image_mask = self.encode(images, image_mask)
        caches = tuple(b.block.attention.init_cache(len(images), length) for b in self.blocks)
        contexts = tuple(b.context_attention.project_context(context) for b in self.blocks)
        return CaptionState(caches, contexts, image_mask)

    def step(self, token: Array, state: CaptionState) -> tuple[Array, CaptionState]:
        """One word int [B] more → logits [B, V] of the next word, and the state behind it."""
        x = next_input(self.text, token, state.caches[0].length)
        mask, caches = padding_mask(state.image_mask), []
        for block, cache, context in zip(self.blocks, *state[:2], strict=True):
            x, cache = block.decode(x, cache, context, context_mask=mask)
            caches.append(cache)
        logits = tied_logits(self.norm(x)[:, 0], self.text.embedding[...])
        return logits, state._replace(caches=tuple(caches))

    def looks(self, images: Array, tokens: Array, *, image_mask: Array | None = None) -> Array:
        """Where the decoder looked as it read word t and chose word t + 1: [L, B, H, T, S].

        The weights of the attention to the picture in each layer and head, without dropout. Each
        row sums to 1, or is 0 where no image token is real (`image_mask` False throughout).
        """
        context, image_mask = self.encode(images, image_mask)
        x, _ = self.text(tokens, None)
        mask, context_mask = causal_mask(x.shape[1]), padding_mask(image_mask)
        found = []
        for block in self.blocks:
            x, _, weights = block.with_weights(x, context, mask=mask, context_mask=context_mask)
            found.append(weights)
        return jnp.stack(found)


def require_room(model: nnx.Module, length: int) -> None:
    """Raises ValueError unless the model has a position for each of `length` words."""
    top, where = model.config.length, f"{type(model).__name__}.start"
    require(1 <= length <= top, where, "length", expected=f"from 1 to {top}", got=length)


def next_input(text: TextInput, token: Array, position: Array) -> Array:
    """E[token] + the position's vector: int [B], a whole number → [B, 1, M]."""
    place = jax.lax.dynamic_slice_in_dim(text.positions[...], position, 1)
    return text.embedding[...][token][:, None] + place[None]
