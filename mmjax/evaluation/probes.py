"""A linear probe: what can be read from an embedding by a linear map.

Source: Alain & Bengio (2017), "Understanding intermediate layers using linear classifier probes".
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mmjax.checks import require, require_type


class Probe(NamedTuple):
    """scores = (x − centre) weights + offset; centre [E], weights [E, C], offset [C]."""

    centre: np.ndarray
    weights: np.ndarray
    offset: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scores [N, C] of vectors [N, E]; the largest is the answer."""
        return (x - self.centre) @ self.weights + self.offset


def fit_probe(x: np.ndarray, labels: np.ndarray, *, ridge: float = 1e-2) -> Probe:
    """The linear map that is closest to the one-hot labels, in closed form.

    W = (Xᶜᵀ Xᶜ / N + λ s I)⁻¹ Xᶜᵀ Yᶜ / N, with X and Y less their means, λ = `ridge` and s the mean
    variance of a feature, so that λ has no unit. It minimises |Xᶜ W − Yᶜ|² / N + λ s |W|².
    x float [N, E], labels int [N] from 0. Computed in float64. Raises TypeError or ValueError for
    arrays that do not fit or a ridge that is not above 0.
    """
    where = "fit_probe"
    fits = x.ndim == 2 and jnp.issubdtype(x.dtype, jnp.floating)
    require_type(fits, where, "x", expected="a floating-point array [N, E]", got=x)
    expected = "[N, E] with N and E at least 1"
    require(0 not in x.shape, where, "x", expected=expected, got=x)
    whole = np.issubdtype(labels.dtype, np.integer) and labels.shape == (len(x),)
    require_type(whole, where, "labels", expected=f"whole numbers [{len(x)}]", got=labels)
    require(labels.min() >= 0, where, "labels", expected="at least 0", got=labels.min())
    require(ridge > 0, where, "ridge", expected="above 0", got=ridge)
    x = x.astype(np.float64)
    y = np.eye(int(labels.max()) + 1)[labels]  # int: 255 + 1 has no room in a uint8
    centre, offset = x.mean(axis=0), y.mean(axis=0)
    inside, target = x - centre, y - offset
    scatter = inside.T @ inside / len(x)
    shrink = ridge * max(np.trace(scatter) / x.shape[1], 1e-12)
    system = scatter + shrink * np.eye(x.shape[1])
    return Probe(centre, np.linalg.solve(system, inside.T @ target / len(x)), offset)


def without_session_mean(embeddings: np.ndarray) -> np.ndarray:
    """h_t − mean_t h_t for every session: [N, T, E]. What a learner is on average is gone.

    Raises ValueError for another rank or sessions of one step, of which nothing would be left.
    """
    ok = embeddings.ndim == 3 and embeddings.shape[1] > 1
    expected = "[N, T, E] with T at least 2"
    require(ok, "without_session_mean", "embeddings", expected=expected, got=embeddings)
    return embeddings - embeddings.mean(axis=1, keepdims=True)
