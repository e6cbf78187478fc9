"""Reference solutions of the exercises in notebooks/5_1_image_captioning.ipynb."""

import math
from collections import Counter

import numpy as np


def my_loss(z, targets, counts):
    """Log-sum-exp minus the logit that was wanted, over the real places of the batch (5.1.3)."""
    top = z.max(axis=-1)
    total = top + np.log(np.exp(z - top[..., None]).sum(axis=-1))
    wanted = np.take_along_axis(z, targets[..., None], axis=-1)[..., 0]
    return ((total - wanted) * counts).sum() / counts.sum()


def my_nucleus(probabilities, p):
    """A word stays if those before it have less than p together (5.1.13)."""
    order = np.argsort(-probabilities, kind="stable")
    before = np.cumsum(probabilities[order]) - probabilities[order]
    kept = np.zeros_like(probabilities)
    stay = order[before < p]
    kept[stay] = probabilities[stay]
    return kept / kept.sum()


def my_beam_step(total, ended, log_p):
    """The best K of all K V continuations; one that has ended has a single one (5.1.16)."""
    V = log_p.shape[1]
    gains = log_p.copy()
    gains[ended] = -np.inf
    gains[ended, 0] = 0
    reached = (total[:, None] + gains).ravel()
    best = np.argsort(-reached, kind="stable")[: len(total)]
    return best // V, best % V, reached[best]


def my_bleu_2(candidates, references):
    """Clipped words and pairs over the corpus, times the brevity penalty (5.1.17) to (5.1.19)."""
    hits, counts, c, r = [0, 0], [0, 0], 0, 0
    for candidate, group in zip(candidates, references, strict=True):
        words, texts = candidate.split(), [text.split() for text in group]
        c += len(words)
        r += min((abs(len(text) - len(words)), len(text)) for text in texts)[1]
        for n in (1, 2):
            own, most = _grams(words, n), Counter()
            for text in texts:
                most |= _grams(text, n)
            hits[n - 1] += sum((own & most).values())
            counts[n - 1] += sum(own.values())
    if 0 in hits:
        return 0.0
    product = hits[0] / counts[0] * hits[1] / counts[1]
    return min(1.0, math.exp(1 - r / c)) * math.sqrt(product)


def _grams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
