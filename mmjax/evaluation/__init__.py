"""Evaluation: ranking and zero-shot naming (chapters 3.2 and 5)."""

from mmjax.evaluation.prompts import ensemble_templates, fill_templates
from mmjax.evaluation.retrieval import median_rank, rank_of_target, recall_at_k
from mmjax.evaluation.zero_shot import encode_in_batches, zero_shot_scores

__all__ = [
    "encode_in_batches",
    "ensemble_templates",
    "fill_templates",
    "median_rank",
    "rank_of_target",
    "recall_at_k",
    "zero_shot_scores",
]
