"""Patients, discrimination, calibration and decisions (section 5.5). Pictures are flattened to [P];
labels are 0 or 1."""

import math

import numpy as np


def spot_log_ratio(x, covariance, spot):
    """log N(x; s, C) − log N(x; 0, C) for x and s [P], from both densities: s known, place too."""
    inverse = np.linalg.inv(np.asarray(covariance, np.float64))
    x, s = np.asarray(x, np.float64), np.asarray(spot, np.float64)
    with_spot = -(x - s) @ inverse @ (x - s) / 2
    return with_spot - (-x @ inverse @ x / 2)


def place_mean_ratio(log_ratios):
    """Λ = (1/|U|) Σ_u e^{ℓ_u} for the places' log ratios [U]."""
    return sum(math.exp(ratio) for ratio in log_ratios) / len(log_ratios)


def picture_ratio(mean_ratio, chances):
    """p(x | d = 1) / p(x | d = 0) = (1 − q_1 + q_1 Λ) / (1 − q_0 + q_0 Λ); chances = (q_0, q_1)."""
    q0, q1 = chances
    return (1 - q1 + q1 * mean_ratio) / (1 - q0 + q0 * mean_ratio)


def posterior(prior, *ratios):
    """p(d = 1 | all) from the prior and the likelihood ratio of each modality that is there."""
    ill, healthy = prior, 1 - prior
    for ratio in ratios:
        ill = ill * ratio
    return ill / (ill + healthy)


def roc_points(scores, labels):
    """(false, true positive rate) of "score ≥ t" for t = ∞ and each distinct score from above."""
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    points = [(0.0, 0.0)]
    for t in sorted(set(scores.tolist()), reverse=True):
        false = sum(s >= t for s, y in zip(scores, labels, strict=True) if not y)
        true = sum(s >= t for s, y in zip(scores, labels, strict=True) if y)
        points.append((false / (labels == 0).sum(), true / (labels == 1).sum()))
    return np.array(points)


def auc_of_pairs(scores, labels):
    """The share of pairs (ill, healthy) in which the ill one has the larger score; ties: ½."""
    ill = [s for s, y in zip(scores, labels, strict=True) if y]
    healthy = [s for s, y in zip(scores, labels, strict=True) if not y]
    wins = sum((a > b) + 0.5 * (a == b) for a in ill for b in healthy)
    return wins / (len(ill) * len(healthy))


def area_under(points):
    """The area under a polygon of points (x, y) with rising x, by trapezoids."""
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(points, points[1:], strict=False))


def brier(p, y):
    """Mean of (p − y)²."""
    return sum((a - b) ** 2 for a, b in zip(p, y, strict=True)) / len(p)


def binary_log_loss(p, y):
    """Mean of −log p where y = 1 and −log (1 − p) where y = 0."""
    return sum(-math.log(a if b else 1 - a) for a, b in zip(p, y, strict=True)) / len(p)


def calibration_bins(p, y, bins):
    """The forecasts with (k − 1)/K < p ≤ k/K (and p = 0 in the first): a list of (p, y) a bin."""
    found = []
    for k in range(1, bins + 1):
        inside = [
            (float(a), int(b))
            for a, b in zip(p, y, strict=True)
            if (k - 1) / bins < a <= k / bins or (k == 1 and a == 0)
        ]
        if inside:
            found.append(inside)
    return found


def calibration_error(p, y, bins):
    """ECE = Σ_k n_k / N |p̄_k − ȳ_k|."""
    total = 0.0
    for inside in calibration_bins(p, y, bins):
        mean_p = sum(a for a, _ in inside) / len(inside)
        mean_y = sum(b for _, b in inside) / len(inside)
        total += len(inside) / len(p) * abs(mean_p - mean_y)
    return total


def wilson(successes, trials, z):
    """The two roots p of (s/n − p)² = z² p (1 − p) / n."""
    share = successes / trials
    a, b, c = 1 + z**2 / trials, -(2 * share + z**2 / trials), share**2
    root = math.sqrt(b**2 - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def decision_cost(p, y, threshold, false_positive, false_negative):
    """The mean cost of calling p ≥ threshold positive."""
    total = 0.0
    for a, b in zip(p, y, strict=True):
        if a >= threshold and not b:
            total += false_positive
        if a < threshold and b:
            total += false_negative
    return total / len(p)


def bayes_cost(p, false_positive, false_negative):
    """E min(c_FN p, c_FP (1 − p)): the least possible mean cost, for exact probabilities p."""
    return sum(min(false_negative * a, false_positive * (1 - a)) for a in p) / len(p)
