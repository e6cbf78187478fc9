"""The learners as a probability model: states, exercises, and every table that they are drawn from.

A learner is in one of four states. An exercise of some difficulty is given, the state moves on, and
then a face, a voice and an answer are observed. The tables below are all there is to know; what
they imply is computed in `mmjax.data.learners.bayes`. They are made up for teaching. Nobody's
face, voice or learning was measured for them.
"""

import numpy as np

STATES = ("confused", "engaged", "mastering", "bored")
EXERCISES = ("easy", "medium", "hard")
MODALITIES = ("face", "voice", "text")
GROUPS = ("plain", "smiling")
"""How confusion is shown. The second group, which is rare, covers it with a smile."""

START = np.array([0.25, 0.35, 0.15, 0.25])
"""p(s_0), the state before the first exercise."""

TRANSITION = np.array(
    [
        [  # easy
            [0.35, 0.50, 0.10, 0.05],
            [0.03, 0.42, 0.40, 0.15],
            [0.01, 0.09, 0.45, 0.45],
            [0.01, 0.04, 0.10, 0.85],
        ],
        [  # medium
            [0.65, 0.30, 0.03, 0.02],
            [0.15, 0.60, 0.20, 0.05],
            [0.03, 0.32, 0.50, 0.15],
            [0.03, 0.27, 0.20, 0.50],
        ],
        [  # hard
            [0.90, 0.08, 0.01, 0.01],
            [0.50, 0.42, 0.06, 0.02],
            [0.15, 0.50, 0.32, 0.03],
            [0.15, 0.40, 0.15, 0.30],
        ],
    ]
)
"""A[a, s, s'] = p(s_t = s' | s_{t-1} = s, exercise a): too hard confuses, too easy bores."""

GAIN = np.array([[0.5, 0.1, 0.0], [0.3, 0.9, 0.4], [0.05, 0.5, 1.0], [0.0, 0.25, 0.7]])
"""g[s, a]: what a learner in state s learns from exercise a on average, in points."""

CORRECT = np.array([[0.55, 0.30, 0.15], [0.85, 0.70, 0.50], [0.97, 0.92, 0.80], [0.85, 0.75, 0.55]])
"""p(the answer is correct | s, a)."""

VOCABULARY = ("what", "why", "again", "so", "next", "got", "easy", "ok", "whatever", "done")
WORD = np.array(
    [
        [0.26, 0.18, 0.24, 0.09, 0.02, 0.03, 0.02, 0.10, 0.04, 0.02],
        [0.08, 0.22, 0.06, 0.22, 0.12, 0.12, 0.04, 0.08, 0.02, 0.04],
        [0.02, 0.06, 0.02, 0.14, 0.22, 0.22, 0.16, 0.08, 0.02, 0.06],
        [0.06, 0.04, 0.04, 0.04, 0.10, 0.03, 0.14, 0.22, 0.19, 0.14],
    ]
)
"""p(word | s); an answer has two words, drawn independently."""
WORDS_EACH = 2


def around(mean: np.ndarray, places: int, spread: float) -> np.ndarray:
    """p(k) ∝ exp(−(k − mean)² / 2 spread²) for k = 0 … places − 1; mean [...] → [..., places]."""
    score = -((np.arange(places) - np.asarray(mean)[..., None]) ** 2) / (2 * spread**2)
    chance = np.exp(score - score.max(axis=-1, keepdims=True))
    return chance / chance.sum(axis=-1, keepdims=True)


FACE_BASELINES = np.array([-1.6, -0.8, 0.0, 0.8, 1.6])
"""How far a learner's brows and mouth rest below or above the common place, in places."""
VOICE_BASELINES = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
"""How far a learner's pitch lies below or above the common one, in bands."""

_BROWS = np.array([[0.7, 2.3, 2.7, 1.7], [2.3, 2.3, 2.7, 1.7]])  # [group, s]
_MOUTH = np.array([[1.1, 2.3, 3.3, 1.6], [3.3, 2.3, 3.3, 1.6]])
_EYES, _PITCH = np.array([1.2, 1.6, 1.0, 0.3]), np.array([1.3, 0.5, 0.0, -1.2])
_FACE, _VOICE = FACE_BASELINES[:, None], VOICE_BASELINES[:, None]


POSITION = {
    "brows": around(_BROWS[:, None] + _FACE, 5, 0.7),  # [group, baseline, s, k]
    "mouth": around(_MOUTH[:, None] + _FACE, 5, 0.7),
    "eyes": around(np.broadcast_to(_EYES, (len(GROUPS), len(FACE_BASELINES), len(STATES))), 3, 0.5),
    "pitch": around(3.0 + _PITCH + _VOICE, 7, 0.8),
    "melody": np.broadcast_to(
        [[0.10, 0.20, 0.70], [0.30, 0.40, 0.30], [0.70, 0.25, 0.05], [0.20, 0.75, 0.05]],
        (len(VOICE_BASELINES), len(STATES), 3),
    ),
}
"""p(place k of a part | who, s): face [group, baseline, s, k], voice [baseline, s, k].

The baseline moves brows, mouth and pitch; the group decides how confusion looks.
"""

RARE_SHARE = 0.1
"""p(group smiling)."""
FACE_NOISE, VOICE_NOISE = 0.35, 0.9
"""Standard deviation of the noise, a pixel and a cell of the voice."""
