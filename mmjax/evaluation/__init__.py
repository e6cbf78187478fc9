"""Evaluation: ranking, zero-shot naming, decoding, caption metrics (chapters 3.2 and 5)."""

from mmjax.evaluation.beam_search import beam_search
from mmjax.evaluation.decoding import Decoded, Sampling, generate
from mmjax.evaluation.probe import linear_probe, ridge
from mmjax.evaluation.prompts import ensemble_templates, fill_templates
from mmjax.evaluation.retrieval import median_rank, rank_of_target, recall_at_k
from mmjax.evaluation.scaling import (
    ScalingLaw,
    bootstrap_scaling_law,
    fit_scaling_law,
    interval,
)
from mmjax.evaluation.search import search
from mmjax.evaluation.zero_shot import encode_in_batches, zero_shot_scores

__all__ = [
    "Decoded",
    "Sampling",
    "ScalingLaw",
    "beam_search",
    "bootstrap_scaling_law",
    "encode_in_batches",
    "ensemble_templates",
    "fill_templates",
    "fit_scaling_law",
    "generate",
    "interval",
    "linear_probe",
    "median_rank",
    "rank_of_target",
    "recall_at_k",
    "ridge",
    "search",
    "zero_shot_scores",
]
