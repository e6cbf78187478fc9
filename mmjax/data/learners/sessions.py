"""Learners and their sessions: who they are, and what happens to them exercise by exercise."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from mmjax.checks import require, require_type
from mmjax.data.learners.signals import SIDE, draw, draw_answers, draw_faces, draw_voices
from mmjax.data.learners.world import (
    EXERCISES,
    FACE_BASELINES,
    GAIN,
    RARE_SHARE,
    START,
    TRANSITION,
    VOICE_BASELINES,
)


@dataclass(frozen=True)
class Learners:
    """N learners: what stays the same over a session. Of `draw_learners`.

    Attributes:
        group: int [N], an index into GROUPS.
        face_baseline, voice_baseline: int [N], indices into the tables of baselines.
        look: float [N, 3, 16], the hair, each pixel uniform on 0 to 1.
    """

    group: np.ndarray
    face_baseline: np.ndarray
    voice_baseline: np.ndarray
    look: np.ndarray

    def __len__(self):
        return len(self.group)


@dataclass(frozen=True)
class Sessions:
    """N sessions of T steps. At step t: exercise a_t is given, the state moves, signals are seen.

    Attributes:
        learners: who.
        before: int [N], the state s_0 before the first exercise.
        exercises: int [N, T], a_t.
        states: int [N, T], s_t, after the exercise.
        faces: float32 [N, T, 16, 16].
        voices: float32 [N, T, 8, 12].
        correct: bool [N, T], whether the answer was right.
        words: int [N, T, 2], indices into VOCABULARY.
    """

    learners: Learners
    before: np.ndarray
    exercises: np.ndarray
    states: np.ndarray
    faces: np.ndarray
    voices: np.ndarray
    correct: np.ndarray
    words: np.ndarray

    @property
    def gains(self) -> np.ndarray:
        """float [N, T]: g(s_{t-1}, a_t), the mean gain of the exercise for who received it."""
        was = np.concatenate([self.before[:, None], self.states[:, :-1]], axis=1)
        return GAIN[was, self.exercises]

    def first(self, steps: int) -> "Sessions":
        """The same sessions, cut after so many steps."""
        cut = {f.name: getattr(self, f.name) for f in fields(self)}
        same = ("learners", "before")
        return Sessions(**{k: v if k in same else v[:, :steps] for k, v in cut.items()})


Choice = Callable[[int, Sessions | None], np.ndarray]
"""choose(t, past) → int [N]: the exercise of step t (from 0), given the t steps before it."""


def draw_learners(number: int, *, seed: int, rare_share: float = RARE_SHARE) -> Learners:
    """N learners from the model: group, two baselines and a look, all independent.

    rare_share: p(group smiling). Raises ValueError for a number below 1 or a share outside 0 to 1.
    """
    where = "draw_learners"
    require(number >= 1, where, "number", expected="at least 1", got=number)
    ok = 0 <= rare_share <= 1
    require(ok, where, "rare_share", expected="from 0 to 1", got=rare_share)
    rng = np.random.default_rng([seed, 0])
    group = (rng.random(number) < rare_share).astype(int)
    face, voice = (rng.integers(len(b), size=number) for b in (FACE_BASELINES, VOICE_BASELINES))
    return Learners(group, face, voice, rng.random((number, 3, SIDE)))


def run_sessions(
    learners: Learners, steps: int, *, seed: int, choose: Choice | None = None
) -> Sessions:
    """Sessions of T steps, the exercises chosen by `choose`, or at random without it.

    `choose` sees the steps before, `None` at first; it should look at signals and exercises only,
    unless it is to play the oracle. Raises ValueError for less than one step or choices that are
    not [N] from 0 to 2, TypeError for choices that are no whole numbers.
    """
    require(steps >= 1, "run_sessions", "steps", expected="at least 1", got=steps)
    # The exercises at random have a stream of their own.
    rng, other, n = (
        np.random.default_rng([seed, 1]),
        np.random.default_rng([seed, 2]),
        len(learners),
    )
    before = state = draw(rng, np.broadcast_to(START, (n, len(START))))
    past: list[tuple] = []
    for t in range(steps):
        if choose is None:
            exercise = other.integers(len(EXERCISES), size=n)
        else:
            exercise = check_choice(choose(t, stack(learners, before, past)), n)
        state = draw(rng, TRANSITION[exercise, state])
        face = draw_faces(rng, state, learners.group, learners.face_baseline, learners.look)
        voice = draw_voices(rng, state, learners.voice_baseline)
        past.append((exercise, state, face, voice, *draw_answers(rng, state, exercise)))
    return stack(learners, before, past)


def stack(learners: Learners, before: np.ndarray, past: list[tuple]) -> Sessions | None:
    """The steps so far as Sessions; None before the first."""
    if not past:
        return None
    columns = (np.stack(column, axis=1) for column in zip(*past, strict=True))
    return Sessions(learners, before, *columns)


def check_choice(exercise, number: int) -> np.ndarray:
    """The chosen exercises as int [N]; raises if they are none."""
    exercise, where, name = np.asarray(exercise), "run_sessions", "choose"
    whole = np.issubdtype(exercise.dtype, np.integer)
    require_type(whole, where, name, expected="to return whole numbers", got=exercise)
    fits = exercise.shape == (number,)
    require(fits, where, name, expected=f"to return [{number}]", got=exercise)
    inside = bool(((exercise >= 0) & (exercise < len(EXERCISES))).all())
    require(inside, where, name, expected="to return numbers from 0 to 2", got=str(exercise))
    return exercise
