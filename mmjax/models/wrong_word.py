"""Which word of the name is wrong? Picture and name in one sequence, through one block.

The smallest model in which attention has to cross from one modality to the other (sections 3.1 and
3.2): every word asks the patches, and one number per word says how wrong it seems.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import (
    LayerNorm,
    Linear,
    TransformerBlock,
    TransformerConfig,
    combine_masks,
    padding_mask,
)
from mmjax.checks import require, require_type
from mmjax.modalities.text import PAD, UNKNOWN

_NO_WORD = -1e9  # the logit of start, end and padding


@dataclass(frozen=True)
class WrongWordConfig:
    """`patches` of `patch_width` pixels, names of `length` tokens out of `vocabulary`."""

    patches: int
    patch_width: int
    length: int
    vocabulary: int
    width: int = 64
    heads: int = 1
    key_value_heads: int | None = None


class WrongWord(nnx.Module):
    """Patches [B, T_I, P·P], words [B, T_T] → a logit [B, T_T] for each word to be the wrong one.

    x = [patches W + b ; E[words]] + e_kind + positions,  x ← block(x),  logit_t = LN(x_t) w + b

    One sequence of length T_I + T_T, the patches first. Padding is masked; start, end and padding
    get the logit −10⁹. With across=False a token may attend to its own modality only.
    Raises TypeError for patches that are no floating-point numbers, ValueError for other sizes.
    """

    def __init__(self, config: WrongWordConfig, *, rngs: nnx.Rngs):
        self.config, width = config, config.width
        self.patch = Linear(config.patch_width, width, rngs=rngs)

        def table(rows: int) -> nnx.Param:
            return nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, width), jnp.float32))

        self.words = table(config.vocabulary)
        self.kinds = table(2)
        self.positions = table(config.patches + config.length)
        self.block = TransformerBlock(
            TransformerConfig(
                layers=1,
                width=width,
                heads=config.heads,
                hidden=2 * width,
                key_value_heads=config.key_value_heads,
            ),
            rngs=rngs,
        )
        self.norm = LayerNorm(width)
        self.readout = Linear(width, 1, rngs=rngs)

    def embed(self, patches: Array, words: Array) -> Array:
        """The sequence that the block reads, [B, T_I + T_T, M]."""
        where, config = "WrongWord", self.config
        is_float = jnp.issubdtype(patches.dtype, jnp.floating)
        require_type(is_float, where, "patches", expected="floating-point numbers", got=patches)
        batch = patches.shape[0]
        shape = (batch, config.patches, config.patch_width)
        require(patches.shape == shape, where, "patches", expected=f"{list(shape)}", got=patches)
        shape = (batch, config.length)
        require(words.shape == shape, where, "words", expected=f"{list(shape)}", got=words)
        kinds = self.kinds[...]
        image = self.patch(patches) + kinds[None, None, 0]
        text = self.words[...][words] + kinds[None, None, 1]
        return jnp.concatenate([image, text], axis=1) + self.positions[...][None]

    def mask(self, words: Array, *, across: bool = True) -> Array:
        """Who may attend to whom, bool [B, 1, 1, S], or [B, 1, T, S] with across=False."""
        patches = jnp.ones((words.shape[0], self.config.patches), bool)
        real = padding_mask(jnp.concatenate([patches, words != PAD], axis=1))
        if across:
            return real
        is_image = jnp.arange(self.config.patches + self.config.length) < self.config.patches
        return combine_masks(real, is_image[:, None] == is_image[None, :])

    def __call__(self, patches: Array, words: Array, *, across: bool = True) -> Array:
        x = self.block(self.embed(patches, words), mask=self.mask(words, across=across))
        logits = self.readout(self.norm(x[:, self.config.patches :]))[:, :, 0]
        return jnp.where(words >= UNKNOWN, logits, _NO_WORD)

    def weights(self, patches: Array, words: Array, *, across: bool = True) -> Array:
        """The weights of every head in the block, [B, H, T, T] with T = T_I + T_T."""
        x = self.block.attention_norm(self.embed(patches, words))
        mask = self.mask(words, across=across)
        return self.block.attention.with_weights(x, mask=mask)[1]
