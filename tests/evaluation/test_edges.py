"""What the metrics of chapter 5 accept at the edge: infinite scores, lists, wrong shapes."""

import numpy as np
import pytest

from mmjax.evaluation.attribution import occlusion_map
from mmjax.evaluation.calibration import log_loss, reliability_bins, score_parts
from mmjax.evaluation.discrimination import auc, roc_curve
from mmjax.evaluation.groups import bootstrap_interval, confusion_rates
from mmjax.evaluation.probes import fit_probe
from mmjax.evaluation.ranking import ndcg_at_k


def test_infinite_scores_tie_like_others():
    scores, labels = [np.inf, np.inf, 0.0], [0, 1, 0]
    curve = roc_curve(scores, labels)
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert area == auc(scores, labels) == 0.75


def test_who_is_sure_and_right_loses_nothing():
    assert log_loss([np.inf, -np.inf], [1, 0]) == 0
    assert log_loss([np.inf], [0]) == np.inf


def test_the_edge_of_a_bin_belongs_below():
    p = 0.30000000000000004  # the next number above 3 / 10
    assert len(reliability_bins([0.3, p], [0, 1]).count) == 2


def test_lists_are_ranked_too():
    assert ndcg_at_k([[1.0, 2.0]], [[0, 1]], 1).tolist() == [1]


def test_groups_may_be_a_list():
    values = np.arange(6.0)
    low, high = bootstrap_interval(lambda rows: values[rows].mean(), [0, 0, 0, 1, 1, 1], seed=0)
    assert 0 <= low < high <= 5


WRONG = {
    "confusion_rates: argument 'said'": lambda: confusion_rates(
        np.zeros((2, 3), int), np.zeros((2, 1), int), np.array([0, 1]), 2
    ),
    "confusion_rates: argument 'truth'": lambda: confusion_rates(
        np.zeros((2, 3), int), np.zeros((2, 3)), np.array([0, 1]), 2
    ),
    "fit_probe: argument 'labels'": lambda: fit_probe(np.ones((2, 3)), np.array([0, -1])),
    "occlusion_map: argument 'pictures'": lambda: occlusion_map(
        lambda x: x.sum((1, 2)), np.zeros((1, 4, 4), np.uint8), 2
    ),
    "occlusion_map: argument 'score'": lambda: occlusion_map(lambda x: x, np.zeros((1, 4, 4)), 2),
    "score_parts: argument 'probabilities'": lambda: score_parts([0.0, 0.5], [1, 0], score="log"),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments_are_named(message):
    with pytest.raises((TypeError, ValueError), match=message):
        WRONG[message]()
