"""How a search is judged, what it costs, and what could be found at best (section 5.2)."""

import itertools
import math

import numpy as np

from mmjax.formulas.contrastive import clip_loss


def all_pairs_loss(vectors, inverse_temperature, pairs):
    """The mean of CLIP's loss over pairs of modalities; vectors: for each modality units [N, E]."""
    total = 0.0
    for j, k in pairs:
        total += clip_loss(vectors[j], vectors[k], math.log(inverse_temperature))
    return total / len(pairs)


def rank_in_group(scores, right):
    """1 + |{m wrong : s_m ≥ max over right m' of s_m'}| for scores [M] and right bool [M]."""
    best = max(s for s, r in zip(scores, right, strict=True) if r)
    return 1 + sum(1 for s, r in zip(scores, right, strict=True) if not r and s >= best)


def hit_by_lot(scores, right, k):
    """P(a right one among the first k) by counting every order that equal scores may have."""
    hits = orders = 0
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            orders += 1
            hits += any(right[m] for m in order[:k])
    return hits / orders


def chance_recall(r, M, k):
    """1 − C(M − r, k) / C(M, k): a right one among the first k of M in an order by lot."""
    return 1 - math.comb(M - r, k) / math.comb(M, k)


def match(likelihood_a, likelihood_b, prior):
    """p(a, b) / (p(a) p(b)) from p(a|s), p(b|s) and p(s), s running over all scenes."""
    joint = sum(p * a * b for p, a, b in zip(prior, likelihood_a, likelihood_b, strict=True))
    alone_a = sum(p * a for p, a in zip(prior, likelihood_a, strict=True))
    alone_b = sum(p * b for p, b in zip(prior, likelihood_b, strict=True))
    return joint / (alone_a * alone_b)


def top_k(scores, k):
    """The k largest of scores [M] with their indices, the lower index first among equals."""
    order = sorted(range(len(scores)), key=lambda m: (-scores[m], m))[:k]
    return [scores[m] for m in order], order


def top_k_in_blocks(scores, k, size):
    """The same, block by block: what has been kept competes with the best k of the next block."""
    kept = []
    for start in range(0, len(scores), size):
        block = [(scores[m], m) for m in range(start, min(start + size, len(scores)))]
        block = sorted(block, key=lambda pair: (-pair[0], pair[1]))[:k]
        kept = sorted(kept + block, key=lambda pair: (-pair[0], pair[1]))[:k]
    return [s for s, _ in kept], [m for _, m in kept]


def search_operations(Q, N, E):
    """Multiplications and additions of all inner products of Q queries with N vectors."""
    return 2 * Q * N * E


def occurrences(scores, k):
    """How often each candidate is among a query's first k: scores [Q, M] → [M]."""
    counts = np.zeros(scores.shape[1], int)
    for row in scores:
        for m in top_k(list(row), k)[1]:
            counts[m] += 1
    return counts


def skewness(x):
    """mean((x − x̄)³) / σ³ with σ² = mean((x − x̄)²)."""
    x = np.asarray(x, np.float64)
    centred = x - x.mean()
    return (centred**3).mean() / (centred**2).mean() ** 1.5


def modality_gap(u, v):
    """‖mean of u − mean of v‖ for unit vectors u [N, E], v [M, E]."""
    return math.sqrt(((u.mean(axis=0) - v.mean(axis=0)) ** 2).sum())


def number_of_captions(objects, forms):
    """Captions of a scene with n objects: n! orders, and every form of each word of an object."""
    return math.factorial(objects) * math.prod(forms) ** objects


def share_unique(p, N):
    """Σ_c p_c (1 − p_c)^{N−1}: the share of N items that are alone of their kind, on average."""
    return sum(q * (1 - q) ** (N - 1) for q in p)


def reciprocal_rank(ranks):
    """The mean of 1 / rank."""
    return sum(1 / rank for rank in ranks) / len(ranks)
