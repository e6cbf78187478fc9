"""What a clip looks like, what it sounds like, and the sentence that tells it.

In the frame before and behind the middle of a moment, what is seen is half covered by the ground
and what is heard has half the amplitude. There is no noise: sight and sound together determine
the events, and the best possible answer is exact.
"""

import numpy as np

from mmjax.checks import require
from mmjax.data.clips.world import EVENT, FRAMES, HEARD, SEEN, Clips
from mmjax.data.scenes.audio import SEGMENT, lane_sounds, render_audio
from mmjax.data.scenes.video import LANE, RGB, SIDE, TOPS, lane_templates
from mmjax.data.scenes.world import COLOURS, MOTIONS, SHAPES, SIZES
from mmjax.data.scenes.world import FRAMES as FRAMES_A_SCENE

ENVELOPE = ((-1, 0.5), (0, 1.0), (1, 0.5))
"""How strong a moment is in the frames around its middle: (distance, strength)."""
DRIFT = 0.8 + 0.05 * np.arange(FRAMES_A_SCENE)
"""The ground brightens in each scene: its colour is multiplied by this."""
LARGE, STAYS = SIZES.index("large"), MOTIONS.index("stays")


def render_frames(clips: Clips) -> np.ndarray:
    """The pictures of N clips: uint8 [N, 48, 32, 32, 3].

    pixel = ground (1 − c) + colour c, with the coverage c of the object in that pixel.
    """
    count = len(clips)
    ground = np.take_along_axis(clips.ground, clips.view[:, :, None], axis=1)
    ground = (ground[:, :, None] * DRIFT[None, None, :, None]).reshape(count, FRAMES, 1, 1, 3)
    frames = np.empty((count, FRAMES, SIDE, SIDE, 3), np.uint8)
    frames[:] = np.rint(255 * ground)
    rgb, templates = RGB.astype(np.float32), lane_templates()

    scenes = clips.residents()
    lane = scenes.present.argmax(1)
    attributes = ("colour", "shape", "size", "motion", "phase")
    colour, *states = (getattr(scenes, a)[np.arange(len(scenes)), lane] for a in attributes)
    coverage = templates[tuple(states)].reshape(count, FRAMES, LANE, SIDE, 1)
    colour = np.repeat(rgb[colour].reshape(count, -1, 3), FRAMES_A_SCENE, axis=1)
    bottom = frames[:, :, TOPS[-1] : TOPS[-1] + LANE]
    bottom[:] = _covered(ground, coverage, colour[:, :, None, None])

    rows, moments = np.nonzero(np.isin(clips.kind, (EVENT, SEEN)))
    for i, m in zip(rows, moments, strict=True):
        shown = templates[clips.shape[i, m], LARGE, STAYS, clips.place[i, m], 0][..., None]
        top, middle = TOPS[clips.lane[i, m]], clips.time[i, m]
        for distance, strength in ENVELOPE:
            strip = _covered(
                ground[i, middle + distance], strength * shown, rgb[clips.colour[i, m]]
            )
            frames[i, middle + distance, top : top + LANE] = strip
    return frames


def _covered(ground, coverage, colour) -> np.ndarray:
    """ground (1 − c) + colour c, as whole numbers from 0 to 255."""
    return np.rint(255 * (ground + coverage * (colour - ground))).astype(np.uint8)


def render_sound(clips: Clips) -> np.ndarray:
    """The sound of N clips: float32 [N, 48 · 512], 512 samples a frame, 4,096 a second.

    What is shown or heard at a moment hums like a large object of its shape in its lane.
    """
    sound = render_audio(clips.residents()).reshape(len(clips), FRAMES, SEGMENT)
    rows, moments = np.nonzero(np.isin(clips.kind, (EVENT, HEARD)))
    for i, m in zip(rows, moments, strict=True):
        hum = lane_sounds()[clips.lane[i, m], clips.shape[i, m], LARGE, STAYS, 0, :SEGMENT]
        for distance, strength in ENVELOPE:
            sound[i, clips.time[i, m] + distance] += strength * hum
    return sound.reshape(len(clips), -1)


def sentences(clips: Clips) -> list[str]:
    """What happened, in order: "a red circle then a blue square"."""
    told = []
    for kind, colour, shape in zip(clips.kind, clips.colour, clips.shape, strict=True):
        events = np.flatnonzero(kind == EVENT)
        told.append(" then ".join(f"a {COLOURS[colour[m]]} {SHAPES[shape[m]]}" for m in events))
    return told


def parse_sentence(sentence: str) -> list[tuple[str, str]]:
    """The colours and shapes that a sentence names, in order.

    Raises ValueError for a sentence that is not of this form.
    """
    found = []
    for part in sentence.split(" then "):
        words = part.split()
        ok = len(words) == 3 and words[0] == "a" and words[1] in COLOURS and words[2] in SHAPES
        expected = "'a colour shape' joined by 'then'"
        require(ok, "parse_sentence", "sentence", expected=expected, got=repr(sentence))
        found.append((words[1], words[2]))
    return found
