"""What there is in a scene, and how likely it is: the first half of the generator.

A scene lasts one second. It has three lanes, one above the other; one to three of them hold an
object, and every object has a colour, a shape, a size, a motion and a phase:

    n ~ uniform over `objects`;   lanes ~ uniform over the subsets of n lanes
    (colour, shape, size, motion, phase) of each object ~ uniform, independent of everything else

The second half turns a scene into signals: `video`, `audio` and `captions`. Because every step is
a stated distribution over few values, the best answer that any model could give is computable:
`bayes` computes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from mmjax.checks import require

COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("circle", "square", "triangle")
SIZES = ("small", "large")
MOTIONS = ("stays", "slides left", "slides right", "bounces", "blinks")
LANES = ("top", "middle", "bottom")
PHASES = 4
FRAMES = 8
"""Frames of a video, and segments of its sound: they begin and end together."""

ATTRIBUTES = {"colour": COLOURS, "shape": SHAPES, "size": SIZES, "motion": MOTIONS}
STATES = (len(COLOURS), len(SHAPES), len(SIZES), len(MOTIONS), PHASES)
"""The number of values of colour, shape, size, motion, phase: 480 states of one object."""


@dataclass(frozen=True)
class Scenes:
    """N scenes. Where a lane is empty, its attributes are 0 and mean nothing.

    Attributes:
        present: bool [N, 3], the lanes that hold an object, from top to bottom.
        colour, shape, size, motion, phase: int [N, 3], indices into COLOURS and so on.
    """

    present: np.ndarray
    colour: np.ndarray
    shape: np.ndarray
    size: np.ndarray
    motion: np.ndarray
    phase: np.ndarray

    def __len__(self) -> int:
        return len(self.present)

    def __getitem__(self, index) -> "Scenes":
        """The scenes of a slice or of an array of indices."""
        return Scenes(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def objects(self) -> np.ndarray:
        """How many objects each scene has: int [N]."""
        return self.present.sum(1)

    def only(self, attribute: str) -> np.ndarray:
        """An attribute of the one object of each scene: int [N].

        Raises ValueError if a scene has more than one object.
        """
        one = bool((self.objects == 1).all())
        expected = "scenes with one object each"
        require(one, "Scenes.only", "self", expected=expected, got=f"up to {self.objects.max()}")
        lanes = self.present.argmax(1)
        return getattr(self, attribute)[np.arange(len(self)), lanes]


def sample_scenes(
    count: int,
    *,
    seed: int,
    objects: Sequence[int] = (1, 2, 3),
    allowed: np.ndarray | None = None,
) -> Scenes:
    """Draws `count` scenes from the distribution above; the same seed gives the same scenes.

    objects: the numbers of objects to choose from. allowed: bool [4, 3], the pairs of colour and
    shape that may occur, all by default. Hold some back, and what a model does with them shows
    whether it has learned colour and shape or a list of pairs.

    Raises ValueError for a count below 1, numbers of objects outside 1 to 3, a mask of another
    shape, or one that allows nothing.
    """
    where = "sample_scenes"
    require(count >= 1, where, "count", expected="at least 1", got=count)
    in_range = len(objects) > 0 and all(1 <= n <= len(LANES) for n in objects)
    require(in_range, where, "objects", expected="numbers from 1 to 3", got=tuple(objects))
    shape = (len(COLOURS), len(SHAPES))
    allowed = np.ones(shape, bool) if allowed is None else np.asarray(allowed)
    ok = allowed.shape == shape and allowed.dtype == bool and bool(allowed.any())
    require(ok, where, "allowed", expected=f"bool {list(shape)}, not all False", got=allowed)

    rng = np.random.default_rng(seed)
    size = (count, len(LANES))
    number = rng.choice(np.asarray(objects), count)
    order = rng.random(size).argsort(1).argsort(1)  # a random order of the lanes
    present = order < number[:, None]
    colours, shapes = np.nonzero(allowed)
    pair = rng.integers(len(colours), size=size)
    values = [
        colours[pair],
        shapes[pair],
        rng.integers(len(SIZES), size=size),
        rng.integers(len(MOTIONS), size=size),
        rng.integers(PHASES, size=size),
    ]
    return Scenes(present, *(np.where(present, v, 0) for v in values))
