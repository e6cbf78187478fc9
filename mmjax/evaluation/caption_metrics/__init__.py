"""How good is a caption? BLEU, ROUGE-L, CIDEr-D, exact match and word F1.

All take candidates, N texts, and references, N sequences of one or more texts. A word is what
stands between white space; nothing else is done to a text. Its case is kept and punctuation stays
where it is: normalise beforehand what should not count.
"""

from mmjax.evaluation.caption_metrics.bleu import bleu
from mmjax.evaluation.caption_metrics.cider import cider_d
from mmjax.evaluation.caption_metrics.rouge import rouge_l
from mmjax.evaluation.caption_metrics.words import exact_match, word_f1

__all__ = ["bleu", "cider_d", "exact_match", "rouge_l", "word_f1"]
