"""The prefix form: image tokens stand in front of the words, and one decoder reads both.

Sources: Wang et al. (2022), SimVLM, section 3.2, the prefix language model; Wang et al. (2022),
GIT. In both, the image tokens see each other fully and no word, and words see all before them.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import (
    TransformerBlock,
    TransformerConfig,
    combine_masks,
    padding_mask,
    prefix_mask,
)
from mmjax.models.captioner import CaptionState, next_input, require_room, tied_logits
from mmjax.models.representation import split_key
from mmjax.models.token_encoder import TextInput, TokenInput, require_positive


@dataclass(frozen=True)
class PrefixCaptionerConfig:
    """At most `image_length` S image tokens of `features` numbers, told in `length` T tokens."""

    features: int
    image_length: int
    vocabulary: int
    length: int
    transformer: TransformerConfig

    def __post_init__(self):
        require_positive(self, "features", "image_length", "vocabulary", "length")


class PrefixCaptioner(nnx.Module):
    """Image tokens [B, S, features] and the words so far [B, T] → logits [B, T, V] of the next.

    x_0 = [tokens W + b + positions ; E[words] + positions],  x ← TransformerBlock(x) L times,
    z = LN(x of the words) Eᵀ

    One sequence of S + T tokens under `prefix_mask`. The interface is that of `Captioner`.
    """

    def __init__(self, config: PrefixCaptionerConfig, *, rngs: nnx.Rngs):
        self.config, sizes = config, config.transformer
        self.image = TokenInput(config.features, config.image_length, sizes.width, rngs=rngs)
        self.text = TextInput(config.vocabulary, config.length, sizes.width, rngs=rngs)
        self.blocks = nnx.List(TransformerBlock(sizes, rngs=rngs) for _ in range(sizes.layers))
        self.norm = sizes.norm()

    def __call__(
        self,
        images: Array,
        tokens: Array,
        *,
        image_mask: Array | None = None,
        dropout_key: Array | None = None,
    ) -> Array:
        """image_mask: bool [B, S], True = a real image token; all where not given."""
        x, mask, prefix = self._sequence(images, tokens, image_mask)
        keys = split_key(dropout_key, len(self.blocks))
        for block, key in zip(self.blocks, keys, strict=True):
            x = block(x, mask=mask, dropout_key=key)
        return tied_logits(self.norm(x[:, prefix:]), self.text.embedding[...])

    def _sequence(self, images, tokens, image_mask):
        """x_0 [B, S + T, M], its mask [B, 1, S + T, S + T], and S."""
        x, image_mask = self.image(images, image_mask)
        words, _ = self.text(tokens, None)
        real = jnp.concatenate([image_mask, jnp.ones(tokens.shape, bool)], axis=1)
        prefix, both = x.shape[1], jnp.concatenate([x, words], axis=1)
        mask = combine_masks(prefix_mask(prefix, both.shape[1]), padding_mask(real))
        return both, mask, prefix

    def start(self, images: Array, length: int, *, image_mask: Array | None = None) -> CaptionState:
        """Reads the picture once; room for `length` words behind it, the start among them.

        Raises ValueError for a length below 1, or above `config.length`: there are no positions.
        """
        require_room(self, length)
        x, image_mask = self.image(images, image_mask)
        mask, caches = padding_mask(image_mask), []
        for block in self.blocks:
            x, cache = block.prefill(x, x.shape[1] + length, mask=mask)
            caches.append(cache)
        return CaptionState(tuple(caches), (), image_mask)

    def step(self, token: Array, state: CaptionState) -> tuple[Array, CaptionState]:
        """One word int [B] more → logits [B, V] of the next word, and the state behind it."""
        prefix, room = state.image_mask.shape[1], state.caches[0].key.shape[2]
        x = next_input(self.text, token, state.caches[0].length - prefix)
        words = jnp.ones((len(token), room - prefix), bool)
        mask = padding_mask(jnp.concatenate([state.image_mask, words], axis=1))
        caches = []
        for block, cache in zip(self.blocks, state.caches, strict=True):
            x, cache = block.decode(x, cache, mask=mask)
            caches.append(cache)
        logits = tied_logits(self.norm(x)[:, 0], self.text.embedding[...])
        return logits, state._replace(caches=tuple(caches))
