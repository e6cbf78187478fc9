"""Discrimination, calibration, decisions and attribution: scikit-learn, properties, errors."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.evaluation.attribution import occlusion_map, pointing_game, sum_over_patches
from mmjax.evaluation.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    log_loss,
    reliability_bins,
    score_parts,
    shift_prior,
)
from mmjax.evaluation.decision import best_threshold, cost_threshold, expected_cost
from mmjax.evaluation.discrimination import (
    auc,
    roc_curve,
    sensitivity_specificity,
    wilson_interval,
)


def forecasts(seed=0, number=499, digits=2):
    rng = np.random.default_rng(seed)
    p = rng.random(number).round(digits)
    return p, (rng.random(number) < p**2).astype(int)


@pytest.mark.parametrize("digits", [1, 9])
def test_scikit_learn(digits):
    metrics = pytest.importorskip("sklearn.metrics")
    from sklearn.calibration import calibration_curve

    p, y = forecasts(digits=digits)
    np.testing.assert_allclose(auc(p, y), metrics.roc_auc_score(y, p), atol=1e-14)
    theirs = metrics.roc_curve(y, p, drop_intermediate=False)
    for left, right in zip(roc_curve(p, y), theirs, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-14)
    np.testing.assert_allclose(brier_score(p, y), metrics.brier_score_loss(y, p), atol=1e-14)
    inside = np.clip(p, 0.01, 0.99)
    z = np.log(inside / (1 - inside))
    np.testing.assert_allclose(log_loss(z, y), metrics.log_loss(y, inside), atol=1e-12)
    # A forecast of exactly 0.1 · k lies in bin k here and there; both search the upper edges.
    frequency, mean = calibration_curve(y, p, n_bins=10)
    bins = reliability_bins(p, y, bins=10)
    np.testing.assert_allclose(bins.frequency, frequency, atol=1e-14)
    np.testing.assert_allclose(bins.mean_probability, mean, atol=1e-14)


def test_a_perfect_a_useless_and_a_reversed_score():
    y = np.array([0, 1, 1, 0, 1])
    assert auc(y, y) == 1 and auc(-y, y) == 0 and auc(np.zeros(5), y) == 0.5
    curve = roc_curve(np.zeros(5), y)
    assert curve.false_positive_rate.tolist() == [0, 1] == curve.true_positive_rate.tolist()


def test_sensitivity_and_specificity_are_shares_of_their_class():
    positive, y = np.array([True, True, False, False, True]), np.array([1, 0, 1, 0, 1])
    assert sensitivity_specificity(positive, y) == (2 / 3, 1 / 2)


@pytest.mark.parametrize(("share", "trials"), [(0.05, 40), (0.5, 40), (0.9, 200)])
def test_wilson_covers_as_often_as_it_says(share, trials):
    """The exact coverage, summed over the binomial distribution, is near 95 %."""
    from math import comb

    covered = 0.0
    for s in range(trials + 1):
        low, high = wilson_interval(s, trials)
        if low <= share <= high:
            covered += comb(trials, s) * share**s * (1 - share) ** (trials - s)
    assert 0.92 < covered < 0.985


def test_wilson_stays_inside():
    ends = [
        wilson_interval(s, n, z=z) for n in range(1, 101) for s in (0, n) for z in (1.96, 2.576)
    ]
    assert all(0 <= low < high <= 1 for low, high in ends)


def test_bfloat16_scores_are_taken():
    p, y = forecasts(5, 101, 1)
    narrow = jnp.asarray(p, jnp.bfloat16)
    assert auc(narrow, y) == auc(np.asarray(narrow, np.float64), y)


def test_bins_are_closed_above_and_empty_ones_are_left_out():
    p, y = np.array([0.0, 0.2, 0.2000001, 0.95, 1.0]), np.array([0, 1, 0, 1, 1])
    bins = reliability_bins(p, y, bins=5)
    assert bins.count.tolist() == [2, 1, 2] and bins.row.tolist() == [0, 0, 1, 2, 2]
    np.testing.assert_allclose(bins.frequency, [0.5, 0, 1])
    np.testing.assert_allclose(bins.mean_probability, [0.1, 0.2000001, 0.975])
    expected = (2 * 0.4 + 0.2000001 + 2 * 0.025) / 5
    np.testing.assert_allclose(expected_calibration_error(p, y, bins=5), expected)


def test_sure_and_wrong_costs_what_it_should():
    y = np.array([1, 0])
    np.testing.assert_allclose(log_loss(np.array([-2000.0, 2000.0]), y), 2000.0)
    parts = score_parts(np.array([1.0, 0.5]), np.array([1, 0]), score="log", bins=2)
    assert np.isfinite(parts).all()


def test_a_calibrated_score_needs_no_temperature():
    rng = np.random.default_rng(2)
    z = rng.normal(size=40_001)
    y = rng.random(len(z)) < 1 / (1 + np.exp(-z))
    assert abs(fit_temperature(z, y) - 1) < 0.05
    assert abs(fit_temperature(3 * z, y) / 3 - fit_temperature(z, y)) < 1e-9


def test_the_best_threshold_is_the_best_of_all():
    p, y = forecasts(3, 97)
    costs = {"false_positive": 2.0, "false_negative": 7.0}
    t = best_threshold(p, y, **costs)
    every = [expected_cost(p, y, c, **costs) for c in [*np.unique(p), np.inf]]
    assert expected_cost(p, y, t, **costs) == min(every)
    theirs = formulas.decision_cost(p, y, t, 2.0, 7.0)
    np.testing.assert_allclose(expected_cost(p, y, t, **costs), theirs)
    assert best_threshold(p, np.zeros(97, int), **costs) == np.inf


def test_of_equal_thresholds_the_lowest_is_taken():
    """From 0.2 on three alarms are false, from 0.6 on one ill patient is missed: 0.3 either way."""
    p, y = np.array([0.2, 0.4, 0.4, 0.4, 0.6]), np.array([1, 0, 0, 0, 1])
    assert 3 * 0.1 > 0.3  # by rounding, which is no reason
    assert best_threshold(p, y, false_positive=0.1, false_negative=0.3) == 0.2
    sure = np.array([0.2, 0.7, 0.9])
    assert best_threshold(sure, np.array([0, 1, 1]), false_positive=1, false_negative=1) == 0.7


def test_a_calibrated_forecast_needs_no_search():
    """On many patients the threshold of the price costs what the searched one costs."""
    rng = np.random.default_rng(4)
    p = rng.random(20_000)
    y = (rng.random(20_000) < p).astype(int)
    costs = {"false_positive": 1.0, "false_negative": 4.0}
    t = cost_threshold(1.0, 4.0)
    least = expected_cost(p, y, best_threshold(p, y, **costs), **costs)
    assert t == 0.2 and expected_cost(p, y, t, **costs) < 1.03 * least


def test_prior_there_and_back():
    z = np.array([-1.0, 0.5])
    np.testing.assert_allclose(shift_prior(shift_prior(z, 0.3, 0.02), 0.02, 0.3), z)


def test_pointing_shares_a_tie():
    maps = np.zeros((3, 2, 3))
    maps[1, 0, 2] = 1
    maps[2, 1] = 1
    hits = pointing_game(maps, np.array([[0, 0], [0, 2], [0, 1]]))
    np.testing.assert_allclose(hits, [1 / 6, 1, 0])


def test_a_sum_over_patches_keeps_rows_and_columns_apart():
    maps = np.arange(36.0).reshape(1, 6, 6)
    np.testing.assert_allclose(sum_over_patches(maps, 3)[0], [[63, 90], [225, 252]])


def test_occlusion_finds_what_counts():
    def score(x):
        return 5 * x[:, 1, 4] + x[:, 0, 0]

    maps = occlusion_map(score, np.ones((2, 6, 6)), 2)
    expected = np.zeros((3, 3))
    expected[0, 2], expected[0, 0] = 5, 1
    np.testing.assert_allclose(maps, np.stack([expected] * 2))


P, Y = np.array([0.1, 0.9]), np.array([0, 1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: auc(P, np.array([0, 2])), ValueError, "'labels': expected 0 and 1"),
        (lambda: auc(P, np.array([0.0, 1.0])), TypeError, "'labels'"),
        (lambda: auc(P, np.array([1, 1])), ValueError, "'labels': expected at least one 0"),
        (lambda: auc(P[:1], Y), ValueError, "'labels'"),
        (lambda: auc(np.array([0.1, np.nan]), Y), ValueError, "'scores': expected no NaN"),
        (lambda: auc(np.array([True, False]), Y), TypeError, "'scores': expected numbers"),
        (lambda: auc(np.array(["a", "b"]), Y), TypeError, "'scores'"),
        (lambda: roc_curve(P[None], Y), ValueError, "'scores'"),
        (lambda: sensitivity_specificity(P, Y), TypeError, "'positive': expected bool"),
        (lambda: wilson_interval(3, 2), ValueError, "'successes'"),
        (lambda: wilson_interval(0, 0), ValueError, "'trials'"),
        (lambda: wilson_interval(0, 1, z=0), ValueError, "'z'"),
        (lambda: brier_score(2 * P, Y), ValueError, "'probabilities': expected from 0 to 1"),
        (lambda: reliability_bins(P, Y, bins=0), ValueError, "'bins'"),
        (lambda: score_parts(P, Y, score="zero-one"), ValueError, "'score'"),
        (lambda: log_loss(P[:1], Y), ValueError, "'labels'"),
        (lambda: fit_temperature(P - 0.5, Y), ValueError, "'log_odds': expected scores"),
        (lambda: fit_temperature(0.5 - P, Y), ValueError, "'log_odds': expected scores"),
        (lambda: shift_prior(P, 0.0, 0.5), ValueError, "'old'"),
        (lambda: shift_prior(P, 0.5, 1.0), ValueError, "'new'"),
        (lambda: cost_threshold(0, 1), ValueError, "'false_positive'"),
        (lambda: cost_threshold(1, -1), ValueError, "'false_negative'"),
        (lambda: occlusion_map(len, np.ones((1, 4, 6)), 2), ValueError, "'pictures'"),
        (lambda: occlusion_map(len, np.ones((1, 6, 6)), 4), ValueError, "'patch'"),
        (lambda: pointing_game(np.ones((1, 2, 2)), np.array([[0, 2]])), ValueError, "'targets'"),
        (lambda: pointing_game(np.ones((1, 2, 2)), np.array([0])), ValueError, "'targets'"),
        (lambda: pointing_game(np.ones((2, 2)), np.array([[0, 0]])), ValueError, "'maps'"),
        (lambda: sum_over_patches(np.ones((1, 5, 5)), 2), ValueError, "'maps'"),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=f"argument {message}"):
        call()
