"""Groups and probes: intervals that cover, rates that are empty, and clear errors."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.evaluation.groups import (
    accuracy_gap,
    bootstrap_interval,
    confusion_rates,
    equalised_odds_gap,
    group_accuracy,
)
from mmjax.evaluation.probes import fit_probe, without_session_mean

GROUPS = np.array([0, 0, 1, 1, 0])
RIGHT = np.arange(15).reshape(5, 3) % 2 == 0


def test_the_bootstrap_draws_persons_of_each_group_and_covers_the_mean():
    rng, covered = np.random.default_rng(0), 0
    groups = (np.arange(60) % 3 == 0).astype(int)
    for seed in range(100):
        own = rng.random(60) < np.where(groups == 1, 0.4, 0.7)
        right = np.repeat(own[:, None], 4, axis=1)  # four answers that are one
        low, high = bootstrap_interval(
            lambda rows, right=right: accuracy_gap(right[rows], groups[rows]),
            groups, seed=seed, draws=200,
        )  # fmt: skip
        covered += low <= 0.3 <= high
    assert 85 <= covered <= 100
    sizes = []
    bootstrap_interval(lambda rows: sizes.append((groups[rows] == 1).sum()) or 0.0, groups, seed=0)
    assert set(sizes) == {20} and len(sizes) == 500


def test_a_person_counts_once_however_alike_the_answers():
    own = np.array([True, False, True, True, False])
    once, often = own[:, None], np.repeat(own[:, None], 7, axis=1)
    np.testing.assert_allclose(group_accuracy(once, GROUPS), group_accuracy(often, GROUPS))


def test_a_state_in_which_a_group_never_is_is_left_out():
    truth = np.array([[0, 1], [1, 0], [0, 0], [0, 0], [1, 1]])
    rates = confusion_rates(truth, truth, GROUPS, 3)
    assert np.isnan(rates[1, 1]).all() and np.isnan(rates[:, 2]).all()
    assert equalised_odds_gap(rates) == 0
    np.testing.assert_array_equal(rates[0, 0], [1, 0, 0])


def test_a_probe_finds_what_is_linear_and_no_more():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6))
    linear, hidden = (x[:, 0] > 0).astype(int), (np.abs(x[:, 0]) > 0.67).astype(int)
    found = [
        (fit_probe(x[:300], y[:300])(x[300:]).argmax(1) == y[300:]).mean() for y in (linear, hidden)
    ]
    assert found[0] > 0.85 and found[1] < 0.65


def test_a_probe_takes_narrow_numbers():
    x = np.random.default_rng(0).normal(size=(7, 3))
    labels = np.array([0, 255, 255, 0, 3, 0, 255], np.uint8)
    assert fit_probe(x, labels)(x).shape == (7, 256)
    narrow = jnp.asarray(x, jnp.bfloat16)
    wanted = fit_probe(np.asarray(narrow, np.float64), labels)
    np.testing.assert_array_equal(fit_probe(np.asarray(narrow), labels).weights, wanted.weights)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: group_accuracy(RIGHT * 1, GROUPS), TypeError, "'right': expected bool"),
        (lambda: group_accuracy(RIGHT, GROUPS * 1.0), TypeError, "'groups': expected whole"),
        (lambda: group_accuracy(RIGHT, GROUPS[:4]), ValueError, "'groups': expected one from 0"),
        (lambda: group_accuracy(RIGHT[:3], GROUPS[:3]), ValueError, "two persons in group 1"),
        (lambda: accuracy_gap(RIGHT, GROUPS * 0), ValueError, "'groups': expected 0 and 1"),
        (
            lambda: confusion_rates(RIGHT * 4, RIGHT * 1, GROUPS, 3),
            ValueError,
            "'said': expected from 0 to 2, got 0 to 4",
        ),
        (lambda: equalised_odds_gap(np.zeros((3, 2, 2))), ValueError, "'rates': expected \\[2, S"),
        (
            lambda: equalised_odds_gap(np.full((2, 2, 2), np.nan)),
            ValueError,
            "'rates': expected a state of both groups",
        ),
        (
            lambda: bootstrap_interval(lambda rows: 0.0, GROUPS, seed=0, draws=1),
            ValueError,
            "'draws': expected at least 2",
        ),
        (
            lambda: bootstrap_interval(lambda rows: 0.0, GROUPS, seed=0, level=1.0),
            ValueError,
            "'level': expected between 0 and 1",
        ),
        (lambda: fit_probe(RIGHT, GROUPS), TypeError, "'x': expected a floating-point"),
        (lambda: fit_probe(RIGHT * 1.0, GROUPS[:2]), TypeError, "'labels': expected whole numbers"),
        (lambda: fit_probe(RIGHT * 1.0, GROUPS, ridge=0), ValueError, "'ridge': expected above 0"),
        (lambda: fit_probe(np.ones((0, 3)), GROUPS[:0]), ValueError, "'x': expected .* at least 1"),
        (lambda: without_session_mean(np.zeros((3, 1, 2))), ValueError, "T at least 2"),
    ],
)
def test_bad_input_raises_one_clear_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
