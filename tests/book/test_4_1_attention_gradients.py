"""Section 4.1, equations 24 to 33: the gradients by hand, masks, the empty row. In float64.

The left side is JAX's derivative of the three steps, written out here as plain array expressions;
the right side is the formula of the page in NumPy, by indices and as matrices.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import attention, formulas

T, S, D, D_V = 5, 7, 3, 2


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-12)


@pytest.fixture
def arrays():
    """Q, K, V, dO and the weights P as NumPy float64."""
    random = np.random.default_rng(41)
    shapes = (T, D), (S, D), (S, D_V), (T, D_V)
    Q, K, V, dO = (random.normal(size=shape) for shape in shapes)
    return Q, K, V, dO, formulas.attention_weights(Q, K)


def softmax(Z):
    return jnp.exp(Z) / jnp.exp(Z).sum(axis=1, keepdims=True)


def gradient(function, x, dO):
    """JAX's gradient of Σ dO ∘ function(x) with respect to x."""
    return jax.grad(lambda x: jnp.sum(jnp.asarray(dO) * function(x)))(jnp.asarray(x))


def score_gradient(arrays):
    Q, K, V, dO, P = arrays
    return gradient(lambda Z: softmax(Z) @ V, Q @ K.T / math.sqrt(D), dO)


@pytest.mark.equation("4.1.24")
def test_the_gradient_of_the_values(arrays, x64):
    """dV_sd = Σ_t P_ts dO_td, dV = Pᵀ dO."""
    _, _, V, dO, P = arrays
    left = gradient(lambda V: P @ V, V, dO)
    by_index = [[sum(P[t, s] * dO[t, d] for t in range(T)) for d in range(D_V)] for s in range(S)]
    close(left, by_index)
    close(left, P.T @ dO)


@pytest.mark.equation("4.1.25")
def test_the_gradient_of_the_weights(arrays, x64):
    """dP_ts = Σ_d dO_td V_sd, dP = dO Vᵀ."""
    _, _, V, dO, P = arrays
    left = gradient(lambda P: P @ V, P, dO)
    by_index = [[sum(dO[t, d] * V[s, d] for d in range(D_V)) for s in range(S)] for t in range(T)]
    close(left, by_index)
    close(left, dO @ V.T)


@pytest.mark.equation("4.1.26")
def test_the_gradient_of_the_scores(arrays, x64):
    """dZ_ts = P_ts (dP_ts − Σ_u P_tu dP_tu)."""
    _, _, V, dO, P = arrays
    dP = dO @ V.T
    right = [
        [P[t, s] * (dP[t, s] - sum(P[t, u] * dP[t, u] for u in range(S))) for s in range(S)]
        for t in range(T)
    ]
    close(score_gradient(arrays), right)


@pytest.mark.equation("4.1.27")
def test_delta_needs_no_weights(arrays):
    """δ_t = Σ_u P_tu dP_tu = Σ_d dO_td O_td."""
    _, _, V, dO, P = arrays
    dP, out = dO @ V.T, P @ V
    left = [sum(P[t, u] * dP[t, u] for u in range(S)) for t in range(T)]
    close(left, [sum(dO[t, d] * out[t, d] for d in range(D_V)) for t in range(T)])


@pytest.mark.equation("4.1.28")
def test_the_score_gradients_of_a_row_sum_to_zero(arrays, x64):
    """Σ_s dZ_ts = 0."""
    dZ = score_gradient(arrays)
    assert np.abs(dZ).max() > 0.1
    close(dZ.sum(axis=1), np.zeros(T))


@pytest.mark.equation("4.1.29")
def test_the_gradient_of_the_queries(arrays, x64):
    """dQ_ti = Σ_s dZ_ts K_si / √D, dQ = dZ K / √D: autodiff, the package and the oracle."""
    Q, K, V, dO, _ = arrays
    dZ = np.asarray(score_gradient(arrays))
    right = dZ @ K / math.sqrt(D)
    by_index = [[sum(dZ[t, s] * K[s, i] for s in range(S)) for i in range(D)] for t in range(T)]
    close(right, np.array(by_index) / D**0.5)
    close(gradient(lambda Q: softmax(Q @ K.T / math.sqrt(D)) @ V, Q, dO), right)
    package = attention.scaled_dot_product_attention
    close(gradient(lambda Q: package(Q, jnp.asarray(K), jnp.asarray(V)), Q, dO), right)
    close(formulas.attention_gradients(Q, K, V, dO)[0], right)


