"""The best possible belief about a learner: the forward algorithm, exact, from any modalities.

Hidden are the state s_t, which moves, and what stays: the group g and the two baselines f and v.
With all four in one chain, the belief after t steps is exact. Source: Rabiner (1989), section III,
for the forward algorithm.
"""

from collections.abc import Collection

import numpy as np

from mmjax.checks import require_one_of
from mmjax.data.learners.sessions import Sessions
from mmjax.data.learners.signals import ROWS, TEMPLATE
from mmjax.data.learners.world import (
    CORRECT,
    FACE_BASELINES,
    FACE_NOISE,
    GROUPS,
    MODALITIES,
    POSITION,
    RARE_SHARE,
    START,
    TRANSITION,
    VOICE_BASELINES,
    VOICE_NOISE,
    WORD,
)

SHAPE = (len(GROUPS), len(FACE_BASELINES), len(VOICE_BASELINES), len(START))
"""Sizes of group, face baseline, voice baseline and state in every table: [G, F, V, S]."""


def log_likelihoods(sessions: Sessions, reads: Collection[str]) -> np.ndarray:
    """log p(what is read of step t | g, f, v, s) + a constant of the step: [N, T, G, F, V, S].

    reads: some of MODALITIES, in any order; of none, everything is 0. Raises ValueError for
    another name.
    """
    for name in reads:
        require_one_of(name, MODALITIES, "log_likelihoods", "reads")
    total = np.zeros((*sessions.states.shape, 1, 1, 1, SHAPE[3]))
    if "face" in reads:
        total = total + _face(sessions.faces)[:, :, :, :, None, :]
    if "voice" in reads:
        total = total + _voice(sessions.voices)[:, :, None, None, :, :]
    if "text" in reads:
        total = total + _text(sessions)[:, :, None, None, None, :]
    return total  # axes of size 1 where nothing depends on them: a text needs no table of faces


def _match(x: np.ndarray, templates: np.ndarray, noise: float) -> np.ndarray:
    """log N(x; template, σ²) without what all templates share: x [..., P], [K, P] → [..., K]."""
    return (x @ templates.T - (templates**2).sum(axis=1) / 2) / noise**2


