"""Invented patients: what is drawn, that it is drawn as stated, and what is refused."""

import numpy as np
import pytest

from mmjax.data import patients as world
from mmjax.data.patients import picture, record


@pytest.fixture(scope="module")
def clinic():
    return world.sample_patients(6007, seed=1)


def near(share, expected, number):
    """Within four standard deviations of a share of `number`."""
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / number)


def test_shapes_and_kinds(clinic):
    assert clinic.pictures.shape == (6007, 24, 24) and clinic.pictures.dtype == np.float32
    assert clinic.values.shape == clinic.measured.shape == (6007, 5)
    assert clinic.disease.dtype == clinic.spots.dtype == np.int32 and len(clinic) == 6007


def test_the_same_seed_draws_the_same_patients(clinic):
    again, other = (world.sample_patients(50, seed=seed) for seed in (2, 3))
    same = world.sample_patients(50, seed=2)
    for name in vars(again):
        np.testing.assert_array_equal(getattr(again, name), getattr(same, name))
    assert not np.array_equal(again.pictures, other.pictures)


def test_shares_are_those_stated(clinic):
    near(clinic.disease.mean(), 0.3, len(clinic))
    stated = {
        record.SEX: (0.55, 0.45),
        record.HISTORY: (0.10, 0.25),
    }
    for d in (0, 1):
        rows = clinic.disease == d
        number = rows.sum()
        near((clinic.spots[rows, 0] >= 0).mean(), (0.10, 0.85)[d], number)
        near(clinic.measured[rows, record.MARKER].mean(), 0.8, number)
        near(clinic.measured[rows, record.INFLAMMATION].mean(), (0.40, 0.65)[d], number)
        for column, shares in stated.items():
            near(clinic.values[rows, column].mean(), shares[d], number)


def test_numbers_are_those_stated(clinic):
    for d in (0, 1):
        rows = clinic.disease == d
        age = clinic.values[rows, record.AGE]
        there = clinic.measured[rows]
        marker = clinic.values[rows, record.MARKER] - 1 - 0.02 * (age - 55)
        other = clinic.values[rows, record.INFLAMMATION]
        stated = [
            (age, 52 + 7 * d, 12),
            (marker[there[:, record.MARKER]], 0.6 * d, 0.8),
            (other[there[:, record.INFLAMMATION]], 0.5 + 0.5 * d, 0.6 + 0.2 * d),
        ]
        for drawn, mean, deviation in stated:
            assert abs(drawn.mean() - mean) < 4 * deviation / np.sqrt(len(drawn))
            assert abs(drawn.std() / deviation - 1) < 4 / np.sqrt(2 * len(drawn))


def test_what_is_missing_is_zero_and_is_not_read(clinic):
    assert not clinic.values[~clinic.measured].any()
    few, measured = clinic.values[:40].copy(), clinic.measured[:40]
    before = world.record_log_ratio(few, measured), world.record_tokens(few, measured)
    few[~measured] = np.nan
    np.testing.assert_array_equal(world.record_log_ratio(few, measured), before[0])
    np.testing.assert_array_equal(world.record_tokens(few, measured), before[1])


def test_a_token_is_a_value_and_whether_it_was_measured(clinic):
    tokens = world.record_tokens(clinic.values, clinic.measured)
    assert tokens.shape == (6007, 5, 2) and tokens.dtype == np.float32
    np.testing.assert_array_equal(tokens[..., 1], clinic.measured)
    np.testing.assert_allclose(tokens[:, 0, 0], (clinic.values[:, 0] - 55) / 12, rtol=1e-5)
    assert not tokens[..., 0][~clinic.measured].any()


def test_a_spot_is_where_it_is_said_to_be(clinic):
    """The mean of pictures shifted to their spot is the spot; of those without one, nothing."""
    rows = clinic.spots[:, 0] >= 0
    centred = [
        np.roll(x, (12 - r, 12 - c), (0, 1))
        for x, (r, c) in zip(clinic.pictures[rows], clinic.spots[rows], strict=True)
    ]
    mean = np.mean(centred, axis=0)
    np.testing.assert_allclose(mean, picture.spots(np.array([[12, 12]]))[0], atol=0.2)
    assert np.abs(clinic.pictures[~rows].mean(axis=0)).max() < 0.15
    assert (clinic.spots[~rows] == -1).all()
    assert clinic.spots[rows].min() == 3 and clinic.spots[rows].max() == 20


def test_the_exact_answer_is_calibrated_and_both_are_better_than_each(clinic):
    loss = {}
    for seen in (("picture",), ("record",), ("picture", "record")):
        z = world.bayes_log_odds(clinic, seen)
        p = 1 / (1 + np.exp(-z))
        error = np.sqrt((p * (1 - p)).sum())
        assert abs((p - clinic.disease).sum()) < 4 * error
        loss[seen] = np.mean(np.logaddexp(0, z) - clinic.disease * z)
    *single, both = loss.values()
    assert both < min(single) - 0.05


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: world.sample_patients(0, seed=0), ValueError, "'number'"),
        (lambda: world.sample_patients(1, seed=0, prior=1.0), ValueError, "'prior'"),
        (lambda: world.place_log_ratios(np.ones((2, 24, 23))), ValueError, "'pictures'"),
        (lambda: world.picture_log_ratio(np.ones((24, 24))), ValueError, "'pictures'"),
        (
            lambda: world.record_log_ratio(np.ones((2, 4)), np.ones((2, 4), bool)),
            ValueError,
            "'values'",
        ),
        (lambda: world.record_log_ratio(np.ones((2, 5)), np.ones((2, 5))), TypeError, "'measured'"),
        (
            lambda: world.record_log_ratio(np.ones((2, 5)), np.zeros((2, 5), bool)),
            ValueError,
            "'measured'",
        ),
        (
            lambda: world.record_tokens(np.full((1, 5), np.nan), np.ones((1, 5), bool)),
            ValueError,
            "'values'",
        ),
        (
            lambda: world.bayes_log_odds(world.sample_patients(1, seed=0), ("sound",)),
            ValueError,
            "'seen'",
        ),
        (
            lambda: world.bayes_log_odds(world.sample_patients(1, seed=0), prior=0.0),
            ValueError,
            "'prior'",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=f"argument {message}"):
        call()
