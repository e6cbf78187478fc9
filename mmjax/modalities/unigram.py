"""Parts of words as tokens by their probabilities: the unigram language model.

Kudo 2018, "Subword Regularization", section 3.2. Each piece x of the vocabulary has a probability
p(x), and a text is cut so that the product over its pieces is largest. Byte pairs, in contrast,
are joined by rules, in the order in which the rules were learned.
"""

from collections.abc import Sequence

import numpy as np

UNKNOWN_PENALTY = 10.0
"""How much worse than the rarest piece a character that no piece covers is, in ln p."""


def best_split(
    text: str, log_probabilities: dict[str, float], longest: int, unknown: float
) -> list[tuple[int, int]]:
    """Cuts a text into its most probable pieces (Viterbi 1967); returns (start, end) of each.

        best(0) = 0,   best(t) = max over s < t with x_{s:t} in the vocabulary of
                                 best(s) + ln p(x_{s:t})

    A single character that is no piece counts as one with ln p = `unknown`. Of equal sums the one
    with the earliest s is kept, which is the longest piece. Sums are in float32, as in the code
    that made the published vocabularies; another precision decides near ties in another way.

    `longest` is the number of characters of the longest piece.
    """
    best = [np.float32(0)] + [np.float32(-np.inf)] * len(text)
    start_of = [0] * (len(text) + 1)
    for s in range(len(text)):
        for t in range(s + 1, min(s + longest, len(text)) + 1):
            score = log_probabilities.get(text[s:t], unknown if t == s + 1 else None)
            if score is not None and best[s] + np.float32(score) > best[t]:
                best[t], start_of[t] = best[s] + np.float32(score), s
    return _backwards(start_of)


def _backwards(start_of: Sequence[int]) -> list[tuple[int, int]]:
    pieces, t = [], len(start_of) - 1
    while t > 0:
        pieces.append((start_of[t], t))
        t = start_of[t]
    return pieces[::-1]
