"""Which frames matter? An encoder of picture and sound, and an attention that says where to look.

The model is trained to say what happened in a clip. Nobody tells it when; the weights of its
attention over the frames are the importance. Sources: Ilse et al. (2018), attention as the pooling
of multiple-instance learning; Vaswani et al. (2017), the encoder.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from mmjax.attention import Linear, Transformer, TransformerConfig, gelu
from mmjax.checks import require, require_type
from mmjax.models.token_encoder import require_positive, small_normal
from mmjax.precision import wide_dtype


@dataclass(frozen=True)
class FrameSelectorConfig:
    """Clips of frames with `parts` P pieces of `pixels` numbers and `sound` numbers of sound each.

    `features` are the numbers made of a part and of the sound. A frame of the encoder sees those at
    most `window` frames away in each block. `labels` C is the number of things that may happen.
    """

    parts: int
    pixels: int
    sound: int
    labels: int
    window: int
    features: int
    transformer: TransformerConfig

    def __post_init__(self):
        require_positive(self, "parts", "pixels", "sound", "labels", "features")
        ok, where = self.window >= 0, type(self).__name__
        require(ok, where, "window", expected="at least 0", got=self.window)


def window_mask(length: int, window: int) -> Array:
    """A frame attends to those at most `window` away: m_ts = |t − s| ≤ w, bool [1, 1, T, T].

    After L blocks, frame t knows of frames t − L w to t + L w and of no other. It stands here and
    not with the masks of the house, as it is what the importance of a frame rests on.
    Raises ValueError for a length below 1 or a negative window.
    """
    require(length >= 1, "window_mask", "length", expected="at least 1", got=length)
    require(window >= 0, "window_mask", "window", expected="at least 0", got=window)
    frames = np.arange(length)
    return jnp.asarray(abs(frames[:, None] - frames[None, :]) <= window)[None, None]


def attention_pooling(h: Array, query: Array) -> tuple[Array, Array]:
    """A weighted mean of the frames, and the scores that the weights are made of.

    s_t = q · h_t / √M,  α = softmax(s),  pooled = Σ_t α_t h_t

    h [B, T, M], query [M]; returns pooled [B, M] and s [B, T], both in at least float32.
    Raises ValueError for other shapes. Source: Ilse et al. (2018), equation 8, with a dot product.
    """
    where = "attention_pooling"
    require(h.ndim == 3 and 0 not in h.shape, where, "h", expected="[B, T, M]", got=h)
    shape = (h.shape[-1],)
    require(query.shape == shape, where, "query", expected=str(list(shape)), got=query)
    h, query = (x.astype(wide_dtype(h.dtype)) for x in (h, query))
    scores = jnp.einsum("btm,m->bt", h, query) / math.sqrt(h.shape[-1])
    return jnp.einsum("bt,btm->bm", jax.nn.softmax(scores, axis=1), h), scores


class FrameSelector(nnx.Module):
    """Frames [B, T, P, pixels] and sound [B, T, sound] → logits [B, C] of what happened.

    x_t = [gelu(p_t1 U + c); …; gelu(p_tP U + c); gelu(a_t V + d)] W + b     the frame as a token
    h = Transformer(x), each frame sees a window                           what happens at a frame
    s_t = q · h_t / √M,  α = softmax(s)                                     the importance
    z = Σ_t α_t h_t W_C + b_C                                               what happened
    """

    def __init__(self, config: FrameSelectorConfig, *, rngs: nnx.Rngs):
        self.config, width = config, config.transformer.width
        self.part = Linear(config.pixels, config.features, rngs=rngs)
        self.sound = Linear(config.sound, config.features, rngs=rngs)
        self.join = Linear((config.parts + 1) * config.features, width, rngs=rngs)
        self.encoder = Transformer(config.transformer, rngs=rngs)
        self.query = small_normal(rngs, 1, width)
        self.head = Linear(width, config.labels, rngs=rngs)

    def __call__(self, frames: Array, sound: Array) -> Array:
        return self.with_scores(frames, sound)[0]

    def with_scores(self, frames: Array, sound: Array) -> tuple[Array, Array]:
        """The logits [B, C] and the scores s [B, T]; the importance is softmax(s).

        Logits in the dtype of the parameters, scores in at least float32.
        """
        h = self.encode(frames, sound)
        pooled, scores = attention_pooling(h, self.query[...][0])
        return self.head(pooled.astype(h.dtype)), scores

    def encode(self, frames: Array, sound: Array) -> Array:
        """What happens at each frame: [B, T, M].

        Raises TypeError or ValueError for frames and sound that do not fit.
        """
        where, c = "FrameSelector", self.config
        fits = (
            frames.ndim == 4 and frames.shape[2:] == (c.parts, c.pixels) and 0 not in frames.shape
        )
        expected = f"[B, T, {c.parts}, {c.pixels}] with B and T at least 1"
        require(fits, where, "frames", expected=expected, got=frames)
        shape = (*frames.shape[:2], c.sound)
        require(sound.shape == shape, where, "sound", expected=str(list(shape)), got=sound)
        for name, array in (("frames", frames), ("sound", sound)):
            is_float = jnp.issubdtype(array.dtype, jnp.floating)
            require_type(is_float, where, name, expected="a floating-point array", got=array)
        parts = gelu(self.part(frames)).reshape(*shape[:2], -1)
        x = self.join(jnp.concatenate([parts, gelu(self.sound(sound))], axis=-1))
        return self.encoder(x, mask=window_mask(shape[1], c.window))
