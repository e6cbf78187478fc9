"""Choosing key frames and judging the choice (section 5.3)."""

import itertools
import math

import numpy as np


def count_moments(frames, moments, spacing):
    """The number of sets of middles from 1 to frames − 2 that are at least `spacing` apart."""
    return math.comb(frames - 2 - (moments - 1) * (spacing - 1), moments)


def best_key_frame_f1(k, events):
    """The mean over E of 2 min(k, E) / (k + E): every event chosen if k allows it."""
    return sum(2 * min(k, e) / (k + e) for e in events) / len(events)


def one_sense_f1(k, events, perceived):
    """The mean over E of 2 (k E / n) / (k + E): k ≤ n of n moments that look or sound alike."""
    return sum(2 * k * e / perceived / (k + e) for e in events) / len(events)


def frame_importance(h, q):
    """α = softmax(s) with s_t = q · h_t / √M for h [T, M], q [M]."""
    scores = [np.dot(q, row) / math.sqrt(len(q)) for row in np.asarray(h, np.float64)]
    weights = np.exp(np.array(scores) - max(scores))
    return weights / weights.sum()


def multi_label_loss(z, y):
    """−(1/C) Σ_c ( y_c log σ(z_c) + (1 − y_c) log(1 − σ(z_c)) ) for one clip."""
    p = 1 / (1 + np.exp(-np.asarray(z, np.float64)))
    return -np.mean([math.log(p[c]) if y[c] else math.log(1 - p[c]) for c in range(len(p))])


def top_frames(scores, k, apart):
    """c_j = argmax { s_t : |t − c_i| ≥ apart for all i < j }, ties to the earlier frame, sorted."""
    chosen = []
    for _ in range(k):
        left = [t for t in range(len(scores)) if all(abs(t - c) >= apart for c in chosen)]
        chosen.append(max(left, key=lambda t: (scores[t], -t)))
    return sorted(chosen)


def matched_pairs(chosen, truth, tolerance):
    """The most pairs (c, t) with |c − t| ≤ tolerance and no frame in two: all are tried."""
    small, large = sorted((list(chosen), list(truth)), key=len)
    best = 0
    for order in itertools.permutations(large, len(small)):
        near = [abs(a - b) <= tolerance for a, b in zip(small, order, strict=True)]
        best = max(best, sum(near))
    return best


def frame_coverage(similar, chosen):
    """(1/T) Σ_t max_{c ∈ S} sim(t, c)."""
    return sum(max(row[c] for c in chosen) for row in similar) / len(similar)


def frame_diversity(similar, chosen):
    """The mean of 1 − sim(c, c') over ordered pairs c ≠ c'."""
    pairs = list(itertools.permutations(chosen, 2))
    return sum(1 - similar[a][b] for a, b in pairs) / len(pairs)


def facility_location(similar, weights, chosen):
    """f(S) = Σ_t w_t max_{c ∈ S} sim(t, c), and 0 for no frame."""
    if not len(chosen):
        return 0.0
    return sum(w * max(row[c] for c in chosen) for w, row in zip(weights, similar, strict=True))


def k_means_cost(features, centres):
    """Σ_t min_j ‖x_t − μ_j‖²."""
    return sum(min(((x - m) ** 2).sum() for m in centres) for x in np.asarray(features, np.float64))
