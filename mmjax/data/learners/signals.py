"""What a part of a face or of a voice looks like, and how signals are drawn from the tables.

A face is 16×16 pixels: hair in rows 0 to 2, brows in 3 to 6, eyes in 7 to 10, mouth in 11 to 15.
A voice is 8 moments × 12 bands, a ridge at the pitch, which rises, stays or falls.
"""

import numpy as np

from mmjax.data.learners.world import (
    CORRECT,
    FACE_NOISE,
    POSITION,
    VOCABULARY,
    VOICE_NOISE,
    WORD,
    WORDS_EACH,
)

SIDE, MOMENTS, BANDS = 16, 8, 12
ROWS = {"brows": slice(3, 7), "eyes": slice(7, 11), "mouth": slice(11, 16)}
HAIR = slice(0, 3)
SKIN = 0.8


def _line(rows: slice, heights: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Skin with dark ink at a height for each column; ink between two rows is shared by them."""
    part = np.full((rows.stop - rows.start, SIDE), SKIN)
    for column, height in zip(columns, heights, strict=True):
        ink = np.maximum(0.0, 1.0 - np.abs(np.arange(len(part)) - height))
        part[:, column] -= SKIN * ink
    return part


def _brows(k: int) -> np.ndarray:
    columns = np.r_[3:7, 9:13]
    return _line(ROWS["brows"], np.full(len(columns), 3.0 - 0.75 * k), columns)


def _eyes(k: int) -> np.ndarray:
    part = np.full((4, SIDE), SKIN)
    part[1 - (k == 2) : 2 + (k > 0), np.r_[4:6, 10:12]] = 0.0  # one, two or three rows are open
    return part


def _mouth(k: int) -> np.ndarray:
    columns = np.arange(4, 12)
    bend = ((columns - 7.5) / 3.5) ** 2  # 1 at the corners
    return _line(ROWS["mouth"], 2.0 - (k - 2) * (bend - 0.5), columns)


def _voice(pitch: int, melody: int) -> np.ndarray:
    ridge = 2.5 + pitch + 1.5 * (melody - 1) * np.linspace(-1, 1, MOMENTS)
    return np.exp(-((np.arange(BANDS) - ridge[:, None]) ** 2) / (2 * 0.8**2))


TEMPLATE = {
    "brows": np.stack([_brows(k) for k in range(5)]),  # [k, rows, 16]
    "eyes": np.stack([_eyes(k) for k in range(3)]),
    "mouth": np.stack([_mouth(k) for k in range(5)]),
    "voice": np.stack([[_voice(k, j) for j in range(3)] for k in range(7)]),  # [k, j, 8, 12]
}
"""The parts without noise, for every place."""


def draw(rng: np.random.Generator, chances: np.ndarray) -> np.ndarray:
    """One number for each row of chances [N, K], int [N], with these probabilities."""
    edge = np.cumsum(chances, axis=-1)
    edge = edge / edge[..., -1:]  # the last is 1 to the last bit, so no draw falls outside
    return (rng.random(chances.shape[:-1])[..., None] >= edge).sum(axis=-1)


def draw_faces(rng, states, group, baseline, look) -> np.ndarray:
    """Faces float32 [N, 16, 16]: hair of the learner, parts by chance, and noise on all.

    states, group, baseline int [N]; look [N, 3, 16], the learner's hair, which no state changes.
    """
    clean = np.empty((len(states), SIDE, SIDE))
    clean[:, HAIR] = look
    for part, rows in ROWS.items():
        clean[:, rows] = TEMPLATE[part][draw(rng, POSITION[part][group, baseline, states])]
    return (clean + FACE_NOISE * rng.normal(size=clean.shape)).astype(np.float32)


def draw_voices(rng, states, baseline) -> np.ndarray:
    """Voices float32 [N, 8, 12]: a ridge by chance + noise."""
    pitch, melody = (draw(rng, POSITION[p][baseline, states]) for p in ("pitch", "melody"))
    clean = TEMPLATE["voice"][pitch, melody]
    return (clean + VOICE_NOISE * rng.normal(size=clean.shape)).astype(np.float32)


def draw_answers(rng, states, exercise) -> tuple[np.ndarray, np.ndarray]:
    """Whether the answer is correct, bool [N], and its words, int [N, 2]."""
    correct = rng.random(len(states)) < CORRECT[states, exercise]
    words = np.stack([draw(rng, WORD[states]) for _ in range(WORDS_EACH)], axis=1)
    return correct, words


def answer_text(correct: bool, words: np.ndarray) -> str:
    """An answer as it is read: "right: got, next"."""
    return f"{'right' if correct else 'wrong'}: {', '.join(VOCABULARY[w] for w in words)}"
