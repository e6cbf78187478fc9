"""Patients: a disease, a picture and a record. All of it is invented.

    d ~ Bernoulli(prior);   p(x, r | d) = p(x | d) p(r | d)

`picture` says how a picture looks with and without a spot, `record` what stands in a record. A spot
is in 85 % of the pictures of the ill, and, harmless, in 10 % of those of the healthy.
"""

from dataclasses import dataclass

import numpy as np

from mmjax.checks import require
from mmjax.data.patients.picture import SIDE, draw_noise, places, spots
from mmjax.data.patients.record import draw_records

PRIOR = 0.3
"""The share of the ill among those whom the clinic sees."""

SPOT_CHANCE = (0.10, 0.85)
"""Probability of a spot in the picture of a healthy and of an ill patient."""


@dataclass(frozen=True)
class Patients:
    """N patients. Of `sample_patients`.

    Attributes:
        disease: int32 [N], 1 for ill.
        pictures: float32 [N, 24, 24], in the unit of `picture.GRAIN`.
        values: float64 [N, 5], the fields of `record.FIELDS`; 0 where missing.
        measured: bool [N, 5], True where a field was measured.
        spots: int32 [N, 2], row and column of the spot's centre; −1 where there is none.
    """

    disease: np.ndarray
    pictures: np.ndarray
    values: np.ndarray
    measured: np.ndarray
    spots: np.ndarray

    def __len__(self) -> int:
        return len(self.disease)


def sample_patients(number: int, *, seed: int, prior: float = PRIOR) -> Patients:
    """Draws patients from the model. The same seed gives the same ones.

    Raises ValueError for fewer than one patient, or a prior that is not between 0 and 1.
    """
    where = "sample_patients"
    require(number >= 1, where, "number", expected="at least 1", got=number)
    require(0 < prior < 1, where, "prior", expected="between 0 and 1", got=prior)
    rng = np.random.default_rng(seed)
    disease = (rng.random(number) < prior).astype(np.int32)
    has_spot = rng.random(number) < np.array(SPOT_CHANCE)[disease]
    centres = places()[rng.integers(0, len(places()), number)]
    pictures = np.empty((number, SIDE, SIDE), np.float32)
    for start in range(0, number, 2048):  # float64 of all at once would be large
        part = slice(start, start + 2048)
        noise = draw_noise(len(disease[part]), rng)
        pictures[part] = noise + has_spot[part, None, None] * spots(centres[part])
    values, measured = draw_records(disease, rng)
    centres = np.where(has_spot[:, None], centres, -1).astype(np.int32)
    return Patients(disease, pictures, values, measured, centres)
