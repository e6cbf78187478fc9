"""Training: the optimizer, the compiled step, the loop (chapters 3 and 5)."""

from mmjax.training.loop import History, batches, fit
from mmjax.training.optimizer import adamw, warmup_cosine
from mmjax.training.step import (
    TrainState,
    init_state,
    make_train_step,
    make_train_steps,
    with_parameters,
)

__all__ = [
    "History",
    "TrainState",
    "adamw",
    "batches",
    "fit",
    "init_state",
    "make_train_step",
    "make_train_steps",
    "warmup_cosine",
    "with_parameters",
]
