"""Evaluation: ranking, zero-shot naming, decoding, caption metrics (chapters 3.2 and 5)."""

from mmjax.evaluation.beam_search import (
    beam_search,
)
from mmjax.evaluation.decoding import (
    Decoded,
    Sampling,
    generate,
)
from mmjax.evaluation.key_frames import (
    cluster_frames,
    greedy_coverage,
    k_means,
    random_frames,
    top_frames,
    uniform_frames,
)
from mmjax.evaluation.prompts import (
    ensemble_templates,
    fill_templates,
)
from mmjax.evaluation.ranking import (
    dcg_at_k,
    ndcg_at_k,
    relevant_recall_at_k,
)
from mmjax.evaluation.retrieval import (
    median_rank,
    rank_of_target,
    recall_at_k,
)
from mmjax.evaluation.retrieval_groups import (
    chance_recall_at_k,
    rank_in_groups,
    recall_by_lot,
    recall_in_groups,
)
from mmjax.evaluation.scaling import (
    ScalingLaw,
    bootstrap_scaling_law,
    fit_scaling_law,
)
from mmjax.evaluation.search import (
    search,
)
from mmjax.evaluation.summaries import (
    key_frame_score,
    match_frames,
)
from mmjax.evaluation.zero_shot import (
    encode_in_batches,
    zero_shot_scores,
)

__all__ = [
    "Decoded",
    "Sampling",
    "ScalingLaw",
    "beam_search",
    "bootstrap_scaling_law",
    "chance_recall_at_k",
    "cluster_frames",
    "dcg_at_k",
    "encode_in_batches",
    "ensemble_templates",
    "fill_templates",
    "fit_scaling_law",
    "generate",
    "greedy_coverage",
    "k_means",
    "key_frame_score",
    "match_frames",
    "median_rank",
    "ndcg_at_k",
    "random_frames",
    "rank_in_groups",
    "rank_of_target",
    "recall_at_k",
    "recall_by_lot",
    "recall_in_groups",
    "relevant_recall_at_k",
    "search",
    "top_frames",
    "uniform_frames",
    "zero_shot_scores",
]
