"""BLEU: how many of the candidate's n-grams the references have, and is it long enough.

Source: Papineni et al. (2002), "BLEU: a method for automatic evaluation of machine translation".
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.evaluation.caption_metrics.tokens import References, check_captions, ngrams

_TINY, _SMALL = 1e-15, 1e-9  # the constants of the COCO caption evaluation


def bleu(
    candidates: Sequence[str],
    references: References,
    *,
    orders: int = 4,
    smoothing: str = "none",
) -> np.ndarray:
    """BLEU-1 … BLEU-`orders` of the whole corpus, float64 [orders], from 0 to 1.

    BLEU_n = BP (p_1 ⋯ p_n)^(1/n),   BP = min(1, exp(1 − r/c)),
    p_k = Σ clipped counts of k-grams / Σ counts of k-grams, the sums over all candidates,

    where a k-gram's count is clipped at the most that a single reference has, c is the length of
    all candidates and r that of the closest references (the shorter of two equally close ones).

    smoothing: "none" leaves p_k = 0 where nothing fits, and so every BLEU_n with n ≥ k is 0, as
    sacrebleu with smooth_method="none"; its default smooths. "coco" adds 1e-15 to each numerator
    and 1e-9 to each denominator, as the COCO caption evaluation does; then 0 becomes, for example,
    (p_1 p_2 p_3 · 1e-15/c_4)^(1/4), which is small but not nothing. A corpus without a word scores
    0.

    Raises ValueError for `orders` below 1, another smoothing, or texts that `check_captions`
    refuses. Source: Papineni et al. (2002), section 2.3; unlike a mean over sentences, one short
    sentence without a 4-gram does not make the corpus 0.
    """
    where = "bleu"
    require(orders >= 1, where, "orders", expected="at least 1", got=orders)
    require_one_of(smoothing, ("none", "coco"), where, "smoothing")
    hits, counts = np.zeros((2, orders))
    length = closest = 0
    for words, texts in zip(*check_captions(candidates, references, where), strict=True):
        length += len(words)
        closest += min((abs(len(text) - len(words)), len(text)) for text in texts)[1]
        for n in range(orders):
            own, most = ngrams(words, n + 1), Counter()
            for text in texts:
                most |= ngrams(text, n + 1)  # the maximum of each count
            hits[n] += (own & most).total()  # the minimum of each count
            counts[n] += own.total()
    if smoothing == "coco":
        precisions = (hits + _TINY) / (counts + _SMALL)
        ratio = (length + _TINY) / (closest + _SMALL)
    else:
        precisions = hits / np.maximum(counts, 1)
        ratio = length / closest if closest else 1.0
    if hits[0] == 0 and smoothing == "none":
        return np.zeros(orders)
    brevity = 1.0 if ratio >= 1 else math.exp(1 - 1 / ratio)
    return brevity * np.cumprod(precisions) ** (1 / np.arange(1, orders + 1))
