"""Sessions as tokens: one token a step for each modality, filed under its exercise."""

from collections.abc import Collection

import numpy as np

from mmjax.checks import require_one_of
from mmjax.data.learners.sessions import Sessions
from mmjax.data.learners.signals import BANDS, MOMENTS, SIDE
from mmjax.data.learners.world import EXERCISES, MODALITIES, VOCABULARY

FEATURES = {
    "face": SIDE * SIDE + len(EXERCISES),
    "voice": MOMENTS * BANDS + len(EXERCISES),
    "text": 1 + len(VOCABULARY) + len(EXERCISES),
}
"""Numbers of a token."""


def step_tokens(sessions: Sessions, reads: Collection[str] = MODALITIES) -> dict[str, np.ndarray]:
    """For each modality float32 [N, T, features]; the last three numbers say which exercise it was.

    face: the pixels. voice: the cells. text: 1 for a correct answer, and how often each word of the
    vocabulary was said. Every modality knows the exercise, as the one who gave it does. Raises
    ValueError for another name.
    """
    exercise = np.eye(len(EXERCISES), dtype=np.float32)[sessions.exercises]
    said = np.eye(len(VOCABULARY), dtype=np.float32)[sessions.words].sum(axis=2)
    parts = {
        "face": sessions.faces.reshape(*sessions.states.shape, -1),
        "voice": sessions.voices.reshape(*sessions.states.shape, -1),
        "text": np.concatenate([sessions.correct[..., None].astype(np.float32), said], axis=2),
    }
    for name in reads:
        require_one_of(name, MODALITIES, "step_tokens", "reads")
    return {name: np.concatenate([parts[name], exercise], axis=2) for name in reads}
