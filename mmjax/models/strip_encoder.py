"""A video becomes tokens: one for each strip of each frame, read by filters that slide along it.

Sources: Xiao et al. (2021), "Early convolutions help transformers see better", for convolutions in
place of one linear map of a patch; Arnab et al. (2021), ViViT, for tokens over space and time.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import Linear, Transformer, TransformerConfig, gelu_tanh
from mmjax.checks import require, require_type
from mmjax.models.token_encoder import require_positive, small_normal

WINDOWS = (5, 3)
"""How many columns a filter of the first and of the second layer reads."""
STRIDE = 2


@dataclass(frozen=True)
class StripEncoderConfig:
    """Videos of `frames` × `height` × `width` pixels in `channels` C, cut into `strips` of rows.

    `filters`: the number of filters in each of the two layers. `scale`: what pixels are multiplied
    by, so that their standard deviation is near 1.
    """

    frames: int
    height: int
    width: int
    strips: int
    transformer: TransformerConfig
    channels: int = 3
    filters: int = 32
    scale: float = 1.0

    def __post_init__(self):
        require_positive(self, "frames", "height", "width", "strips", "channels", "filters")
        ok, expected = self.height % self.strips == 0, f"a divisor of height {self.height}"
        require(ok, type(self).__name__, "strips", expected=expected, got=self.strips)

    @property
    def tokens(self) -> int:
        """How many tokens a video becomes."""
        return self.frames * self.strips


class StripEncoder(nnx.Module):
    """Videos [B, frames, height, width, C] → tokens [B, frames · strips, M].

    Token t · strips + l is strip l of frame t. Its columns are x_j; a layer reads windows of them:

    y_j = gelu_tanh(W [x_{2j−r}; …; x_{2j+r}] + b), twice;  x_0 = vec(y) W_0 + b_0 + positions;
    tokens = Transformer(x_0)

    The filters are the same at every place along the strip, so what a shape looks like is learned
    once, not once a place. Raises ValueError for videos of another size, TypeError for whole
    numbers (0 to 255).
    """

    def __init__(self, config: StripEncoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        features, columns = config.channels * config.height // config.strips, config.width
        layers = []
        for window in WINDOWS:
            layers.append(Linear(window * features, config.filters, rngs=rngs))
            features, columns = config.filters, -(-columns // STRIDE)
        self.layers = nnx.List(layers)
        self.read = Linear(columns * features, config.transformer.width, rngs=rngs)
        self.positions = small_normal(rngs, config.tokens, config.transformer.width)
        self.transformer = Transformer(config.transformer, rngs=rngs)

    def __call__(self, videos: Array) -> Array:
        x = self._columns(videos) * self.config.scale
        for layer, window in zip(self.layers, WINDOWS, strict=True):
            x = gelu_tanh(layer(windows(x, window, STRIDE)))
        x = self.read(x.reshape(len(videos), self.config.tokens, -1))
        return self.transformer(x + self.positions[...][None])

    def _columns(self, videos: Array) -> Array:
        """[B, frames, height, width, C] → [B · tokens, width, C · height / strips]."""
        c = self.config
        shape, where = (c.frames, c.height, c.width, c.channels), "StripEncoder"
        fits = videos.ndim == 5 and videos.shape[1:] == shape and len(videos) > 0
        expected = f"[B, {', '.join(map(str, shape))}] with at least one video"
        require(fits, where, "videos", expected=expected, got=videos)
        is_float = jnp.issubdtype(videos.dtype, jnp.floating)
        expected = "a floating-point array with values in [0, 1]"
        require_type(is_float, where, "videos", expected=expected, got=videos)
        strips = videos.reshape(-1, c.height // c.strips, c.width, c.channels)
        return strips.swapaxes(1, 2).reshape(len(strips), c.width, -1)


def windows(x: Array, window: int, stride: int) -> Array:
    """Windows of columns, side by side: [N, W, F] → [N, ⌈W / stride⌉, window · F].

    out[:, j] = [x_{sj−r}; …; x_{sj+r}],  window = 2 r + 1, with zeros outside of x.
    Raises ValueError for an even window, or a stride below 1.
    """
    ok = window >= 1 and window % 2 == 1
    require(ok, "windows", "window", expected="an odd number", got=window)
    require(stride >= 1, "windows", "stride", expected="at least 1", got=stride)
    r, columns = window // 2, x.shape[1]
    x = jnp.pad(x, ((0, 0), (r, r), (0, 0)))
    return jnp.concatenate([x[:, k : k + columns : stride] for k in range(window)], axis=2)
