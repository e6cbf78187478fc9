"""Training: the optimizer, the compiled step, the loop (chapters 3 and 5)."""

from mmjax.training.augment import random_shift
from mmjax.training.contrastive import contrastive_loss, to_unit_range
from mmjax.training.loop import History, batches, fit
from mmjax.training.muon import muon, orthogonalize
from mmjax.training.optimizer import adamw, warmup_cosine
from mmjax.training.sampling import one_of_each
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
    "contrastive_loss",
    "fit",
    "init_state",
    "make_train_step",
    "make_train_steps",
    "muon",
    "one_of_each",
    "orthogonalize",
    "random_shift",
    "to_unit_range",
    "warmup_cosine",
    "with_parameters",
]
