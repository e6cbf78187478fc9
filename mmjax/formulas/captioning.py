"""Section 5.1: the loss, the choice of a word, the best text, the caption metrics."""

import itertools
import math

import numpy as np


def teacher_forcing_loss(log_probabilities, texts, end):
    """−(Σ over texts and places of log p(next word)) / (number of places), end included (5.1.3).

    log_probabilities(words so far) → float64 [V]; texts: lists of words, without start and end.
    """
    total, places = 0.0, 0
    for text in texts:
        for t, word in enumerate([*text, end]):
            total -= float(log_probabilities(tuple(text[:t]))[word])
            places += 1
    return total / places


def tempered(logits, temperature=1.0):
    """softmax(z / temperature) (5.1.11)."""
    e = np.exp((np.asarray(logits, np.float64) - np.max(logits)) / temperature)
    return e / e.sum()


def top_k_set(logits, k):
    """The words with fewer than k words above them: ties with the k-th stay (5.1.12)."""
    return {w for w, z in enumerate(logits) if sum(other > z for other in logits) < k}


def nucleus_set(logits, p):
    """The fewest most probable words that have at least the probability p together (5.1.13)."""
    chances = tempered(logits)
    kept, total = [], 0.0
    for word in sorted(range(len(chances)), key=lambda w: (-chances[w], w)):
        kept.append(word)
        total += chances[word]
        if total >= p:
            break
    return set(kept)


def length_penalty(words, alpha):
    """((5 + n) / 6)^α (5.1.15)."""
    return ((5 + words) / 6) ** alpha


def best_text(log_probabilities, vocabulary, end, words, alpha=0.0):
    """The text of the highest log p / lp(n) among all of at most `words` tokens (5.1.14).

    A text ends with `end`, or is cut after `words` tokens. Returns it and its log p. Tries all.
    """
    others, found = [w for w in vocabulary if w != end], []
    for n in range(words + 1):
        for text in itertools.product(others, repeat=n):
            if n < words:
                found.append((*text, end))
            else:
                found.append(text)

    def log_p(text):
        return sum(float(log_probabilities(text[:t])[w]) for t, w in enumerate(text))

    scored = [(log_p(text) / length_penalty(len(text), alpha), text) for text in found]
    best = max(scored)[1]
    return best, log_p(best)


def _grams(words, n):
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def bleu(candidates, references, orders=4, tiny=0.0, small=0.0):
    """BLEU_n = min(1, e^{1 − r/c}) (p_1 ⋯ p_n)^{1/n} for n = 1 … orders (5.1.17) to (5.1.19).

    candidates: lists of words; references: lists of lists of words. tiny, small: what is added to
    each numerator and denominator.
    """
    c = sum(len(words) for words in candidates)
    r = 0
    for words, texts in zip(candidates, references, strict=True):
        nearest = sorted(texts, key=lambda text: (abs(len(text) - len(words)), len(text)))
        r += len(nearest[0])
    result = []
    for order in range(1, orders + 1):
        product = 1.0
        for n in range(1, order + 1):
            hits = total = 0
            for words, texts in zip(candidates, references, strict=True):
                own = _grams(words, n)
                total += len(own)
                for gram in set(own):
                    most = max(_grams(text, n).count(gram) for text in texts)
                    hits += min(own.count(gram), most)
            below = total + small
            product *= (hits + tiny) / below if below else 0.0
        ratio = (c + tiny) / (r + small) if r + small else 1.0
        brevity = 1.0 if ratio >= 1 or ratio == 0 else math.exp(1 - 1 / ratio)
        result.append(brevity * product ** (1 / order))
    return np.array(result)


def common_subsequence(a, b):
    """The length of the longest sequence in both, by its recursion (5.1.20)."""
    if not a or not b:
        return 0
    if a[-1] == b[-1]:
        return common_subsequence(a[:-1], b[:-1]) + 1
    return max(common_subsequence(a[:-1], b), common_subsequence(a, b[:-1]))


def rouge_l(words, texts, beta=1.2):
    """(1 + β²) P R / (R + β² P) of one candidate (5.1.21)."""
    common = [common_subsequence(tuple(words), tuple(text)) for text in texts]
    if max(common) == 0:
        return 0.0
    precision = max(common) / len(words)
    recall = max(n / len(text) for n, text in zip(common, texts, strict=True) if text)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def cider_d(candidates, references, orders=4, sigma=6.0):
    """CIDEr-D of each candidate (5.1.22) and (5.1.23), with a whole vector over all n-grams."""
    total = len(candidates)
    scores = np.zeros(total)
    for n in range(1, orders + 1):
        texts = [*candidates, *(text for group in references for text in group)]
        every = sorted({gram for text in texts for gram in _grams(text, n)})
        if not every:
            continue
        seen = [{gram for text in group for gram in _grams(text, n)} for group in references]
        df = np.array([sum(gram in s for s in seen) for gram in every])
        weight = np.log(total / np.maximum(1, df))
        vector = lambda text: weight * [_grams(text, n).count(gram) for gram in every]  # noqa: B023, E731
        for i, (words, group) in enumerate(zip(candidates, references, strict=True)):
            g = vector(words)
            for text in group:
                h = vector(text)
                norms = np.linalg.norm(g) * np.linalg.norm(h)
                if norms > 0:
                    near = math.exp(-((len(words) - len(text)) ** 2) / (2 * sigma**2))
                    cosine = np.minimum(g, h) @ h / norms
                    scores[i] += 10 / orders * near * cosine / len(group)
    return scores