def _mixture(score: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """log Σ_k chance[…, k] e^{score[n, t, k]}: [N, T, K], [..., K] → [N, T, ...]."""
    top = score.max(axis=-1, keepdims=True)
    total = np.exp(score - top) @ chance.reshape(-1, chance.shape[-1]).T
    found = np.log(np.maximum(total, 1e-300)) + top
    return found.reshape(*score.shape[:2], *chance.shape[:-1])


def _face(faces: np.ndarray) -> np.ndarray:
    """[N, T, G, F, S]; the hair is left out, as it says nothing of the state."""
    total = 0.0
    for part, rows in ROWS.items():
        x = faces[:, :, rows].reshape(*faces.shape[:2], -1).astype(np.float64)
        templates = TEMPLATE[part].reshape(len(TEMPLATE[part]), -1)
        total = total + _mixture(_match(x, templates, FACE_NOISE), POSITION[part])
    return total


def _voice(voices: np.ndarray) -> np.ndarray:
    """[N, T, V, S]."""
    x = voices.reshape(*voices.shape[:2], -1).astype(np.float64)
    pitch, melody = POSITION["pitch"], POSITION["melody"]
    both = pitch[:, :, :, None] * melody[:, :, None, :]  # [V, S, k, j]
    templates = TEMPLATE["voice"].reshape(-1, x.shape[-1])
    return _mixture(_match(x, templates, VOICE_NOISE), both.reshape(*both.shape[:2], -1))


def _text(sessions: Sessions) -> np.ndarray:
    """[N, T, S]."""
    right = CORRECT[:, sessions.exercises].transpose(1, 2, 0)  # p(correct | s, a_t)
    answer = np.where(sessions.correct[..., None], right, 1 - right)
    return np.log(answer) + np.log(WORD[:, sessions.words]).sum(axis=-1).transpose(1, 2, 0)


def filter_sessions(
    sessions: Sessions, reads: Collection[str] = MODALITIES, *, rare_share: float = RARE_SHARE
) -> np.ndarray:
    """The belief after each step, p(g, f, v, s_t | all that was read up to t): [N, T, G, F, V, S].

    predict  p(s_t, g, f, v | o_<t) = Σ_s A[a_t, s, s_t] p(s_{t-1} = s, g, f, v | o_<t)
    update   p(s_t, g, f, v | o_≤t) ∝ p(o_t | s_t, g, f, v) p(s_t, g, f, v | o_<t)

    Axes on which the belief does not depend have size 1 where no modality reads them (a text says
    nothing of the group), so sum over them as if they were there. Raises as `log_likelihoods`.
    """
    table = log_likelihoods(sessions, reads)
    belief = np.broadcast_to(prior(rare_share, table.shape[2:]), (len(table), *table.shape[2:]))
    out = []
    for t in range(table.shape[1]):
        move = TRANSITION[sessions.exercises[:, t]]  # [N, s, s']
        belief = np.einsum("ngfvs,nsz->ngfvz", belief, move, optimize=True)
        belief = normalised(belief, table[:, t])
        out.append(belief)
    return np.stack(out, axis=1)


def prior(rare_share: float, shape: tuple[int, ...]) -> np.ndarray:
    """p(g, f, v, s_0), summed over the axes that have size 1 in `shape` [G, F, V, S]."""
    group = np.array([1 - rare_share, rare_share])
    chances = [group, *(np.full(n, 1 / n) for n in SHAPE[1:3]), START]
    parts = [p if n > 1 else p.sum(keepdims=True) for p, n in zip(chances, shape, strict=True)]
    return np.einsum("g,f,v,s->gfvs", *parts)


def normalised(belief: np.ndarray, log_likelihood: np.ndarray) -> np.ndarray:
    """belief · e^{log-likelihood}, each row of the first axis scaled to the sum 1."""
    axes = tuple(range(1, belief.ndim))
    new = belief * np.exp(log_likelihood - log_likelihood.max(axis=axes, keepdims=True))
    return new / new.sum(axis=axes, keepdims=True)


def of_state(belief: np.ndarray) -> np.ndarray:
    """p(s_t | …): [..., G, F, V, S] summed over all but the state, [..., S]."""
    return belief.sum(axis=(-4, -3, -2))


def of_one_step(
    sessions: Sessions, reads: Collection[str] = MODALITIES, *, rare_share: float = RARE_SHARE
) -> np.ndarray:
    """p(s_t | o_t, a_t) of each step on its own, for exercises at random: [N, T, S].

    What comes before is not known, so s_{t-1} has its distribution under random exercises.
    """
    table = log_likelihoods(sessions, reads)
    start, out = prior(rare_share, table.shape[2:]), []
    mean_move = TRANSITION.mean(axis=0)
    for t in range(table.shape[1]):
        came = np.einsum("gfvs,nsz->ngfvz", start, TRANSITION[sessions.exercises[:, t]])
        out.append(of_state(normalised(came, table[:, t])))
        start = start @ mean_move
    return np.stack(out, axis=1)


def of_known_baseline(sessions: Sessions, reads: Collection[str] = MODALITIES) -> np.ndarray:
    """p(s_t | o_≤t, group and baselines), of a filter that knows who it is: [N, T, S].

    The limit of what adaptation to the learner can reach.
    """
    table = log_likelihoods(sessions, reads)
    who, n = sessions.learners, np.arange(len(table))
    index = [
        np.minimum(i, size - 1)
        for i, size in zip(
            (who.group, who.face_baseline, who.voice_baseline), table.shape[2:5], strict=True
        )
    ]
    table = table[n, :, index[0], index[1], index[2]]  # [N, T, S]
    belief, out = np.broadcast_to(START, (len(table), len(START))), []
    for t in range(table.shape[1]):
        move = TRANSITION[sessions.exercises[:, t]]
        belief = normalised(np.einsum("ns,nsz->nz", belief, move), table[:, t])
        out.append(belief)
    return np.stack(out, axis=1)
