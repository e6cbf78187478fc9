"""Exact match and word F1: the plain measures, for short texts such as names.

Source: Rajpurkar et al. (2016), SQuAD, section 6.1; without its removal of articles.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mmjax.evaluation.caption_metrics.tokens import References, check_captions


def exact_match(candidates: Sequence[str], references: References) -> np.ndarray:
    """1.0 where a candidate has the words of one of its references in their order: float64 [N].

    Raises TypeError or ValueError for texts that `check_captions` refuses.
    """
    rows, texts = check_captions(candidates, references, "exact_match")
    return np.array([float(words in group) for words, group in zip(rows, texts, strict=True)])


def word_f1(candidates: Sequence[str], references: References) -> np.ndarray:
    """The F1 of the words, whatever their order; the best over the references: float64 [N].

    F1 = 2 |c ∩ r| / (|c| + |r|), with words counted as often as they occur. Two texts without a
    word agree, F1 = 1. Raises TypeError or ValueError for texts that `check_captions` refuses.
    """
    rows, texts = check_captions(candidates, references, "word_f1")
    pairs = zip(rows, texts, strict=True)
    return np.array([max(_f1(words, text) for text in group) for words, group in pairs])


def _f1(words: list[str], text: list[str]) -> float:
    if not words and not text:
        return 1.0
    return 2 * (Counter(words) & Counter(text)).total() / (len(words) + len(text))
