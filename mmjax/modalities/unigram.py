"""Parts of words as tokens by their probabilities: the unigram language model.

Kudo 2018, "Subword Regularization", section 3.2. Each piece x of the vocabulary has a probability
p(x), and a text is cut so that the product over its pieces is largest. Byte pairs, in contrast,
are joined by rules, in the order in which the rules were learned.
"""

from collections.abc import Mapping

import numpy as np

UNKNOWN_PENALTY = 10.0
"""How much worse than the rarest piece a character that no piece covers is, in ln p."""


def best_split(
    text: str, log_probabilities: Mapping[str, float], longest: int, unknown: float
) -> list[str]:
    """Cuts a text into its most probable pieces (Viterbi 1967).

        best(0) = 0,   best(t) = max over s < t with x_{s:t} in the vocabulary of
                                 best(s) + ln p(x_{s:t})

    A single character that is no piece counts as one with ln p = `unknown`. Of equal sums the one
    with the earliest s stays, which is the longest last piece. Sums are in float32, as in the code
    that made the published vocabularies; another precision decides near ties in another way.

    `longest` is the number of characters of the longest piece.
    """
    best = [np.float32(0)] + [np.float32(-np.inf)] * len(text)
    start_of = [0] * (len(text) + 1)
    for s in range(len(text)):
        for t in range(s + 1, min(s + longest, len(text)) + 1):
            score = log_probabilities.get(text[s:t], unknown if t == s + 1 else None)
            if score is not None and best[s] + score > best[t]:
                best[t], start_of[t] = best[s] + score, s
    pieces, t = [], len(text)
    while t > 0:
        pieces.append(text[start_of[t] : t])
        t = start_of[t]
    return pieces[::-1]
