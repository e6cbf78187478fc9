"""CIDEr-D: n-grams that say something about this picture count more than those of all pictures.

Source: Vedantam et al. (2015), "CIDEr: consensus-based image description evaluation", with the
changes of its appendix (CIDEr-D) that the COCO caption evaluation computes.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mmjax.evaluation.caption_metrics.tokens import References, check_captions, ngrams

ORDERS, SIGMA = 4, 6.0


def cider_d(candidates: Sequence[str], references: References) -> np.ndarray:
    """CIDEr-D of each candidate, float64 [N], from 0 to 10; the score of a corpus is the mean.

    10/4 Σ_{n=1}^{4} mean over r of  e^{−(|c| − |r|)² / 2σ²}  min(g_c, g_r) · g_r / (‖g_c‖ ‖g_r‖)

    with σ = 6 and g the vector over all n-grams w of count(w) · log(N / max(1, df(w))); df(w) is
    the number of pictures of which some reference contains w. A vector of length 0 scores 0.

    The weights come from the references of this call. With a single picture every n-gram of a
    reference occurs in all pictures, and every score is 0.

    Raises TypeError or ValueError for texts that `check_captions` refuses.
    Source: Vedantam et al. (2015), equations 1 to 5; no stemming. Lengths are in words. The code of
    the COCO evaluation counts pairs of words, which gives the same differences.
    """
    rows, texts = check_captions(candidates, references, "cider_d")
    scores = np.zeros(len(rows))
    for n in range(1, ORDERS + 1):
        counted = [[ngrams(text, n) for text in group] for group in texts]
        pictures = Counter(gram for group in counted for gram in set().union(*group))
        for i, (words, group) in enumerate(zip(rows, texts, strict=True)):
            own = _weighted(ngrams(words, n), pictures, len(rows))
            others = [_weighted(counts, pictures, len(rows)) for counts in counted[i]]
            similar = [
                _similarity(own, other, len(words) - len(text))
                for other, text in zip(others, group, strict=True)
            ]
            scores[i] += 10 / ORDERS * np.mean(similar)
    return scores


def _weighted(counts: Counter, pictures: Counter, total: int) -> dict:
    """count(w) · log(N / max(1, df(w))) for each n-gram w."""
    return {w: count * math.log(total / max(1, pictures[w])) for w, count in counts.items()}


def _similarity(own: dict, other: dict, longer: int) -> float:
    """The clipped cosine, less for a text that is longer or shorter."""
    norms = math.sqrt(sum(v * v for v in own.values()) * sum(v * v for v in other.values()))
    if norms == 0:
        return 0.0
    common = sum(min(own[w], other[w]) * other[w] for w in own.keys() & other.keys())
    return common / norms * math.exp(-(longer**2) / (2 * SIGMA**2))
