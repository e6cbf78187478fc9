"""What a scene looks like: one second in 8 frames of 32 × 32 pixels.

Each object moves inside its own lane of 10 rows, so objects never hide each other. A pixel is
colour · coverage on a black ground, plus independent Gaussian noise of standard deviation σ:
p(video | scene) = N(clean video, σ² I).
"""

import functools

import numpy as np

from mmjax.checks import require
from mmjax.data.scenes.world import FRAMES, MOTIONS, PHASES, SHAPES, SIZES, Scenes

SIDE = 32
"""Height and width of a frame in pixels."""
LANE = 10
"""Rows of a lane."""
TOPS = (1, 11, 21)
"""The first row of each lane."""
DIAMETERS = (6, 10)
"""Width of a small and of a large object in pixels."""
RGB = np.array([[0.84, 0.37, 0.0], [0.0, 0.62, 0.45], [0.0, 0.45, 0.70], [0.94, 0.89, 0.26]])
"""Red, green, blue and yellow of the Okabe–Ito palette, which colour-blind readers tell apart."""


def path(motion: int, phase: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where an object of this motion is: three arrays of one entry a frame [8].

    place in [0, 1], from the left wall to the right one; visible (bool); touching a wall (bool).
    A phase is one of four places (where it stays or blinks, or slides through in frame 3) and one
    of four beginnings of what repeats: to bounce takes 4 frames, with a wall in every second one,
    and so does to blink, two frames on and two off. Frame 3 alone tells few motions apart.
    """
    t = np.arange(FRAMES)
    start = 0.2 * (phase + 1)
    still, always, never = np.full(FRAMES, start), np.ones(FRAMES, bool), np.zeros(FRAMES, bool)
    match MOTIONS[motion]:
        case "stays":
            return still, always, never
        case "slides left":
            return start - 0.05 * (t - 3), always, never
        case "slides right":
            return start + 0.05 * (t - 3), always, never
        case "bounces":
            beat = (t + phase) % 4
            return np.array([0.0, 0.4, 1.0, 0.6])[beat], always, beat % 2 == 0
        case _:  # blinks
            return still, (t + phase) % 4 < 2, never


def _coverage(shape: int, diameter: int, place: float) -> np.ndarray:
    """How much of each pixel of a lane [10, 32] the object covers: 8 × 8 points a pixel."""
    fine = (np.arange(LANE * 8) + 0.5) / 8, (np.arange(SIDE * 8) + 0.5) / 8
    left = place * (SIDE - diameter)
    y = (fine[0] - LANE / 2)[:, None] / (diameter / 2)  # −1 at the top of the object, 1 below
    x = (fine[1] - left - diameter / 2)[None, :] / (diameter / 2)
    match SHAPES[shape]:
        case "circle":
            inside = x**2 + y**2 <= 1
        case "square":
            inside = np.maximum(abs(x), abs(y)) <= 0.9
        case _:  # triangle, its tip on top
            inside = (abs(y) <= 1) & (abs(x) <= (y + 1) / 2)
    return inside.reshape(LANE, 8, SIDE, 8).mean((1, 3))


@functools.cache
def lane_templates() -> np.ndarray:
    """Coverage of a lane: float32 [shapes, sizes, motions, phases, 8, 10, 32], read-only."""
    shape = (len(SHAPES), len(SIZES), len(MOTIONS), PHASES, FRAMES, LANE, SIDE)
    templates = np.zeros(shape, np.float32)
    for s, z, m, p in np.ndindex(*shape[:4]):
        place, visible, _ = path(m, p)
        for t in range(FRAMES):
            if visible[t]:
                templates[s, z, m, p, t] = _coverage(s, DIAMETERS[z], place[t])
    templates.setflags(write=False)
    return templates


def render_video(scenes: Scenes, *, noise: float = 0.0, seed: int | None = None) -> np.ndarray:
    """The videos of N scenes: float32 [N, 8, 32, 32, 3]; without noise between 0 and 1.

    noise: σ, the standard deviation of the Gaussian noise in every pixel; it needs a seed.
    Raises ValueError for a negative noise, or noise without a seed.
    """
    templates, rgb = lane_templates(), RGB.astype(np.float32)
    videos = np.zeros((len(scenes), FRAMES, SIDE, SIDE, 3), np.float32)
    for lane, top in enumerate(TOPS):
        states = [getattr(scenes, a)[:, lane] for a in ("shape", "size", "motion", "phase")]
        coverage = templates[tuple(states)] * scenes.present[:, lane, None, None, None]
        colour = rgb[scenes.colour[:, lane]]
        videos[:, :, top : top + LANE] = coverage[..., None] * colour[:, None, None, None, :]
    return add_noise(videos, noise, seed, "render_video")


def add_noise(clean: np.ndarray, noise: float, seed: int | None, where: str) -> np.ndarray:
    """clean + noise · N(0, I), in place, with the checks that video and sound share."""
    require(noise >= 0, where, "noise", expected="at least 0", got=noise)
    if noise == 0:
        return clean
    require(seed is not None, where, "seed", expected="a seed for the noise", got=seed)
    clean += noise * np.random.default_rng(seed).standard_normal(clean.shape, np.float32)
    return clean
