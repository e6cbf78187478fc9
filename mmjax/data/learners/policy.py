"""The next exercise: what each choice is worth, and the choice under a belief.

Q_h(s, a) = g(s, a) + Σ_s' A[a, s, s'] V_{h-1}(s'),   V_h(s) = max_a Q_h(s, a),   V_0 = 0

Sources: Bellman (1957) for the recursion; Littman, Cassandra & Kaelbling (1995), QMDP, for the
choice by the mean of Q under a belief.
"""

from collections.abc import Callable

import numpy as np

from mmjax.checks import require
from mmjax.data.learners.sessions import Choice, Sessions
from mmjax.data.learners.world import GAIN, START, TRANSITION


def exercise_values(
    horizon: int, gain: np.ndarray = GAIN, transition: np.ndarray = TRANSITION
) -> np.ndarray:
    """Q_h(s, a) for h = 1 … horizon exercises to go: [horizon, S, A]; entry h − 1 is Q_h.

    gain g [S, A], transition A [A, S, S]. Q_1 = g looks one exercise ahead and no further. Raises
    ValueError for a horizon below 1 or tables that do not fit.
    """
    where = "exercise_values"
    require(horizon >= 1, where, "horizon", expected="at least 1", got=horizon)
    states, actions = gain.shape
    shape = (actions, states, states)
    require(transition.shape == shape, where, "transition", expected=str(shape), got=transition)
    value, out = np.zeros(states), []
    for _ in range(horizon):
        q = gain + np.einsum("ast,t->sa", transition, value)
        value = q.max(axis=1)
        out.append(q)
    return np.stack(out)


def choose_exercise(belief: np.ndarray, q: np.ndarray) -> np.ndarray:
    """argmax_a Σ_s b(s) Q(s, a): belief b [N, S], Q [S, A] → int [N]; of equals, the easier.

    Raises ValueError for shapes that do not fit or a belief that does not sum to 1 (to 1e-3).
    """
    where = "choose_exercise"
    fits = belief.ndim == 2 and belief.shape[1] == q.shape[0]
    require(fits, where, "belief", expected=f"[N, {q.shape[0]}]", got=belief)
    proper = bool(np.allclose(belief.sum(axis=1), 1, atol=1e-3) and (belief >= 0).all())
    require(proper, where, "belief", expected="rows ≥ 0 that sum to 1", got=belief)
    return (belief @ q).argmax(axis=1)


def belief_policy(
    beliefs: Callable[[Sessions], np.ndarray], number: int, steps: int, *, far: bool = True
) -> Choice:
    """A `choose` for `run_sessions`: `choose_exercise` under beliefs(past) [N, S] after the past.

    Before the first exercise the belief is p(s_0). number: N, how many learners. far: whether to
    plan to the end of the session of so many steps; else only the gain of the next exercise counts.
    """
    q = exercise_values(steps)

    def choose(t: int, past: Sessions | None) -> np.ndarray:
        belief = np.broadcast_to(START, (number, len(START))) if past is None else beliefs(past)
        return choose_exercise(belief, q[steps - t - 1 if far else 0])

    return choose
