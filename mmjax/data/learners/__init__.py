"""Learners as a probability model: signals, the best belief, the next exercise (section 5.6)."""

from mmjax.data.learners.bayes import (
    filter_sessions,
    log_likelihoods,
    of_known_baseline,
    of_one_step,
    of_state,
)
from mmjax.data.learners.policy import belief_policy, choose_exercise, exercise_values
from mmjax.data.learners.sessions import Learners, Sessions, draw_learners, run_sessions
from mmjax.data.learners.signals import answer_text
from mmjax.data.learners.tokens import step_tokens
from mmjax.data.learners.world import EXERCISES, GROUPS, MODALITIES, STATES

__all__ = [
    "EXERCISES",
    "GROUPS",
    "MODALITIES",
    "STATES",
    "Learners",
    "Sessions",
    "answer_text",
    "belief_policy",
    "choose_exercise",
    "draw_learners",
    "exercise_values",
    "filter_sessions",
    "log_likelihoods",
    "of_known_baseline",
    "of_one_step",
    "of_state",
    "run_sessions",
    "step_tokens",
]
