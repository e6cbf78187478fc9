"""Evidence that adds: one encoder for what is seen, what is read, or both of one thing.

Signals that are independent given the thing itself multiply their likelihoods, so their
log-likelihoods add. The encoder does the same with vectors: a sum over the signals that are there,
and what they mean together is found after the sum.

Source: Zaheer et al. (2017), "Deep sets", theorem 2, for a function of a set as a sum in between.
"""

import itertools
from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import Linear, gelu
from mmjax.checks import require, require_type
from mmjax.losses import normalize
from mmjax.models.encoders import (
    ImageEncoder,
    ImageEncoderConfig,
    TextEncoder,
    TextEncoderConfig,
)


@dataclass(frozen=True)
class EvidenceConfig:
    """The two encoders, of one width M, the hidden width F after the sum, the embedding width E.

    tags: the number of values of each tag that is to be told, such as a category or a colour.
    Raises ValueError for encoders of different widths, no tag, or a width below 1.
    """

    image: ImageEncoderConfig
    text: TextEncoderConfig
    tags: tuple[int, ...]
    hidden: int = 128
    embedding: int = 64

    def __post_init__(self):
        where, width = type(self).__name__, self.image.transformer.width
        same = self.text.transformer.width == width
        got = f"{self.text.transformer.width}"
        require(same, where, "text", expected=f"width {width}, as the image's", got=got)
        ok = len(self.tags) > 0 and min(self.tags) >= 1
        require(ok, where, "tags", expected="at least one, of at least 1 value", got=self.tags)
        for name in ("hidden", "embedding"):
            value = getattr(self, name)
            require(value >= 1, where, name, expected="at least 1", got=value)


class EvidenceEncoder(nnx.Module):
    """A picture, a text, or both of one thing → one unit vector, [B, E].

    c = gelu( W_1 (δ_x η_x(x) + δ_t η_t(t)) + b_1 ),    δ = 1 where it is there, else 0
    h = normalize(W_2 c + b_2),    logits of each tag = W_k c + b_k

    What is not there is not looked at, and sends back no gradient.
    """

    def __init__(self, config: EvidenceConfig, *, rngs: nnx.Rngs):
        self.config = config
        width = config.image.transformer.width
        self.image_encoder = ImageEncoder(config.image, rngs=rngs)
        self.text_encoder = TextEncoder(config.text, rngs=rngs)
        self.inner = Linear(width, config.hidden, rngs=rngs)
        self.outer = Linear(config.hidden, config.embedding, rngs=rngs)
        self.tagger = Linear(config.hidden, sum(config.tags), rngs=rngs)

    def __call__(
        self, images: Array, tokens: Array, real: Array, seen: Array, read: Array
    ) -> tuple[Array, list[Array]]:
        """Images [B, side, side, C], tokens int and real bool [B, T], seen and read bool [B].

        seen: where the picture is there; read: where the text is. Returns h [B, E] and the logits
        [B, values] of each tag. Raises TypeError or ValueError for arrays that do not fit.
        """
        for name, there in (("seen", seen), ("read", read)):
            expected = f"bool [{len(images)}]"
            require_type(there.dtype == bool, "EvidenceEncoder", name, expected=expected, got=there)
            fits = there.shape == (len(images),)
            require(fits, "EvidenceEncoder", name, expected=expected, got=there)
        # What goes in is blanked too: the gradient of an encoder at NaN would be NaN, times zero.
        images = jnp.where(seen[:, None, None, None], images, jnp.zeros_like(images))
        total = _where(seen, self.image_encoder(images))
        total = total + _where(read, self.text_encoder(tokens, real))
        hidden = gelu(self.inner(total))
        ends = list(itertools.accumulate(self.config.tags))[:-1]
        return normalize(self.outer(hidden)), jnp.split(self.tagger(hidden), ends, axis=1)


def _where(there: Array, evidence: Array) -> Array:
    return jnp.where(there[:, None], evidence, jnp.zeros_like(evidence))