@pytest.mark.equation("4.1.30")
def test_the_gradient_of_the_keys(arrays, x64):
    """dK_si = Σ_t dZ_ts Q_ti / √D, dK = dZᵀ Q / √D: autodiff, the package and the oracle."""
    Q, K, V, dO, _ = arrays
    dZ = np.asarray(score_gradient(arrays))
    right = dZ.T @ Q / math.sqrt(D)
    by_index = [[sum(dZ[t, s] * Q[t, i] for t in range(T)) for i in range(D)] for s in range(S)]
    close(right, np.array(by_index) / D**0.5)
    close(gradient(lambda K: softmax(Q @ K.T / math.sqrt(D)) @ V, K, dO), right)
    package = attention.scaled_dot_product_attention
    close(gradient(lambda K: package(jnp.asarray(Q), K, jnp.asarray(V)), K, dO), right)
    close(formulas.attention_gradients(Q, K, V, dO)[1], right)


@pytest.mark.equation("4.1.31")
def test_the_gradients_of_all_keys_cancel(arrays, x64):
    """Σ_s dK_si = 0, because one vector added to every key changes no weight."""
    Q, K, V, dO, P = arrays
    dK = gradient(lambda K: softmax(Q @ K.T / math.sqrt(D)) @ V, K, dO)
    assert np.abs(dK).max() > 0.1
    close(dK.sum(axis=0), np.zeros(D))
    close(formulas.attention_weights(Q, K + np.array([[0.5, -2.0, 1.0]])), P)


@pytest.fixture
def mask():
    """Row 0 is empty, row 1 has one permitted key, the others some."""
    mask = np.random.default_rng(3).random((T, S)) < 0.5
    mask[0], mask[1] = False, np.arange(S) == 4
    mask[2:, 2] = True
    return mask


@pytest.mark.equation("4.1.32")
def test_the_masked_weights(arrays, mask, x64):
    """P_ts = M_ts e^{Z_ts} / Σ_u M_tu e^{Z_tu}, or 0 in an empty row: package against loops."""
    Q, K = arrays[:2]
    right = np.zeros((T, S))
    for t in range(T):
        e = [mask[t, s] * math.exp(Q[t] @ K[s] / math.sqrt(D)) for s in range(S)]
        if mask[t].sum() > 0:
            right[t] = np.array(e) / sum(e)
    left = attention.attention_weights(jnp.asarray(Q), jnp.asarray(K), mask=jnp.asarray(mask))
    close(left, right)
    close(formulas.attention_weights(Q, K, mask), right)
    assert (right[0] == 0).all() and right[1, 4] == 1


@pytest.mark.equation("4.1.33")
@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
def test_forbidden_pairs_and_empty_rows_send_nothing_back(arrays, mask, implementation, x64):
    """M_ts = 0 ⇒ dZ_ts = 0; an empty row has O_t = 0 and dQ_t = 0."""
    Q, K, V, dO, _ = (jnp.asarray(a) for a in arrays)

    def package(Q, K, V):
        return attention.scaled_dot_product_attention(
            Q, K, V, mask=jnp.asarray(mask), implementation=implementation
        )

    # One-hot keys of width S make the scores visible: with K = √S · 1 the query is its row of Z.
    identity = jnp.eye(S) * math.sqrt(S)
    Z = Q @ K.T / math.sqrt(D)
    dZ = gradient(lambda Z: package(Z, identity, V), Z, dO)
    assert (dZ[~mask] == 0).all()
    P = formulas.attention_weights(Q, K, mask)
    dP = np.asarray(dO @ V.T)
    close(dZ, P * (dP - (P * dP).sum(axis=1, keepdims=True)))
    assert (package(Q, K, V)[0] == 0).all()
    assert (gradient(lambda Q: package(Q, K, V), Q, dO)[0] == 0).all()
