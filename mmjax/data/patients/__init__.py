"""Invented patients: a disease, a picture, a record, and the exact probability of the disease.

`world` draws them, `picture` and `record` say how each looks given the disease, `bayes` computes
the best possible answers.
"""

from mmjax.data.patients.bayes import (
    MODALITIES,
    bayes_log_odds,
    picture_log_ratio,
    place_posterior,
)
from mmjax.data.patients.picture import (
    MARGIN,
    SIDE,
    detectability,
    draw_noise,
    noise_spectrum,
    place_log_ratios,
    places,
    spots,
)
from mmjax.data.patients.record import FIELDS, record_log_ratio, record_tokens
from mmjax.data.patients.world import PRIOR, SPOT_CHANCE, Patients, sample_patients

__all__ = [
    "FIELDS",
    "MARGIN",
    "MODALITIES",
    "PRIOR",
    "SIDE",
    "SPOT_CHANCE",
    "Patients",
    "bayes_log_odds",
    "detectability",
    "draw_noise",
    "noise_spectrum",
    "picture_log_ratio",
    "place_log_ratios",
    "place_posterior",
    "places",
    "record_log_ratio",
    "record_tokens",
    "sample_patients",
    "spots",
]
