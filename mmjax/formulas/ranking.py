"""Search and recommendation in a shop (section 5.4): ranking, Bayes' rule, purchases."""

import itertools
import math

import numpy as np


def dcg(gains_in_order, k):
    """Σ_{j=1}^{k} g_j / log₂(1 + j) for the gains [M] of a list, from its top."""
    return sum(g / math.log2(1 + j) for j, g in enumerate(gains_in_order[:k], start=1))


def ndcg(gains_in_order, k):
    """DCG of the list divided by that of the same gains in falling order."""
    return dcg(gains_in_order, k) / dcg(sorted(gains_in_order, reverse=True), k)


def expected_dcg(scores, gains, k):
    """The mean DCG over all orders of M candidates that agree with their scores; M! of them."""
    values = []
    for order in itertools.permutations(range(len(scores))):
        if all(scores[i] >= scores[j] for i, j in itertools.pairwise(order)):
            values.append(dcg([gains[i] for i in order], k))
    return sum(values) / len(values)


def expected_gain(wish, product, G):
    """E[G] = Σ_w Σ_s p(w) G(w, s) p(s) for two distributions [S] and G [S, S]."""
    S = len(wish)
    return sum(wish[w] * G[w, s] * product[s] for w in range(S) for s in range(S))


def gaussian_log_density(y, mean, covariance):
    """log N(y; mean, covariance) for vectors [P], by the inverse and the determinant."""
    d, P = np.asarray(y) - mean, len(y)
    sign, log_determinant = np.linalg.slogdet(covariance)
    assert sign > 0
    return -(d @ np.linalg.inv(covariance) @ d + log_determinant + P * math.log(2 * math.pi)) / 2


def in_batch_gradient(joint, scores, N):
    """Gradient of the expected in-batch softmax loss by the scores [U, I] of all pairs.

    joint [U, I]: the probability of a pair. A batch is N independent pairs; the loss of its first
    pair is −log( e^{f(u_1, i_1)} / Σ_n e^{f(u_1, i_n)} ). All batches are summed up: I^{N−1} each.
    """
    users, items = joint.shape
    q, gradient = joint.sum(0), np.zeros((users, items))
    for u in range(users):
        for batch in itertools.product(range(items), repeat=N):
            chance = joint[u, batch[0]] * math.prod(q[i] for i in batch[1:])
            total = sum(math.exp(scores[u, i]) for i in batch)
            gradient[u, batch[0]] -= chance
            for i in batch:
                gradient[u, i] += chance * math.exp(scores[u, i]) / total
    return gradient


def taste_posterior(prior, purchases):
    """p(θ | i_1 … i_H) ∝ p(θ) Π_h p(i_h | θ); purchases: the rows p(i_h | ·), [H, tastes]."""
    weight = np.array(prior, np.float64)
    for row in purchases:
        weight = weight * row
    return weight / weight.sum()


def best_slate(probability, value, cost):
    """Which products to show: those with p_i v_i above the cost of a place, as a set."""
    return {i for i, (p, v) in enumerate(zip(probability, value, strict=True)) if p * v > cost}


def expected_profit(slate, probability, value, cost):
    """Σ over the slate of p_i v_i − cost."""
    return sum(probability[i] * value[i] - cost for i in slate)
