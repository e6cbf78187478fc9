"""ROUGE-L: the longest common subsequence of candidate and reference.

Source: Lin (2004), "ROUGE: a package for automatic evaluation of summaries", section 3.1.
"""

from collections.abc import Sequence

import numpy as np

from mmjax.evaluation.caption_metrics.tokens import References, Words, check_captions

BETA = 1.2
"""How much more recall counts than precision, as in the COCO caption evaluation."""


def rouge_l(candidates: Sequence[str], references: References) -> np.ndarray:
    """ROUGE-L of each candidate, float64 [N], from 0 to 1; the score of a corpus is the mean.

    F = (1 + β²) P R / (R + β² P),   P = max_r LCS(c, r) / |c|,   R = max_r LCS(c, r) / |r|,

    β = 1.2, the maxima over the references r. LCS is the length of the longest sequence of words
    that occurs in both in this order, with gaps. No common word, or no word at all: 0.

    Raises TypeError or ValueError for texts that `check_captions` refuses.
    Source: Lin (2004), equations 2 to 4; the maxima and β are those of the COCO evaluation.
    """
    scores = []
    for words, texts in zip(*check_captions(candidates, references, "rouge_l"), strict=True):
        common = np.array([longest_common_subsequence(words, text) for text in texts])
        precision = (common / max(1, len(words))).max()
        recall = (common / np.maximum(1, [len(text) for text in texts])).max()
        lower = recall + BETA**2 * precision
        scores.append((1 + BETA**2) * precision * recall / lower if lower else 0.0)
    return np.array(scores)


def longest_common_subsequence(a: Words, b: Words) -> int:
    """Its length, by dynamic programming over two rows: O(|a| |b|) steps."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = row
        row = [0]
        for j, other in enumerate(b, start=1):
            row.append(before[j - 1] + 1 if word == other else max(before[j], row[j - 1]))
    return row[-1]
