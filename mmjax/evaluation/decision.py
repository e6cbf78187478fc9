"""Decisions: from a probability and the costs of the two mistakes to yes or no.

Source: Elkan (2001), "The foundations of cost-sensitive learning".
"""

import numpy as np

from mmjax.checks import require
from mmjax.evaluation.calibration import check_probabilities


def cost_threshold(false_positive: float, false_negative: float) -> float:
    """The probability from which "positive" is the cheaper decision: c_FP / (c_FP + c_FN).

    A correct decision costs nothing. Raises ValueError unless both costs are above 0.
    Source: Elkan (2001), equation 2.
    """
    _check_costs("cost_threshold", false_positive, false_negative)
    return false_positive / (false_positive + false_negative)


def expected_cost(
    probabilities, labels, threshold: float, *, false_positive: float, false_negative: float
) -> float:
    """The mean cost of the decision p ≥ threshold: (c_FP · #FP + c_FN · #FN) / N.

    Raises TypeError or ValueError for arrays that do not fit, and costs that are not above 0.
    """
    p, y = check_probabilities(probabilities, labels, "expected_cost")
    _check_costs("expected_cost", false_positive, false_negative)
    positive = p >= threshold
    return float((false_positive * (positive & ~y) + false_negative * (~positive & y)).mean())


def best_threshold(probabilities, labels, *, false_positive: float, false_negative: float) -> float:
    """The threshold with the smallest `expected_cost` on these data, the lowest of equal ones.

    Candidates are the probabilities themselves, and ∞ for "never positive". Costs count as equal
    that differ by a part in 10¹² or less, as sums of one value round differently. The threshold is
    fitted to the data: choose it on other data than those it is judged on. Raises as
    `expected_cost` does.
    """
    p, y = check_probabilities(probabilities, labels, "best_threshold")
    _check_costs("best_threshold", false_positive, false_negative)
    candidates, place = np.unique(p, return_inverse=True)
    healthy, ill = (np.bincount(place, labels, len(candidates)) for labels in (~y, y))
    above = healthy[::-1].cumsum()[::-1]  # healthy with p at or above each candidate
    below = np.concatenate([[0], ill.cumsum()])  # ill below it
    cost = false_positive * np.append(above, 0) + false_negative * below
    first = np.argmax(cost <= cost.min() * (1 + 1e-12))
    return float(np.append(candidates, np.inf)[first])


def _check_costs(where, false_positive, false_negative):
    for name, cost in (("false_positive", false_positive), ("false_negative", false_negative)):
        require(cost > 0, where, name, expected="above 0", got=cost)
