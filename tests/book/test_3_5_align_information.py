"""Section 3.5: Gaussian pairs of known information, the exact price of noise, a first step."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.losses import clip_loss


def gaussian(x, y, rho):
    """The density of two standard normal variables with correlation ρ."""
    inverse = np.linalg.inv([[1, rho], [rho, 1]])
    v = np.stack([x, y], axis=-1)
    square = np.einsum("...i,ij,...j->...", v, inverse, v)
    return np.exp(-square / 2) / (2 * math.pi * math.sqrt(1 - rho**2))


def one_coordinate(x, y, rho):
    """A term of (3.5.17)."""
    numerator = 2 * rho * x * y - rho**2 * (x**2 + y**2)
    return -0.5 * math.log(1 - rho**2) + numerator / (2 * (1 - rho**2))


def grid(size=401, end=8.0):
    """Points and weight of a sum over the plane, which is exact to rounding for a Gaussian."""
    line = np.linspace(-end, end, size)
    return *np.meshgrid(line, line, indexing="ij"), (line[1] - line[0]) ** 2


@pytest.mark.equation("3.5.16")
def test_the_information_of_gaussian_pairs():
    x, y, weight = grid()
    for rho in (0.3, 0.8):
        p = gaussian(x, y, rho)
        alone = gaussian(x, y, 0.0)
        information = (p * np.log(p / alone)).sum() * weight
        assert information == pytest.approx(-0.5 * math.log(1 - rho**2), rel=1e-10)
    # Coordinates are independent: with determinants, for K = 3 at once.
    rho, K = 0.6, 3
    whole = np.kron([[1, rho], [rho, 1]], np.eye(K))
    by_determinants = -0.5 * math.log(np.linalg.det(whole))
    assert by_determinants == pytest.approx(-K / 2 * math.log(1 - rho**2), rel=1e-12)


@pytest.mark.equation("3.5.17")
def test_the_ideal_logit_of_gaussian_pairs():
    x, y = np.random.default_rng(0).normal(size=(2, 5, 3))
    for rho in (-0.5, 0.9):
        left = (np.log(gaussian(x, y, rho)) - np.log(gaussian(x, y, 0.0))).sum(axis=1)
        np.testing.assert_allclose(one_coordinate(x, y, rho).sum(axis=1), left, rtol=1e-10)


@pytest.mark.equation("3.5.18")
def test_the_exact_price_of_noise():
    x, y, weight = grid()

    def ratio(eta, rho):
        """Mean over deviation of x y under p_η, by a sum over the plane."""
        p = (1 - eta) * gaussian(x, y, rho) + eta * gaussian(x, y, 0.0)
        mean, square = ((p * (x * y) ** k).sum() * weight for k in (1, 2))
        return mean / math.sqrt(square - mean**2)

    for eta, rho in ((0.3, 0.1), (0.6, 0.9)):
        price = (1 + (1 - eta**2) * rho**2) / ((1 - eta) ** 2 * (1 + rho**2))
        assert (ratio(0, rho) / ratio(eta, rho)) ** 2 == pytest.approx(price, rel=1e-8)
        assert price <= 1 / (1 - eta) ** 2
        assert price >= 1 / (1 - eta)  # dearer than to know which pairs are wrong


@pytest.mark.equation("3.5.19")
def test_the_first_step_is_the_covariance(x64):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(6, 3)) + 1, rng.normal(size=(6, 4)) - 2
    covariance = a.T @ b / 6 - np.outer(a.mean(0), b.mean(0))

    def loss(M):
        return clip_loss(jnp.asarray(a) @ M, jnp.asarray(b), jnp.asarray(0.0))

    gradient = jax.grad(loss)(jnp.zeros((3, 4)))
    np.testing.assert_allclose(gradient, -covariance, atol=1e-13)
