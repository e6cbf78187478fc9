"""The record of a patient: five fields, two of them laboratory values that may be missing.

Given the disease d (0 or 1):

    age           ~ N(52 + 7 d, 12²)  years
    sex           = female with probability 0.55 − 0.10 d
    history       = yes with probability 0.10 + 0.15 d        (someone in the family has had it)
    marker        ~ N(1 + 0.02 (age − 55) + 0.6 d, 0.8²)      logarithm of a concentration
    inflammation  ~ N(0.5 + 0.5 d, (0.6 + 0.2 d)²)            logarithm of a concentration

The marker is missing in one of five records, whoever it is: tubes get lost. Inflammation is
measured when somebody asks for it, in 40 % of the healthy and in 65 % of the ill. So that it was
measured already says something.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from mmjax.checks import require, require_type

FIELDS = ("age", "sex", "history", "marker", "inflammation")
AGE, SEX, HISTORY, MARKER, INFLAMMATION = range(5)

CHANCE: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "female": (0.55, 0.45),
        "history": (0.10, 0.25),
        "marker measured": (0.80, 0.80),
        "inflammation measured": (0.40, 0.65),
    }
)
"""Probabilities for the healthy and for the ill."""


def normal_of(field: str, disease: int, age):
    """Mean and standard deviation of age, marker or inflammation, given the disease (and age)."""
    if field == "age":
        return 52.0 + 7.0 * disease, 12.0
    if field == "marker":
        return 1.0 + 0.02 * (age - 55.0) + 0.6 * disease, 0.8
    return 0.5 + 0.5 * disease, 0.6 + 0.2 * disease


def draw_records(disease: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Values float64 [N, 5], 0 where missing, and which were measured, bool [N, 5]."""
    number = len(disease)
    values, measured = np.zeros((number, len(FIELDS))), np.ones((number, len(FIELDS)), bool)

    def happens(name):
        return rng.random(number) < np.array(CHANCE[name])[disease]

    for column, field in ((AGE, "age"), (MARKER, "marker"), (INFLAMMATION, "inflammation")):
        mean, deviation = normal_of(field, disease, values[:, AGE])
        values[:, column] = mean + deviation * rng.normal(size=number)
    values[:, SEX], values[:, HISTORY] = happens("female"), happens("history")
    measured[:, MARKER] = happens("marker measured")
    measured[:, INFLAMMATION] = happens("inflammation measured")
    return np.where(measured, values, 0.0), measured


def record_log_ratio(values: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """log p(record | ill) / p(record | healthy): [N, 5], bool [N, 5] → float64 [N].

    A sum over the fields, for given the disease (and the age) they are independent. A field that
    was not measured leaves only the probability of that. What stands in its place is not read.
    Raises ValueError or TypeError for arrays that do not fit, and where age, sex or history are
    missing, which the model does not know.
    """
    values, measured = check_records(values, measured, "record_log_ratio")
    always = bool(measured[:, [AGE, SEX, HISTORY]].all())
    expected = "age, sex and history in every record"
    require(always, "record_log_ratio", "measured", expected=expected, got=measured)
    age, total = values[:, AGE], np.zeros(len(values))
    for column, field in ((AGE, "age"), (MARKER, "marker"), (INFLAMMATION, "inflammation")):
        log_p = [_log_normal(values[:, column], *normal_of(field, d, age)) for d in (0, 1)]
        total += np.where(measured[:, column], log_p[1] - log_p[0], 0.0)
    total += _log_odds(values[:, SEX] == 1, "female")
    total += _log_odds(values[:, HISTORY] == 1, "history")
    total += _log_odds(measured[:, MARKER], "marker measured")
    return total + _log_odds(measured[:, INFLAMMATION], "inflammation measured")


def record_tokens(values: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """What a model reads: a token for each field, float32 [N, 5, 2], its value and δ.

    The value is on a scale of about one, (age − 55) / 12 and likewise, and 0 where it is missing;
    δ is 1 where it was measured. The scale is fixed, so nothing of a test set is in it.
    Raises ValueError or TypeError for arrays that do not fit.
    """
    values, measured = check_records(values, measured, "record_tokens")
    centre, scale = np.array([55.0, 0.5, 0.15, 1.2, 0.8]), np.array([12.0, 0.5, 0.4, 0.9, 0.8])
    scaled = np.where(measured, (np.where(measured, values, 0.0) - centre) / scale, 0.0)
    return np.stack([scaled, measured], axis=2).astype(np.float32)


def check_records(values, measured, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays; raises unless they are numbers [N, 5] and bool [N, 5]."""
    values, measured = np.asarray(values, np.float64), np.asarray(measured)
    ok = values.ndim == 2 and values.shape[1] == len(FIELDS)
    require(ok, where, "values", expected=f"[N, {len(FIELDS)}]", got=values)
    expected = f"bool {list(values.shape)} (True = it was measured)"
    require_type(measured.dtype == bool, where, "measured", expected=expected, got=measured)
    require(measured.shape == values.shape, where, "measured", expected=expected, got=measured)
    known = np.isfinite(values[measured]).all()
    require(known, where, "values", expected="numbers where it was measured", got="NaN or ∞")
    return np.where(measured, values, 0.0), measured


def _log_normal(x, mean, deviation):
    return -(((x - mean) / deviation) ** 2) / 2 - np.log(deviation)


def _log_odds(happened: np.ndarray, name: str) -> np.ndarray:
    healthy, ill = CHANCE[name]
    return np.where(happened, np.log(ill / healthy), np.log((1 - ill) / (1 - healthy)))
