"""Scaling laws: known exponents are found again, outliers do not rule, and the spread is honest."""

from functools import partial

import numpy as np
import pytest

from mmjax.evaluation.scaling import (
    ScalingLaw,
    bootstrap_scaling_law,
    fit_scaling_law,
    interval,
)

LAW = ScalingLaw(1.1, 9.0, 0.34, 31.0, 0.28)
N, D = (x.ravel() for x in np.meshgrid(10.0 ** np.arange(3, 8), 10.0 ** np.arange(4, 9)))


def numbers(law):
    return [law.E, law.A, law.alpha, law.B, law.beta]


def test_runs_without_noise_give_the_law_back():
    np.testing.assert_allclose(
        numbers(fit_scaling_law(N, D, LAW.loss(N, D))), numbers(LAW), rtol=1e-4
    )


def test_parameters_and_tokens_are_not_interchanged():
    swapped = fit_scaling_law(D, N, LAW.loss(N, D))
    assert swapped.alpha == pytest.approx(LAW.beta, rel=1e-3)


def test_one_bad_run_changes_little():
    losses = LAW.loss(N, D)
    losses[7] *= 1.5
    found = fit_scaling_law(N, D, losses)
    assert found.alpha == pytest.approx(LAW.alpha, rel=0.03)
    assert found.beta == pytest.approx(LAW.beta, rel=0.03)


def test_the_bootstrap_covers_the_truth_and_widens_with_the_noise():
    widths = []
    for noise in (0.003, 0.03):
        rng = np.random.default_rng(0)
        losses = LAW.loss(N, D) * np.exp(noise * rng.normal(size=25))
        laws = bootstrap_scaling_law(N, D, losses, samples=40, seed=1)
        assert len(laws) == 40
        low, high = interval(laws, 0.95).T
        assert low[2] < LAW.alpha < high[2] and low[4] < LAW.beta < high[4]
        widths.append(high[2] - low[2])
    assert widths[1] > 3 * widths[0]


def test_the_seed_fixes_the_bootstrap():
    losses = LAW.loss(N, D) * np.exp(0.01 * np.random.default_rng(2).normal(size=25))
    one, two, other = (
        bootstrap_scaling_law(N, D, losses, samples=2, seed=seed) for seed in (3, 3, 4)
    )
    assert one == two != other


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((N[:5], D[:5], N[:5]), "'parameters': expected at least 6 positive"),
        ((N, D, -N), "'losses': expected at least 6 positive"),
        ((N, D[:7], N), "'tokens': expected 25 numbers"),
        ((N, D, np.where(N > 1e6, np.nan, N)), "'losses'"),
        ((np.full(25, 7.0), D, N), "'parameters': expected at least three different"),
        ((N, np.where(D > 1e6, 1e7, 1e5), N), "'tokens': expected at least three different"),
    ],
)
def test_bad_runs_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        fit_scaling_law(*arguments)


def test_a_bad_number_of_samples_is_named():
    with pytest.raises(ValueError, match="'samples'"):
        bootstrap_scaling_law(N, D, LAW.loss(N, D), samples=0, seed=0)


def test_an_error_names_the_function_that_was_called():
    for fit in (fit_scaling_law, partial(bootstrap_scaling_law, samples=2, seed=0)):
        name = getattr(fit, "func", fit).__name__
        with pytest.raises(ValueError, match=f"^{name}: argument 'losses'"):
            fit(N, D, -N)
