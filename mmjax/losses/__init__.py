"""Losses: contrastive ones, where a picture should fit its own text best, and cross-entropy."""

from mmjax.losses.all_pairs import all_pairs_loss
from mmjax.losses.blockwise import blockwise_clip_loss
from mmjax.losses.classification import cross_entropy
from mmjax.losses.contrastive import clip_loss, info_nce
from mmjax.losses.multi_label import multi_label_loss
from mmjax.losses.next_token import next_token_loss, shift_by_one
from mmjax.losses.sigmoid import sigmoid_loss
from mmjax.losses.similarity import MAX_LOGIT_SCALE, check_pairs, normalize, similarity_logits

__all__ = [
    "MAX_LOGIT_SCALE",
    "all_pairs_loss",
    "blockwise_clip_loss",
    "check_pairs",
    "clip_loss",
    "cross_entropy",
    "info_nce",
    "multi_label_loss",
    "next_token_loss",
    "normalize",
    "shift_by_one",
    "sigmoid_loss",
    "similarity_logits",
]
