"""What customers buy: a taste that is never seen, a history that is.

    θ ~ uniform over the 144 states,     a(θ, s) = Π over the attributes of β_k if s_k = θ_k, else 1
    p(product i | θ) = e_i a(θ, s_i) / Z(θ),     Z(θ) = Σ_j e_j a(θ, s_j)

A taste names one value of each attribute, and a product that has it is β times as likely to be
bought. e_i is how often a product is shown, which is the shop's doing and not the customer's: the
exposure. Purchases are drawn independently from that; a customer may buy a thing twice. Products
that are new have the exposure 0 in the past.
"""

from collections.abc import Mapping

import numpy as np

from mmjax.checks import require
from mmjax.data.products.world import STATES, attributes_of, check_states

LIKED: Mapping[str, float] = {"category": 6.0, "colour": 4.0, "pattern": 2.0, "material": 5.0}
"""β for each attribute."""


def affinities(liked: Mapping[str, float] = LIKED) -> np.ndarray:
    """a(θ, s) for every taste and state: float64 [144, 144]."""
    values = attributes_of(np.arange(STATES))
    result = np.ones((STATES, STATES))
    for name, factor in liked.items():
        result *= np.where(values[name][:, None] == values[name][None, :], factor, 1.0)
    return result


def exposures(count: int, *, seed: int, exponent: float = 0.5) -> np.ndarray:
    """How often each product is shown: e = rank^−exponent in random order, mean 1, float64 [N].

    Raises ValueError for a count below 1 or a negative exponent.
    """
    require(count >= 1, "exposures", "count", expected="at least 1", got=count)
    require(exponent >= 0, "exposures", "exponent", expected="at least 0", got=exponent)
    ranks = 1.0 + np.random.default_rng(seed).permutation(count)
    return ranks**-exponent / (ranks**-exponent).mean()


def purchase_probabilities(product_posteriors: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """p(product i | taste θ): float64 [144, N], rows sum to 1.

    product_posteriors [N, 144]: what is known of each product; a row of one 1 knows its state. Then
    a(θ, s_i) is replaced by its expectation, Σ_s p(s | signals of i) a(θ, s): a plug-in, see
    `next_purchase`. exposure [N], not negative and not all 0. Raises ValueError for arrays that do
    not fit.
    """
    where, exposure = "purchase_probabilities", np.asarray(exposure, np.float64)
    ok = product_posteriors.ndim == 2 and product_posteriors.shape[1] == STATES
    expected = f"[N, {STATES}]"
    require(ok, where, "product_posteriors", expected=expected, got=product_posteriors)
    ok = exposure.shape == (len(product_posteriors),) and (exposure >= 0).all() and exposure.any()
    expected = f"[{len(product_posteriors)}], at least 0 and not all 0"
    require(bool(ok), where, "exposure", expected=expected, got=exposure)
    weight = affinities() @ product_posteriors.T * exposure
    return weight / weight.sum(axis=1, keepdims=True)


def sample_purchases(
    tastes: np.ndarray, states: np.ndarray, exposure: np.ndarray, number: int, *, seed: int
) -> np.ndarray:
    """Purchases of customers with these tastes: int [U, number], numbers of products.

    tastes int [U]; states int [N] and exposure [N] of the products. Raises TypeError or ValueError
    for arrays that do not fit or a number below 1.
    """
    where = "sample_purchases"
    tastes, states = check_states(tastes, where, "tastes"), check_states(states, where)
    require(number >= 1, where, "number", expected="at least 1", got=number)
    below = np.cumsum(purchase_probabilities(np.eye(STATES)[states], exposure), axis=1)
    rng, chosen = np.random.default_rng(seed), np.zeros((len(tastes), number), np.int64)
    draws = rng.random((len(tastes), number))
    for taste in np.unique(tastes):
        rows = tastes == taste
        chosen[rows] = np.searchsorted(below[taste] / below[taste, -1], draws[rows], side="right")
    return chosen


def taste_posterior(histories: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """p(θ | history) ∝ Π over the purchases p(product | θ): int [U, H], [144, N] → [U, 144].

    The evidence of the purchases adds: the history matters through one sum over its products.
    Raises ValueError for a history that no taste allows.
    """
    with np.errstate(divide="ignore"):
        evidence = np.log(probabilities.T)  # [N, 144]
    total = evidence[histories].sum(axis=1)
    top = total.max(axis=1, keepdims=True)
    ok, where = bool(np.isfinite(top).all()), "taste_posterior"
    require(ok, where, "histories", expected="products that were shown", got="one with exposure 0")
    weight = np.exp(total - top)
    return weight / weight.sum(axis=1, keepdims=True)


def next_purchase(
    histories: np.ndarray, past: np.ndarray, future: np.ndarray | None = None
) -> np.ndarray:
    """p(next product | history) = Σ_θ p(θ | history) p(product | θ): int [U, H] → [U, N].

    past [144, N]: `purchase_probabilities` when the history was made; future: those now, when
    products may be new; by default those of the past. Where the states are known, to sort by it is
    the best possible recommendation. Where they are not, it is a plug-in: it takes each purchase
    for a product of its own and learns nothing of a product from the purchases of others.
    """
    return taste_posterior(histories, past) @ (past if future is None else future)
