"""Section 4.1, equations 1 to 23: the formula, the scale, the softmax. Both sides in float64.

Expectations are exact: the random variables take finitely many values, and the tests sum over all
outcomes instead of drawing some.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import attention, formulas

T, S, D, D_V = 5, 7, 3, 2


@pytest.fixture
def arrays():
    random = np.random.default_rng(41)
    return tuple(random.normal(size=shape) for shape in ((T, D), (S, D), (S, D_V)))


@pytest.fixture
def row():
    return np.array([0.3, -1.2, 2.0, 0.3, 0.9])


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)


def derivative(function, x, step=1e-5):
    """Central differences of a function of a vector, last axis = which entry of x moved."""
    moves = np.eye(len(x)) * step
    return np.stack([(function(x + h) - function(x - h)) / (2 * step) for h in moves], axis=-1)


@pytest.mark.equation("4.1.1")
def test_the_formula(arrays, x64):
    """Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V: the package against the line as it stands."""
    Q, K, V = arrays
    exponentials = np.exp(Q @ K.T / np.sqrt(D))
    right = exponentials / exponentials.sum(axis=1, keepdims=True) @ V
    left = attention.scaled_dot_product_attention(*map(jnp.asarray, arrays))
    assert left.dtype == jnp.float64
    close(left, right)
    close(formulas.scaled_dot_product_attention(Q, K, V), right)


@pytest.mark.equation("4.1.2")
def test_scores(arrays):
    """Z_ts = Σ_i Q_ti K_si / √D: a sum over indices against log P, up to a shift of the row."""
    Q, K, _ = arrays
    Z = [[sum(Q[t, i] * K[s, i] for i in range(D)) / D**0.5 for s in range(S)] for t in range(T)]
    left, right = np.log(formulas.attention_weights(Q, K)), np.array(Z)
    close(left - left[:, :1], right - right[:, :1])
    close(Q @ K.T / math.sqrt(D), right)


@pytest.mark.equation("4.1.3")
def test_weights(arrays, x64):
    """P_ts = e^{Z_ts} / Σ_u e^{Z_tu}: the package against loops over the definition."""
    Q, K, _ = arrays
    Z = Q @ K.T / math.sqrt(D)
    right = [[math.exp(Z[t, s]) / sum(map(math.exp, Z[t])) for s in range(S)] for t in range(T)]
    close(attention.attention_weights(jnp.asarray(Q), jnp.asarray(K)), right)


@pytest.mark.equation("4.1.4")
def test_output(arrays, x64):
    """O_td = Σ_s P_ts V_sd: the package against loops over the definition."""
    Q, K, V = arrays
    P = formulas.attention_weights(Q, K)
    right = [[sum(P[t, s] * V[s, d] for s in range(S)) for d in range(D_V)] for t in range(T)]
    close(attention.scaled_dot_product_attention(*map(jnp.asarray, arrays)), right)


@pytest.mark.equation("4.1.5")
def test_the_weights_of_a_row_are_positive_and_sum_to_one(arrays, x64):
    """P_ts > 0, Σ_s P_ts = 1."""
    P = attention.attention_weights(*map(jnp.asarray, arrays[:2]))
    assert (P > 0).all()
    close(P.sum(axis=1), np.ones(T))


@pytest.mark.equation("4.1.6")
def test_the_output_stays_in_the_range_of_the_values(arrays, x64):
    """min_s V_sd ≤ O_td ≤ max_s V_sd, and both bounds are reached when a query is certain."""
    Q, K, V = arrays
    for scale in (0.0, 1.0, 1e3):
        out = attention.scaled_dot_product_attention(*map(jnp.asarray, (scale * Q, K, V)))
        assert (out >= V.min(axis=0)[None] - 1e-12).all()
        assert (out <= V.max(axis=0)[None] + 1e-12).all()
    close(formulas.scaled_dot_product_attention(1e4 * np.eye(S), np.eye(S), V), V)


@pytest.mark.equation("4.1.7")
def test_a_difference_of_scores_is_a_log_ratio_of_weights(arrays):
    """ln(P_ts / P_tu) = Z_ts − Z_tu."""
    Q, K, _ = arrays
    P, Z = formulas.attention_weights(Q, K), Q @ K.T / math.sqrt(D)
    close(np.log(P[:, :, None] / P[:, None, :]), Z[:, :, None] - Z[:, None, :])


# Independent components with mean 0 and variance 1: three that take two values, each with the
# probability that makes it so. Every expectation is a sum over all 2^(2D) outcomes.
OUTCOMES = {0: (1.0, -1.0, 0.5), 1: (2.0, -0.5, 0.2), 2: (0.25, -4.0, 16 / 17)}


def enumerate_scores():
    """Dot products of all (q, k), and their probabilities."""
    products, probabilities = [], []
    for choice in itertools.product((0, 1), repeat=2 * D):
        values = [OUTCOMES[n % D][c] for n, c in enumerate(choice)]
        chances = [OUTCOMES[n % D][2] if c == 0 else 1 - OUTCOMES[n % D][2]
                   for n, c in enumerate(choice)]  # fmt: skip
        products.append(np.dot(values[:D], values[D:]))
        probabilities.append(math.prod(chances))
    return np.array(products), np.array(probabilities)


def test_the_components_meet_the_assumption():
    for high, low, chance in OUTCOMES.values():
        close(chance * high + (1 - chance) * low, 0)
        close(chance * high**2 + (1 - chance) * low**2, 1)


@pytest.mark.equation("4.1.8")
def test_the_mean_of_a_dot_product_is_zero():
    """E[q·k] = Σ_i E[q_i] E[k_i] = 0."""
    products, probabilities = enumerate_scores()
    means = [p * high + (1 - p) * low for high, low, p in OUTCOMES.values()]
    close(probabilities @ products, sum(m * m for m in means))
    close(probabilities @ products, 0)


@pytest.mark.equation("4.1.9")
def test_the_variance_of_a_dot_product_is_the_width():
    """Var(q·k) = Σ_i E[q_i²] E[k_i²] = D."""
    products, probabilities = enumerate_scores()
    variance = probabilities @ products**2 - (probabilities @ products) ** 2
    squares = [p * high**2 + (1 - p) * low**2 for high, low, p in OUTCOMES.values()]
    close(variance, sum(x * x for x in squares))
    close(variance, D)


@pytest.mark.equation("4.1.10")
def test_the_scaled_score_has_variance_one():
    """Var(q·k / √D) = Var(q·k) / D = 1."""
    products, probabilities = enumerate_scores()

    def variance(x):
        return probabilities @ x**2 - (probabilities @ x) ** 2

    close(variance(products / math.sqrt(D)), variance(products) / D)
    close(variance(products / math.sqrt(D)), 1)


@pytest.mark.equation("4.1.11")
def test_the_variance_for_any_means_and_covariances():
    """Var(q·k) = tr(C_q C_k) + μ_qᵀ C_k μ_q + μ_kᵀ C_q μ_k, for uniform draws from two sets."""
    random = np.random.default_rng(0)
    q = random.normal(1.0, 2.0, size=(11, D)) @ random.normal(size=(D, D))
    k = random.normal(-0.5, 1.0, size=(13, D)) @ random.normal(size=(D, D))
    C_q, C_k = np.cov(q.T, bias=True), np.cov(k.T, bias=True)
    m_q, m_k = q.mean(axis=0), k.mean(axis=0)
    close((q @ k.T).var(), np.trace(C_q @ C_k) + m_q @ C_k @ m_q + m_k @ C_q @ m_k)


def equicorrelated(width, correlation):
    """2·width equally likely points with mean 0, variance 1 and this correlation of all pairs."""
    covariance = (1 - correlation) * np.eye(width) + correlation
    points = math.sqrt(width) * np.linalg.cholesky(covariance).T
    return np.vstack([points, -points])


@pytest.mark.equation("4.1.12")
@pytest.mark.parametrize(("width", "correlation"), [(2, 0.5), (8, 0.0), (8, -0.1), (64, 0.3)])
def test_correlated_components_make_the_variance_grow_with_the_width(width, correlation):
    """Var(q·k / √D) = 1 + (D − 1) ρ²."""
    points = equicorrelated(width, correlation)
    close(np.corrcoef(points.T)[0, 1], correlation)
    close((points @ points.T / math.sqrt(width)).var(), 1 + (width - 1) * correlation**2)


@pytest.mark.equation("4.1.13")
@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.25])
def test_a_query_correlated_with_its_key_shifts_the_mean(correlation):
    """E[q·k / √D] = r √D for component pairs ±1 that agree with probability (1 + r) / 2."""
    width, mean = 4, 0.0
    for signs in itertools.product((1, -1), repeat=width):  # q_i k_i
        chance = math.prod((1 + s * correlation) / 2 for s in signs)
        mean += chance * sum(signs) / math.sqrt(width)
    close(mean, correlation * math.sqrt(width))


@pytest.mark.equation("4.1.14")
def test_softmax_does_not_see_a_shift(row, x64):
    """softmax(z + c·1) = softmax(z); and the shift by the maximum keeps e^1000 from overflowing."""
    plain = np.exp(row) / np.exp(row).sum()
    for c in (-3.0, 0.7, 1000.0):
        close(formulas.softmax(row + c), plain)
        close(jax.nn.softmax(jnp.asarray(row + c)), plain)


@pytest.mark.equation("4.1.15")
def test_log_sum_exp_relative_to_the_maximum(row):
    """Λ(z) = ln Σ e^{z_u} = m + ln Σ e^{z_u − m}, m = max z."""
    left = math.log(sum(math.exp(z) for z in row))
    close(left, row.max() + math.log(sum(math.exp(z - row.max()) for z in row)))
    close(formulas.log_sum_exp(row), left)
    close(formulas.log_sum_exp(row + 1000), left + 1000)


@pytest.mark.equation("4.1.16")
def test_log_sum_exp_is_a_soft_maximum(row):
    """max z ≤ Λ(z) ≤ max z + ln S; equal scores reach the upper bound, one far ahead the lower."""
    for z in (row, 10 * row, -row):
        assert z.max() <= math.log(np.exp(z).sum()) <= z.max() + math.log(len(z))
    close(formulas.log_sum_exp(np.full(6, 0.4)), 0.4 + math.log(6))
    close(formulas.log_sum_exp(np.array([50.0, 0.0, 1.0])), 50.0)


@pytest.mark.equation("4.1.17")
def test_softmax_from_the_log_sum_exp(row):
    """p_s = e^{z_s − Λ(z)}."""
    close(formulas.softmax(row), [math.exp(z - math.log(np.exp(row).sum())) for z in row])


@pytest.mark.equation("4.1.18")
def test_the_gradient_of_the_log_sum_exp_is_the_softmax(row, x64):
    """∂Λ/∂z_s = p_s: autodiff and finite differences against the softmax."""
    right = np.exp(row) / np.exp(row).sum()
    close(jax.grad(lambda z: jnp.log(jnp.exp(z).sum()))(jnp.asarray(row)), right)
    np.testing.assert_allclose(derivative(formulas.log_sum_exp, row), right, atol=1e-9)


@pytest.mark.equation("4.1.19")
def test_the_jacobian_of_softmax(row, x64):
    """J_su = ∂p_s/∂z_u = p_s (δ_su − p_u): autodiff and finite differences against the formula."""
    p = np.exp(row) / np.exp(row).sum()
    right = [[p[s] * ((s == u) - p[u]) for u in range(5)] for s in range(5)]
    close(jax.jacobian(lambda z: jnp.exp(z) / jnp.exp(z).sum())(jnp.asarray(row)), right)
    np.testing.assert_allclose(derivative(formulas.softmax, row), right, atol=1e-9)
    close(formulas.softmax_jacobian(p), right)
    close(np.diag(p) - np.outer(p, p), right)


@pytest.mark.equation("4.1.20")
def test_the_jacobian_as_a_variance(row):
    """xᵀ J x = Σ p x² − (Σ p x)² ≥ 0 and J 1 = 0, with J from finite differences."""
    p, J = formulas.softmax(row), derivative(formulas.softmax, row)
    for x in np.random.default_rng(1).normal(size=(4, len(row))):
        np.testing.assert_allclose(x @ J @ x, np.average((x - p @ x) ** 2, weights=p), atol=1e-9)
        close(np.average((x - p @ x) ** 2, weights=p), p @ x**2 - (p @ x) ** 2)
    np.testing.assert_allclose(J @ np.ones(len(row)), 0, atol=1e-9)
    assert np.linalg.eigvalsh((J + J.T) / 2).min() > -1e-9


@pytest.mark.equation("4.1.21")
def test_the_trace_of_the_jacobian(row):
    """tr J = Σ p (1 − p) = 1 − Σ p²: the eigenvalues against both sums."""
    p = formulas.softmax(row)
    trace = np.linalg.eigvalsh(formulas.softmax_jacobian(p)).sum()
    close(trace, sum(x * (1 - x) for x in p))
    close(trace, 1 - sum(x * x for x in p))


@pytest.mark.equation("4.1.22")
@pytest.mark.parametrize("sharpness", [0.0, 0.5, 1.0, 4.0, 8.0])
def test_a_saturated_softmax_has_a_small_jacobian(row, sharpness):
    """‖J‖_F ≤ tr J ≤ 2 (1 − p_max); the bounds are tight: two keys bring ‖J‖_F to tr J."""
    p = formulas.softmax(sharpness * row)
    J = formulas.softmax_jacobian(p)
    assert np.sqrt((J**2).sum()) <= np.trace(J) <= 2 * (1 - p.max())
    pair = formulas.softmax_jacobian(formulas.softmax([sharpness, 0.0]))
    close(np.sqrt((pair**2).sum()), np.trace(pair))


@pytest.mark.equation("4.1.23")
@pytest.mark.parametrize("gap", [0.0, 1.0, 3.0, 8.0])
def test_what_the_others_keep_shrinks_exponentially_with_the_gap(gap):
    """1 − p_max ≤ (S − 1) e^{−g}; for a large gap the two agree."""
    p = formulas.softmax(np.array([gap] + [0.0] * (S - 1)))
    left, right = 1 - p.max(), (S - 1) * math.exp(-gap)
    assert left <= right
    if gap == 8.0:
        np.testing.assert_allclose(left, right, rtol=3e-3)
