"""The best that any model could do: the exact probability of the disease from what there is.

    log p(d = 1 | x, r) / p(d = 0 | x, r) = log prior odds + log ratio of x + log ratio of r

What is missing has no term. No model that reads the same can have a smaller expected log loss,
Brier score or cost, nor a ROC curve above this one anywhere.
"""

import numpy as np

from mmjax.checks import require
from mmjax.data.patients.picture import MARGIN, place_log_ratios
from mmjax.data.patients.record import record_log_ratio
from mmjax.data.patients.world import PRIOR, SPOT_CHANCE, Patients

MODALITIES = ("picture", "record")


def picture_log_ratio(pictures: np.ndarray) -> np.ndarray:
    """log p(x | ill) / p(x | healthy): [N, 24, 24] → float64 [N].

    Λ = the mean over the places u of e^{ℓ_u};  ratio = (1 − q_1 + q_1 Λ) / (1 − q_0 + q_0 Λ)

    It lies between log (1 − q_1) / (1 − q_0) and log q_1 / q_0, however clear the picture is.
    """
    ratios = place_log_ratios(pictures).reshape(len(pictures), -1)
    log_mean = np.logaddexp.reduce(ratios, axis=1) - np.log(ratios.shape[1])
    healthy, ill = (np.logaddexp(np.log1p(-q), np.log(q) + log_mean) for q in SPOT_CHANCE)
    return ill - healthy


def place_posterior(pictures: np.ndarray) -> np.ndarray:
    """p(the spot is at u | x, there is one): [N, 24, 24] → float64 [N, 24, 24], 0 at the margin."""
    ratios = place_log_ratios(pictures)
    peak = ratios.max(axis=(1, 2), keepdims=True)
    shares = np.exp(ratios - peak)
    shares /= shares.sum(axis=(1, 2), keepdims=True)
    return np.pad(shares, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))


def bayes_log_odds(
    patients: Patients, seen: tuple[str, ...] = MODALITIES, *, prior: float = PRIOR
) -> np.ndarray:
    """The exact log odds of the disease given the modalities in `seen`: float64 [N].

    Raises ValueError for a name that is not in MODALITIES or a prior not between 0 and 1.
    """
    where = "bayes_log_odds"
    ok = set(seen) <= set(MODALITIES)
    require(ok, where, "seen", expected=f"names out of {list(MODALITIES)}", got=repr(seen))
    require(0 < prior < 1, where, "prior", expected="between 0 and 1", got=prior)
    total = np.full(len(patients), np.log(prior) - np.log1p(-prior))
    if "picture" in seen:
        total += picture_log_ratio(patients.pictures)
    if "record" in seen:
        total += record_log_ratio(patients.values, patients.measured)
    return total
