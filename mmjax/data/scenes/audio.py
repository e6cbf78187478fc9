"""What a scene sounds like: one second at 4,096 samples a second, in sync with the video.

Each frame has a segment of 512 samples. An object sounds in it as a chord: its lane decides the
register, its size the pitch, its shape the notes of the chord, its motion when and how it sounds.
What stays hums; what slides right rises by 8 Hz a frame and what slides left falls; what bounces
sounds when it hits a wall; what blinks sounds while it can be seen. The colour is silent.

Every note is a whole number of cycles a segment under a Hann window, and notes of different lanes
are at least three cycles apart. So the sounds of different lanes are orthogonal to each other, and
p(sound | scene) = N(clean sound, σ² I) splits into one factor a lane: `bayes` uses it.
"""

import functools

import numpy as np

from mmjax.data.scenes.video import add_noise, path
from mmjax.data.scenes.world import FRAMES, LANES, MOTIONS, PHASES, SHAPES, SIZES, Scenes

SAMPLE_RATE = 4096
"""Samples a second (Hz)."""
SAMPLES = 4096
SEGMENT = SAMPLES // FRAMES
REGISTERS = (160, 85, 10)
"""Lowest note of the top, middle and bottom lane, in cycles a segment (8 Hz each)."""
PITCHES = (24, 0)
"""What is added for a small and for a large object: small things sound higher."""
CHORDS = ((0,), (0, 16, 32), (0, 24))
"""Notes of a circle, a square and a triangle."""


def _segments(lane: int, shape: int, size: int, motion: int, phase: int) -> np.ndarray:
    """The sound of one object [8, 512]; every segment in which it sounds has the same energy."""
    time = np.arange(SEGMENT)
    window = np.hanning(SEGMENT + 1)[:SEGMENT]  # periodic: its spectrum is exactly 3 bins wide
    _, visible, touching = path(motion, phase)
    name, chord = MOTIONS[motion], CHORDS[shape]
    sounds = touching if name == "bounces" else visible
    glide = {"slides right": np.arange(FRAMES), "slides left": np.arange(FRAMES)[::-1]}
    shift = glide.get(name, np.zeros(FRAMES, int))
    out = np.zeros((FRAMES, SEGMENT))
    for t in np.flatnonzero(sounds):
        for note in chord:
            cycles = REGISTERS[lane] + PITCHES[size] + note + shift[t]
            out[t] += np.sin(2 * np.pi * cycles * time / SEGMENT)
    return out * window / np.sqrt(len(chord))


@functools.cache
def lane_sounds() -> np.ndarray:
    """Sounds of one object: float32 [lanes, shapes, sizes, motions, phases, 4096], read-only."""
    shape = (len(LANES), len(SHAPES), len(SIZES), len(MOTIONS), PHASES)
    sounds = np.zeros((*shape, SAMPLES), np.float32)
    for state in np.ndindex(*shape):
        sounds[state] = _segments(*state).reshape(-1)
    sounds.setflags(write=False)
    return sounds


def render_audio(scenes: Scenes, *, noise: float = 0.0, seed: int | None = None) -> np.ndarray:
    """The sounds of N scenes: float32 [N, 4096], amplitude about 1 for each object.

    noise: σ, the standard deviation of the Gaussian noise in every sample; it needs a seed.
    Raises ValueError for a negative noise, or noise without a seed.
    """
    sounds = np.zeros((len(scenes), SAMPLES), np.float32)
    for lane in range(len(LANES)):
        states = [getattr(scenes, a)[:, lane] for a in ("shape", "size", "motion", "phase")]
        sounds += lane_sounds()[lane][tuple(states)] * scenes.present[:, lane, None]
    return add_noise(sounds, noise, seed, "render_audio")
