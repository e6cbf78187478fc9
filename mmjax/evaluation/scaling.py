"""A scaling law: loss against parameters and data, fitted to runs, with its uncertainty.

Source: Hoffmann et al. (2022), "Training compute-optimal large language models", section 3.3 and
appendix D.3 (the parametric form, and the Huber loss on logarithms).
"""

from dataclasses import astuple, dataclass

import numpy as np

from mmjax.checks import require

HUBER = 1e-3
"""δ: residuals of the logarithm beyond it count linearly (Hoffmann et al., 2022, appendix D.3)."""


@dataclass(frozen=True)
class ScalingLaw:
    """L(N, D) = E + A / N^α + B / D^β for N parameters and D tokens of training."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, parameters, tokens):
        """The loss that the law predicts, arrays or numbers."""
        N, D = np.asarray(parameters, np.float64), np.asarray(tokens, np.float64)
        return self.E + self.A / N**self.alpha + self.B / D**self.beta

    def best_split(self, compute):
        """The N and D of the lowest loss among all with 6 N D = compute.

        N = G (C / 6)^{β / (α + β)},  D = (C / 6)^{α / (α + β)} / G,
        G = (α A / (β B))^{1 / (α + β)}

        Source: Hoffmann et al. (2022), equation 4.
        """
        C, total = np.asarray(compute, np.float64) / 6, self.alpha + self.beta
        G = (self.alpha * self.A / (self.beta * self.B)) ** (1 / total)
        return G * C ** (self.beta / total), C ** (self.alpha / total) / G


def fit_scaling_law(parameters, tokens, losses, *, delta: float = HUBER) -> ScalingLaw:
    """The law that fits runs best: min Σ Huber_δ( log L(N_i, D_i) − log L_i ).

    In the logarithms e, a, b of E, A, B the prediction is log-sum-exp(e, a − α log N, b − β log D).
    It has several minima, so the search starts from a grid of exponents and keeps the best end.
    Arrays of one length, all positive, of at least six runs with at least three N and three D,
    as three points of a curve are needed for its exponent.
    Raises ValueError for others.
    """
    x, y = _check("fit_scaling_law", parameters, tokens, losses, delta)
    return _law(_search(x, y[None], np.ones((1, len(y))), delta)[0])


def bootstrap_scaling_law(
    parameters, tokens, losses, *, samples: int, seed: int, delta: float = HUBER
) -> list[ScalingLaw]:
    """The laws of `samples` data sets drawn from the runs with replacement: how sure the fit is.

    A run that is drawn twice has the weight 2. The spread says what other runs of the same kind
    would have given; it says nothing about whether the form of the law is right.
    Raises ValueError as `fit_scaling_law`, and for fewer than one sample.
    """
    where = "bootstrap_scaling_law"
    require(samples >= 1, where, "samples", expected="at least 1", got=samples)
    x, y = _check(where, parameters, tokens, losses, delta)
    rng, weights = np.random.default_rng(seed), []
    while len(weights) < samples:
        rows = rng.integers(len(y), size=len(y))
        if all(len(np.unique(x[rows, j])) > 2 for j in (0, 1)):  # else no exponent
            weights.append(np.bincount(rows, minlength=len(y)))
    found = _search(x, np.repeat(y[None], samples, 0), np.array(weights, np.float64), delta)
    return [_law(theta) for theta in found]


def interval(laws: list[ScalingLaw], level: float = 0.8) -> np.ndarray:
    """For E, A, α, B, β the interval that holds the middle `level` of the laws: [5, 2]."""
    tail = 50 * (1 - level)
    return np.percentile([astuple(law) for law in laws], [tail, 100 - tail], axis=0).T


def _law(theta: np.ndarray) -> ScalingLaw:
    e, a, alpha, b, beta = theta.tolist()
    return ScalingLaw(np.exp(e), np.exp(a), alpha, np.exp(b), beta)


def _check(where, parameters, tokens, losses, delta):
    arrays = {}
    for name, values in (("parameters", parameters), ("tokens", tokens), ("losses", losses)):
        values = arrays[name] = np.asarray(values, np.float64)
        ok = values.ndim == 1 and len(values) >= 6 and bool((values > 0).all())
        ok = ok and bool(np.isfinite(values).all())
        require(ok, where, name, expected="at least 6 positive numbers", got=values)
        expected, same = f"{len(arrays['parameters'])} numbers", len(values)
        require(same == len(arrays["parameters"]), where, name, expected=expected, got=values)
    for name in ("parameters", "tokens"):
        several = len(np.unique(arrays[name])) > 2
        require(several, where, name, expected="at least three different numbers", got=arrays[name])
    require(delta > 0, where, "delta", expected="above 0", got=delta)
    x = np.log(np.stack([arrays["parameters"], arrays["tokens"]], axis=1))
    return x, np.log(arrays["losses"])


def _predict(theta, x):
    """log L̂ [K, n] and its derivatives by e, a, α, b, β [K, n, 5], for K laws at once."""
    e, a, alpha, b, beta = theta.T[:, :, None]
    terms = np.stack([e + 0 * x[:, 0], a - alpha * x[:, 0], b - beta * x[:, 1]])
    top = terms.max(0)
    value = top + np.log(np.exp(terms - top).sum(0))
    of_e, of_a, of_b = np.exp(terms - value)
    return value, np.stack([of_e, of_a, -of_a * x[:, 0], of_b, -of_b * x[:, 1]], axis=2)


def _cost(residual, weight, delta):
    size = np.abs(residual)
    huber = np.where(size <= delta, residual**2 / 2, delta * (size - delta / 2))
    return (weight * huber).sum(1)


def _search(x, y, weight, delta, rounds=300):
    """The best theta [K, 5] for each of K rows of y and weight, by Levenberg and Marquardt.

    The Huber loss is a sum of squares with weights δ / |residual| beyond δ. All rows and all starts
    take their steps together.
    """
    starts = np.array(
        [
            (
                y.min() - gap,
                np.log(scale) + alpha * x[:, 0].mean(),
                alpha,
                np.log(scale) + beta * x[:, 1].mean(),
                beta,
            )
            for gap in (0.2, 1.0)
            for alpha in (0.2, 0.6)
            for beta in (0.2, 0.6)
            for scale in (0.5,)
        ]
    )
    K, S = len(y), len(starts)
    theta = np.tile(starts, (K, 1))
    y, weight = np.repeat(y, S, 0), np.repeat(weight, S, 0)
    damping = np.full(K * S, 1e-2)
    value, slope = _predict(theta, x)
    cost = _cost(value - y, weight, delta)
    for _ in range(rounds):
        residual = value - y
        w = weight * np.minimum(1, delta / np.maximum(np.abs(residual), 1e-300))
        square = np.einsum("kni,kn,knj->kij", slope, w, slope)
        down = np.einsum("kni,kn->ki", slope, w * residual)
        scale = np.einsum("kii->ki", square) + 1e-12
        step = np.linalg.solve(
            square + damping[:, None, None] * scale[:, :, None] * np.eye(5), down[:, :, None]
        )[:, :, 0]
        tried = theta - np.clip(step, -1, 1)
        new_value, new_slope = _predict(tried, x)
        new_cost = _cost(new_value - y, weight, delta)
        better = new_cost < cost
        theta[better], value[better] = tried[better], new_value[better]
        slope[better], cost[better] = new_slope[better], new_cost[better]
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-9, 1e9)
    best = cost.reshape(K, S).argmin(1)
    return theta.reshape(K, S, 5)[np.arange(K), best]
