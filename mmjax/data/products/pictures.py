"""What a product looks like: 16×16 pixels that show its form, its colour and its pattern.

    x = 1 − m (a + e) + n                       for each of the three channels

m [16, 16] is how much of a pixel the product covers: its outline, thinner in the stripes. a is the
ink of its colour (1 − RGB), e ~ N(0, τ²) the cast of the light, one number a channel, and
n ~ N(0, σ²) the noise of the camera, one number a pixel. The picture ends at no value: numbers may
lie a little outside [0, 1].

What is hard to see: the light turns red into orange and blue into violet. And categories come in
twins of one outline (dress and lamp, bag and cushion, scarf and towel), which differ by a few faint
pixels. Of the material a picture shows nothing.
"""

import functools

import numpy as np

from mmjax.checks import require
from mmjax.data.products.world import (
    CATEGORIES,
    COLOURS,
    MATERIALS,
    PATTERNS,
    SHAPE,
    attributes_of,
    check_states,
)

SIDE = 16
NOISE = 0.25
"""σ, the standard deviation of a pixel's noise."""
LIGHT = 0.16
"""τ, the standard deviation of the light's cast."""
FAINT = 0.2
"""How much of their pixels the details that tell twins apart cover."""
STRIPE = 0.35
"""The part of the ink that is missing in a stripe."""
RGB = np.array([[0.85, 0.15, 0.15], [0.9, 0.5, 0.1], [0.15, 0.3, 0.85], [0.5, 0.2, 0.8]])
"""Red, orange, blue, violet."""
DETAILS = {  # rows and columns, half-open; a twin has the one, the other the other
    "dress": (slice(3, 5), slice(2, 4)),
    "lamp": (slice(3, 5), slice(12, 14)),
    "bag": (slice(1, 2), slice(6, 10)),
    "cushion": (slice(14, 15), slice(6, 10)),
    "scarf": (slice(12, 14), slice(2, 4)),
    "towel": (slice(2, 4), slice(2, 4)),
}


@functools.cache
def masks() -> np.ndarray:
    """m for every category and pattern: float64 [6, 2, 16, 16], not to be written into."""
    row, column = np.mgrid[:SIDE, :SIDE]
    away = np.abs(column - 7.5)
    flared = (row >= 2) & (row < 14) & (away < 2 + (row - 2) / 3)
    square = (row >= 3) & (row < 13) & (away < 5)
    narrow = (row >= 1) & (row < 15) & (away < 3)
    outlines = dict(zip(CATEGORIES, [flared, square, narrow] * 2, strict=True))
    result = np.zeros((len(CATEGORIES), len(PATTERNS), SIDE, SIDE))
    for c, name in enumerate(CATEGORIES):
        plain = outlines[name].astype(float)
        plain[DETAILS[name]] = FAINT
        result[c, 0] = plain
        result[c, 1] = plain * (1 - STRIPE * (row % 4 < 2))
    result.flags.writeable = False
    return result


def render_pictures(
    states: np.ndarray, *, seed: int | None = None, noise: float = NOISE, light: float = LIGHT
) -> np.ndarray:
    """Pictures of products, float32 [N, 16, 16, 3]; without a seed, clean and in neutral light.

    states: int [N]. Raises TypeError or ValueError for states that are none, ValueError for a
    negative noise or light.
    """
    where, states = "render_pictures", check_states(states, "render_pictures")
    for name, value in (("noise", noise), ("light", light)):
        require(value >= 0, where, name, expected="at least 0", got=value)
    seen = attributes_of(states)
    mask = masks().astype(np.float32)[seen["category"], seen["pattern"]][..., None]
    ink = (1 - RGB[seen["colour"]][:, None, None]).astype(np.float32)
    if seed is None:
        return 1 - mask * ink
    rng = np.random.default_rng(seed)
    ink += np.float32(light) * rng.standard_normal((len(states), 1, 1, 3), np.float32)
    pictures = rng.standard_normal((len(states), SIDE, SIDE, 3), np.float32)
    pictures *= np.float32(noise)  # in place: a hundred thousand pictures are 300 MB
    pictures -= mask * ink
    pictures += 1
    return pictures


def picture_log_likelihood(
    pictures: np.ndarray, *, noise: float = NOISE, light: float = LIGHT
) -> np.ndarray:
    """log p(picture | state) up to a number that depends on the picture alone: float64 [N, 144].

    With y = 1 − x, a channel is Gaussian with mean a m and covariance σ² I + τ² m mᵀ. Its inverse
    and its determinant are known (Sherman and Morrison), so with d = m·y − a m·m

        log p = (a m·y − a² m·m / 2) / σ² + τ² d² / (2 σ² (σ² + τ² m·m)) − log(1 + τ² m·m / σ²) / 2

    summed over the channels. Raises ValueError for other shapes or a noise that is not positive.
    """
    where, pictures = "picture_log_likelihood", np.asarray(pictures)
    fits = pictures.ndim == 4 and pictures.shape[1:] == (SIDE, SIDE, 3)
    require(fits, where, "pictures", expected=f"[N, {SIDE}, {SIDE}, 3]", got=pictures)
    require(noise > 0, where, "noise", expected="more than 0", got=noise)
    require(light >= 0, where, "light", expected="at least 0", got=light)
    flat = masks().reshape(-1, SIDE * SIDE)  # [12, 256], category and pattern
    mm = (flat**2).sum(axis=1)[:, None, None]
    y = 1 - pictures.reshape(len(pictures), SIDE * SIDE, 3).astype(np.float64)
    my = np.einsum("kp,npc->nkc", flat, y)[:, :, None]  # [N, 12, 1, 3]
    ink = 1 - RGB[None, None]  # [1, 1, 4, 3]
    d = my - ink * mm
    fit = (ink * my - ink**2 * mm / 2) / noise**2
    fit = fit + light**2 * d**2 / (2 * noise**2 * (noise**2 + light**2 * mm))
    fit = (fit - np.log1p(light**2 * mm / noise**2) / 2).sum(axis=-1)  # [N, 12, 4]
    fit = fit.reshape(len(pictures), SHAPE[0], len(PATTERNS), len(COLOURS)).swapaxes(2, 3)
    return np.repeat(fit.reshape(len(pictures), -1), len(MATERIALS), axis=1)
