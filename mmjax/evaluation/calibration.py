"""Calibration: of a hundred patients who are told 30 %, are thirty ill?

Sources: Murphy (1973), the parts of the Brier score; Bröcker (2009), of any proper score; Guo et
al. (2017), the expected calibration error of networks and the temperature.
"""

from typing import NamedTuple

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.evaluation.discrimination import check_both, check_scores


class Reliability(NamedTuple):
    """The bins that are not empty, each [K]; of `reliability_bins`."""

    count: np.ndarray
    mean_probability: np.ndarray
    frequency: np.ndarray
    row: np.ndarray
    """[N], the bin of each forecast, an index into the arrays above."""


class Parts(NamedTuple):
    """score = calibration − resolution + uncertainty + within; of `score_parts`."""

    calibration: float
    resolution: float
    uncertainty: float
    within: float


def reliability_bins(probabilities, labels, *, bins: int = 10) -> Reliability:
    """Forecasts by size: how many in a bin, their mean, and how many of them came true.

    Bin k of K holds (k − 1) / K < p ≤ k / K, the first also p = 0.
    Raises TypeError or ValueError for arrays that do not fit, a p outside [0, 1], or bins below 1.
    """
    p, y = check_probabilities(probabilities, labels, "reliability_bins")
    require(bins >= 1, "reliability_bins", "bins", expected="at least 1", got=bins)
    bin_of = np.searchsorted(np.arange(1, bins) / bins, p)
    _, row, count = np.unique(bin_of, return_inverse=True, return_counts=True)
    mean, frequency = (np.bincount(row, values) / count for values in (p, y.astype(float)))
    return Reliability(count, mean, frequency, row)


def expected_calibration_error(probabilities, labels, *, bins: int = 10) -> float:
    """ECE = Σ_k n_k / N |mean p in bin k − share of label 1 in bin k|, with `reliability_bins`.

    It depends on the number of bins, and chance alone makes it larger than 0: state both the bins
    and the number of examples. Source: Guo et al. (2017), equation 3.
    """
    count, mean, frequency, _ = reliability_bins(probabilities, labels, bins=bins)
    return float((count * np.abs(mean - frequency)).sum() / count.sum())


def brier_score(probabilities, labels) -> float:
    """The mean of (p − y)². Source: Brier (1950), one class of two, so half of his number."""
    p, y = check_probabilities(probabilities, labels, "brier_score")
    return float(((p - y) ** 2).mean())


def log_loss(log_odds, labels) -> float:
    """The mean of −log p(y) for p = 1 / (1 + e^{−z}), from the log odds z, in nats.

    From z and not from p, so that a p that rounds to 0 or 1 costs what it should.
    """
    z, y = check_scores(log_odds, labels, "log_loss", "log_odds")
    return float(np.logaddexp(0, np.where(y, -z, z)).mean())


def score_parts(probabilities, labels, *, score: str = "brier", bins: int = 10) -> Parts:
    """The Brier score or the log loss as calibration − resolution + uncertainty + within.

    With n_k, p̄_k and ȳ_k of bin k, and ȳ of all: calibration is the mean of d(ȳ_k, p̄_k),
    resolution that of d(ȳ_k, ȳ), uncertainty e(ȳ), where

    "brier":  d(a, b) = (a − b)²,  e(a) = a (1 − a)
    "log":    d(a, b) = a log a/b + (1 − a) log (1 − a)/(1 − b),
              e(a) = −a log a − (1 − a) log (1 − a)

    `within` is what the score changes when each p is replaced by the mean of its bin. Raises as
    `reliability_bins` does, and ValueError for the log loss of a p that is 0 or 1 and wrong, which
    has no finite parts.
    """
    require_one_of(score, ("brier", "log"), "score_parts", "score")
    count, mean, frequency, row = reliability_bins(probabilities, labels, bins=bins)
    p, y = check_probabilities(probabilities, labels, "score_parts")
    sure = bool((np.where(y, p, 1 - p) == 0).any())
    expected = "no forecast of 0 or 1 that is wrong, for the log loss"
    ok = score != "log" or not sure
    require(ok, "score_parts", "probabilities", expected=expected, got="some")
    share = count / count.sum()
    distance, entropy = (_squares, _gini) if score == "brier" else (_relative_entropy, _entropy)
    of = y.astype(float)
    return Parts(
        float((share * distance(frequency, mean)).sum()),
        float((share * distance(frequency, of.mean())).sum()),
        float(entropy(of.mean())),
        float((distance(of, p) - distance(of, mean[row])).mean()),
    )


def fit_temperature(log_odds, labels) -> float:
    """The T > 0 that minimises `log_loss`(z / T, y): to be fitted on validation data.

    The loss is convex in β = 1/T, so its slope Σ (σ(β z) − y) z crosses zero once; bisection.
    Raises ValueError where it does not cross for a T from 10⁻³ to 10³: the scores separate the
    classes, or point the wrong way. Source: Guo et al. (2017), section 4.2.
    """
    where = "fit_temperature"
    z, y = check_scores(log_odds, labels, where, "log_odds")
    check_both(y, where)

    def slope(log_beta):
        return ((1 / (1 + np.exp(-np.clip(np.exp(log_beta) * z, -700, 700))) - y) * z).sum()

    low, high = -np.log(1e3), np.log(1e3)
    crosses = slope(low) < 0 < slope(high)
    expected = "scores that are right on the whole and do not separate the classes"
    got = "scores for which no temperature from 0.001 to 1000 is best"
    require(bool(crosses), where, "log_odds", expected=expected, got=got)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))


def shift_prior(log_odds, old: float, new: float) -> np.ndarray:
    """Log odds for a place where the share of the ill is `new` and no longer `old`.

    z' = z + log new / (1 − new) − log old / (1 − old)

    Right where p(input | disease) has stayed as it was, and z was right before.
    Raises ValueError unless both lie between 0 and 1.
    """
    for name, share in (("old", old), ("new", new)):
        ok = 0 < share < 1
        require(ok, "shift_prior", name, expected="between 0 and 1", got=share)
    odds = np.log(new) - np.log1p(-new) - np.log(old) + np.log1p(-old)
    return np.asarray(log_odds, np.float64) + odds


def check_probabilities(probabilities, labels, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities as float64 [N] from 0 to 1 and labels as bool [N]; raises unless they fit."""
    p, y = check_scores(probabilities, labels, where, "probabilities")
    inside = bool(((p >= 0) & (p <= 1)).all())
    got = f"{p.min():g} to {p.max():g}"
    require(inside, where, "probabilities", expected="from 0 to 1", got=got)
    return p, y


def _squares(a, b):
    return (a - b) ** 2


def _gini(a):
    return a * (1 - a)


def _relative_entropy(a, b):
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    total = np.zeros(a.shape)
    for x, z in ((a, b), (1 - a, 1 - b)):
        here = x > 0  # 0 · log 0 = 0
        with np.errstate(divide="ignore"):
            total[here] += x[here] * (np.log(x[here]) - np.log(z[here]))
    return total


def _entropy(a):
    return sum(-x * np.log(x) for x in (a, 1 - a) if x > 0)
