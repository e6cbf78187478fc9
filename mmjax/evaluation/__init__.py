"""Evaluation: ranking, zero-shot naming, decoding, caption metrics (chapters 3.2 and 5)."""

from mmjax.evaluation.beam_search import beam_search
from mmjax.evaluation.decoding import Decoded, Sampling, generate
from mmjax.evaluation.prompts import ensemble_templates, fill_templates
from mmjax.evaluation.retrieval import median_rank, rank_of_target, recall_at_k
from mmjax.evaluation.retrieval_groups import (
    chance_recall_at_k,
    rank_in_groups,
    recall_by_lot,
    recall_in_groups,
)
from mmjax.evaluation.search import search
from mmjax.evaluation.zero_shot import encode_in_batches, zero_shot_scores

__all__ = [
    "Decoded",
    "Sampling",
    "beam_search",
    "chance_recall_at_k",
    "encode_in_batches",
    "ensemble_templates",
    "fill_templates",
    "generate",
    "median_rank",
    "rank_in_groups",
    "rank_of_target",
    "recall_at_k",
    "recall_by_lot",
    "recall_in_groups",
    "search",
    "zero_shot_scores",
]
