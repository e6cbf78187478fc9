"""Discrimination: how well a score tells the ill from the healthy, whatever its scale.

Sources: Hanley and McNeil (1982), the area under the curve as a probability; Wilson (1927).
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mmjax.checks import require, require_type


class ROC(NamedTuple):
    """A curve's corners, from (0, 0) to (1, 1), each [K]; of `roc_curve`."""

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


def check_scores(scores, labels, where: str, name: str = "scores") -> tuple[np.ndarray, np.ndarray]:
    """Scores as float64 [N] and labels as bool [N]; raises unless they fit and are 0 or 1."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    numeric = any(jnp.issubdtype(scores.dtype, kind) for kind in (jnp.floating, jnp.integer))
    require_type(numeric, where, name, expected="numbers [N]", got=scores)
    ok = scores.ndim == 1 and len(scores) > 0
    require(ok, where, name, expected="[N] with N at least 1", got=scores)
    require(not np.isnan(scores).any(), where, name, expected="no NaN", got="NaN")
    whole, expected = (
        labels.dtype.kind in "biu",
        f"0 and 1 as whole numbers or bools, {[len(scores)]}",
    )
    require_type(whole, where, "labels", expected=expected, got=labels)
    require(labels.shape == scores.shape, where, "labels", expected=expected, got=labels)
    inside = bool(((labels == 0) | (labels == 1)).all())
    got = f"{labels.min()} to {labels.max()}"
    require(inside, where, "labels", expected=expected, got=got)
    return scores.astype(np.float64), labels.astype(bool)


def check_both(labels: np.ndarray, where: str) -> None:
    """Raises unless both classes occur."""
    both = bool(labels.any() and not labels.all())
    got = f"{int(labels.sum())} of {len(labels)} are 1"
    require(both, where, "labels", expected="at least one 0 and one 1", got=got)


def roc_curve(scores: np.ndarray, labels: np.ndarray) -> ROC:
    """False against true positive rate of the decision "score ≥ t", for each t that differs.

    scores [N], higher for more likely ill; labels [N], 0 or 1. The thresholds are the distinct
    scores from above, with ∞ in front, so equal scores are decided together.
    Raises TypeError or ValueError for arrays that do not fit, NaN, or a class that does not occur.
    """
    scores, labels = check_scores(scores, labels, "roc_curve")
    check_both(labels, "roc_curve")
    order = np.argsort(-scores, kind="stable")
    ranked, ill = scores[order], labels[order]
    last = np.append(
        np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1
    )  # the last of equal ones
    true, false = np.cumsum(ill)[last], np.cumsum(~ill)[last]
    rates = (np.append(0, count) / count[-1] for count in (false, true))
    return ROC(*rates, np.append(np.inf, ranked[last]))


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The area under the ROC curve: p(score of an ill one > of a healthy one) + ½ p(equal).

    Computed by ranks, in N log N. Raises as `roc_curve` does.
    Source: Hanley and McNeil (1982); the statistic of Mann and Whitney over the number of pairs.
    """
    scores, labels = check_scores(scores, labels, "auc")
    check_both(labels, "auc")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]  # equal scores share their mean rank
    ill = int(labels.sum())
    return float((rank[labels].sum() - ill * (ill + 1) / 2) / (ill * (len(labels) - ill)))


def sensitivity_specificity(positive: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The share of the ill that are called positive, and of the healthy that are not.

    positive: bool [N], the decisions. Raises as `roc_curve` does.
    """
    where = "sensitivity_specificity"
    positive = np.asarray(positive)
    require_type(positive.dtype == bool, where, "positive", expected="bool [N]", got=positive)
    _, labels = check_scores(positive.astype(int), labels, where, "positive")
    check_both(labels, where)
    return float(positive[labels].mean()), float((~positive[~labels]).mean())


def wilson_interval(successes: int, trials: int, *, z: float = 1.96) -> tuple[float, float]:
    """An interval for a share: all p from which the count is at most z standard deviations away.

    (s + z²/2 ± z √(s (n − s) / n + z²/4)) / (n + z²)

    z = 1.96 is for 95 %. Unlike s/n ± z √(…), it stays inside [0, 1] and has a width at s = 0.
    Raises ValueError unless 0 ≤ successes ≤ trials, trials ≥ 1 and z > 0.
    Source: Wilson (1927).
    """
    where = "wilson_interval"
    require(trials >= 1, where, "trials", expected="at least 1", got=trials)
    ok = 0 <= successes <= trials
    require(ok, where, "successes", expected=f"from 0 to trials = {trials}", got=successes)
    require(z > 0, where, "z", expected="above 0", got=z)
    root = math.sqrt(successes * (trials - successes) / trials + z * z / 4)
    middle = successes + z * z / 2
    low, high = ((middle + side * root) / (trials + z * z) for side in (-z, z))
    return max(0.0, low), min(1.0, high)  # s = 0 and s = n give 0 and 1 but for rounding
