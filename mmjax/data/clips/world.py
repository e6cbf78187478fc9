"""What there is in a clip, and how likely it is.

A clip is 6 scenes of one second, 48 frames. The camera goes between 3 views; each has a ground
colour and a resident, an object in the bottom lane that moves and sounds whenever it is shown:

    ground ~ uniform on [0, 0.3]³;   (colour, shape, size, motion, phase) of the resident ~ uniform,
    its motion without "blinks"
    v_1 ~ uniform over the views;   v_{k+1} ~ uniform over the two other views

There are 8 moments, each three frames long. Their middles are at least 4 frames apart, and every
such set of middles from frame 1 to 46 is as likely. At a moment an object is shown in the top or
the middle lane and sounds (an event), is shown only, is heard only, or nothing happens:

    E ~ uniform on {2, 3};   E events, 5 − E seen only, 5 − E heard only, E − 2 times nothing,
    in an order that is uniform over all orders
    lane, place ~ uniform;   (colour, shape) of the five that are seen: uniform without repetition;
    of those that are heard only: uniform without repetition among the pairs of no event

Five things are seen and five are heard whatever E is, and those seen are five different pairs in
an order that is uniform, and so are those heard. So sight alone and sound alone say nothing about
how many events there are, nor which they are; together they say all of it.
"""

from dataclasses import dataclass, fields

import numpy as np

from mmjax.checks import require
from mmjax.data.scenes.world import COLOURS, MOTIONS, PHASES, SHAPES, SIZES, Scenes
from mmjax.data.scenes.world import FRAMES as FRAMES_A_SCENE

SCENES, VIEWS, MOMENTS = 6, 3, 8
FRAMES = SCENES * FRAMES_A_SCENE
"""Frames of a clip, eight a second."""
EVENTS = (2, 3)
"""How many events a clip may have."""
PERCEIVED = 5
"""How many objects are seen, and how many are heard."""
SPACING = 4
"""The least distance between the middles of two moments, in frames."""
KINDS = ("event", "seen", "heard", "nothing")
EVENT, SEEN, HEARD, NOTHING = range(4)
STAGE = 2
"""The lane of the resident."""
MAX_GROUND = 0.3


@dataclass(frozen=True)
class Clips:
    """N clips.

    Attributes:
        ground: float [N, 3, 3], red, green and blue of the ground of each view.
        resident: int [N, 3, 5], colour, shape, size, motion and phase in each view.
        view: int [N, 6], the view of each scene.
        kind: int [N, 8], what each moment is: an index into KINDS.
        time: int [N, 8], the middle frame of each moment, in order.
        lane: int [N, 8], 0 top or 1 middle.
        colour, shape, place: int [N, 8]; without meaning where nothing is seen or heard.
    """

    ground: np.ndarray
    resident: np.ndarray
    view: np.ndarray
    kind: np.ndarray
    time: np.ndarray
    lane: np.ndarray
    colour: np.ndarray
    shape: np.ndarray
    place: np.ndarray

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, index) -> "Clips":
        """The clips of a slice or of an array of indices."""
        return Clips(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def key_frames(self) -> list[np.ndarray]:
        """The truth of each clip: the middle frames of its events, in order."""
        pairs = zip(self.time, self.kind, strict=True)
        return [time[kind == EVENT] for time, kind in pairs]

    def happened(self) -> np.ndarray:
        """Which pairs of colour and shape the events have: bool [N, 12], pair 3 colour + shape."""
        pair = self.colour * len(SHAPES) + self.shape
        found = np.zeros((len(self), len(COLOURS) * len(SHAPES)), bool)
        rows, moments = np.nonzero(self.kind == EVENT)
        found[rows, pair[rows, moments]] = True
        return found

    def residents(self) -> Scenes:
        """The 6 N scenes without what happens in them: clip 0 scene 0, clip 0 scene 1, …"""
        values = np.take_along_axis(self.resident, self.view[:, :, None], axis=1).reshape(-1, 5)
        lanes = np.zeros((5, len(values), 3), int)
        lanes[:, :, STAGE] = values.T
        return Scenes(np.arange(3) == np.full((len(values), 1), STAGE), *lanes)


def sample_clips(count: int, *, seed: int) -> Clips:
    """Draws `count` clips from the distribution above; the same seed gives the same clips.

    Raises ValueError for a count below 1.
    """
    require(count >= 1, "sample_clips", "count", expected="at least 1", got=count)
    rng = np.random.default_rng(seed)
    ground = MAX_GROUND * rng.random((count, VIEWS, 3))
    moving = len(MOTIONS) - 1  # all but the last, "blinks"
    sizes = (len(COLOURS), len(SHAPES), len(SIZES), moving, PHASES)
    resident = rng.integers(sizes, size=(count, VIEWS, 5))
    steps = rng.integers(1, VIEWS, size=(count, SCENES))  # to one of the other views
    steps[:, 0] = rng.integers(VIEWS, size=count)
    view = steps.cumsum(1) % VIEWS

    kind, time = np.empty((2, count, MOMENTS), int)
    pairs = len(COLOURS) * len(SHAPES)
    pair = rng.integers(pairs, size=(count, MOMENTS))
    for i, events in enumerate(rng.choice(EVENTS, count)):
        kind[i] = rng.permutation(kinds_of(events))
        time[i] = sample_times(rng)
        seen = np.flatnonzero(np.isin(kind[i], (EVENT, SEEN)))
        pair[i, seen] = rng.permutation(pairs)[: len(seen)]
        free = np.setdiff1d(np.arange(pairs), pair[i, kind[i] == EVENT])
        heard = np.flatnonzero(kind[i] == HEARD)
        pair[i, heard] = rng.permutation(free)[: len(heard)]
    lane = rng.integers(STAGE, size=(count, MOMENTS))
    place = rng.integers(PHASES, size=(count, MOMENTS))
    colour, shape = np.divmod(pair, len(SHAPES))
    return Clips(ground, resident, view, kind, time, lane, colour, shape, place)


def kinds_of(events: int) -> list[int]:
    """The kinds of the 8 moments of a clip with so many events, in no order."""
    alone = PERCEIVED - events
    nothing = MOMENTS - events - 2 * alone
    return [EVENT] * events + [SEEN] * alone + [HEARD] * alone + [NOTHING] * nothing


def sample_times(
    rng: np.random.Generator, frames: int = FRAMES, moments: int = MOMENTS, spacing: int = SPACING
) -> np.ndarray:
    """Middles from 1 to frames − 2, at least `spacing` apart; every such set is as likely.

    Take out spacing − 1 frames behind every middle but the last: what is left is any subset.
    """
    room = frames - 2 - (moments - 1) * (spacing - 1)
    chosen = np.sort(rng.choice(room, moments, replace=False))
    return 1 + chosen + (spacing - 1) * np.arange(moments)
