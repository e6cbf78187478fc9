"""Section 4.1, equations 34 to 51: the blockwise form, the costs, the order of the tokens.

In float64. The numbers that the page works out on paper are checked at the end.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import attention, formulas
from mmjax.measure import matrix_flops, numbers_kept

T, S, D, D_V = 5, 7, 3, 2
BLOCKS = (range(0, 3), range(3, 4), range(4, 7))  # unequal on purpose
SIZES = [(5, 7, 3, 2), (8, 8, 4, 4), (11, 6, 5, 13)]


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-12)


@pytest.fixture
def arrays():
    random = np.random.default_rng(41)
    shapes = (T, D), (S, D), (S, D_V), (T, D_V)
    return tuple(2 * random.normal(size=shape) for shape in shapes)


def scores(arrays):
    Q, K = arrays[:2]
    return Q @ K.T / math.sqrt(D)


def recurrence(z, V, blocks):
    """The states (m, ℓ, a) after each block, for one row of scores, as the page writes them."""
    states = [(-math.inf, 0.0, np.zeros(V.shape[1]))]
    for block in blocks:
        m_old, l_old, a_old = states[-1]
        m = max(m_old, max(z[s] for s in block))
        rescale = math.exp(m_old - m)
        l_new = rescale * l_old + sum(math.exp(z[s] - m) for s in block)
        a_new = rescale * a_old + sum(math.exp(z[s] - m) * V[s] for s in block)
        states.append((m, l_new, a_new))
    return states


def seen_after(j):
    return [s for block in BLOCKS[:j] for s in block]


@pytest.mark.equation("4.1.34")
def test_the_running_maximum(arrays):
    """m^(j) = max(m^(j−1), max of the block): the largest score of all keys seen."""
    for z in scores(arrays):
        for j, (m, _, _) in enumerate(recurrence(z, arrays[2], BLOCKS)[1:], start=1):
            assert m == max(z[seen_after(j)])


@pytest.mark.equation("4.1.35")
def test_the_running_sum(arrays):
    """ℓ^(j) = e^{m^(j−1) − m^(j)} ℓ^(j−1) + Σ e^{Z − m^(j)}: the last one is e^{Λ − m}."""
    for z in scores(arrays):
        m, total, _ = recurrence(z, arrays[2], BLOCKS)[-1]
        close(total, np.exp(z).sum() / math.exp(m))


@pytest.mark.equation("4.1.36")
def test_the_running_weighted_sum(arrays):
    """a^(j) = e^{m^(j−1) − m^(j)} a^(j−1) + Σ e^{Z − m^(j)} V: the last one is Σ e^{Z − m} V."""
    V = arrays[2]
    for z in scores(arrays):
        m, _, weighted = recurrence(z, V, BLOCKS)[-1]
        close(weighted, np.exp(z) @ V / math.exp(m))


@pytest.mark.equation("4.1.37")
@pytest.mark.parametrize("block_size", [1, 2, 3, 7, None])
def test_the_blockwise_output(arrays, block_size, x64):
    """O = a^(n) / ℓ^(n): the recurrence, the package in blocks, and the whole softmax agree."""
    Q, K, V, _ = arrays
    Z = scores(arrays)
    whole = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True) @ V
    final = [recurrence(z, V, BLOCKS)[-1] for z in Z]
    close([a / total for _, total, a in final], whole)
    package = attention.blockwise_attention(*map(jnp.asarray, (Q, K, V)), block_size=block_size)
    close(package, whole)
    close(formulas.online_softmax_attention(Q, K, V), whole)


@pytest.mark.equation("4.1.38")
def test_the_invariant_of_the_proof(arrays):
    """After every block: ℓ = Σ_seen e^{Z − m} and a = Σ_seen e^{Z − m} V."""
    V = arrays[2]
    for z in scores(arrays):
        for j, (m, total, weighted) in enumerate(recurrence(z, V, BLOCKS)[1:], start=1):
            seen = seen_after(j)
            close(total, np.exp(z[seen] - m).sum())
            close(weighted, np.exp(z[seen] - m) @ V[seen])


@pytest.mark.equation("4.1.39")
def test_two_halves_computed_apart_are_merged(arrays):
    """ℓ = e^{m1 − m} ℓ1 + e^{m2 − m} ℓ2, the same for a, m = max(m1, m2)."""
    V = arrays[2]
    for z in scores(arrays):
        (m_1, l_1, a_1), (m_2, l_2, a_2), (m, total, weighted) = (
            recurrence(z, V, [part])[-1] for part in (range(0, 4), range(4, 7), range(7))
        )
        assert m == max(m_1, m_2)
        close(total, math.exp(m_1 - m) * l_1 + math.exp(m_2 - m) * l_2)
        close(weighted, math.exp(m_1 - m) * a_1 + math.exp(m_2 - m) * a_2)


@pytest.mark.equation("4.1.40")
def test_the_log_sum_exp_from_the_last_state(arrays):
    """Λ_t = m^(n) + ln ℓ^(n)."""
    for z in scores(arrays):
        m, total, _ = recurrence(z, arrays[2], BLOCKS)[-1]
        close(math.log(np.exp(z).sum()), m + math.log(total))


@pytest.mark.equation("4.1.41")
def test_weights_from_the_log_sum_exp(arrays, x64):
    """P_ts = e^{Z_ts − Λ_t}: the package's weights against one exponential."""
    Q, K = (jnp.asarray(a) for a in arrays[:2])
    log_sum_exp = [[math.log(sum(map(math.exp, z)))] for z in scores(arrays)]
    close(attention.attention_weights(Q, K), np.exp(scores(arrays) - log_sum_exp))


def gradients_by_blocks(arrays):
    """dQ, dK, dV as sums over blocks, from Λ and δ only; never more than a block of weights."""
    Q, K, V, dO = arrays
    Z = scores(arrays)
    out = formulas.online_softmax_attention(Q, K, V)
    log_sum_exp, delta = np.log(np.exp(Z).sum(axis=1)), (dO * out).sum(axis=1)
    dQ, dK, dV = np.zeros_like(Q), np.zeros_like(K), np.zeros_like(V)
    for block in BLOCKS:
        for s in block:
            for t in range(T):
                p = math.exp(Q[t] @ K[s] / math.sqrt(D) - log_sum_exp[t])
                dz = p * (dO[t] @ V[s] - delta[t])
                dQ[t] += dz * K[s] / math.sqrt(D)
                dK[s] += dz * Q[t] / math.sqrt(D)
                dV[s] += p * dO[t]
    return dQ, dK, dV


def autodiff(arrays, which):
    """JAX's derivative of the plain softmax, and that of the package's blockwise attention."""
    *inputs, dO = (jnp.asarray(a) for a in arrays)

    def plain(Q, K, V):
        e = jnp.exp(Q @ K.T / math.sqrt(D))
        return e / e.sum(axis=1, keepdims=True) @ V

    blockwise = functools.partial(attention.blockwise_attention, block_size=3)
    return [pull_back(function)(*inputs, dO)[which] for function in (plain, blockwise)]


def pull_back(function):
    """(Q, K, V, dO) → (dQ, dK, dV), compiled."""
    return jax.jit(lambda Q, K, V, dO: jax.vjp(function, Q, K, V)[1](dO))


@pytest.mark.equation("4.1.42")
def test_the_query_gradient_by_blocks(arrays, x64):
    """dQ_t = Σ_J Σ_{s ∈ J} e^{Z − Λ} (dO·V − δ) K_s / √D."""
    for left in autodiff(arrays, 0):
        close(left, gradients_by_blocks(arrays)[0])


@pytest.mark.equation("4.1.43")
def test_the_key_and_value_gradients_by_blocks(arrays, x64):
    """dK_s = Σ_t e^{Z − Λ} (dO·V − δ) Q_t / √D, dV_s = Σ_t e^{Z − Λ} dO_t."""
    for which in (1, 2):
        for left in autodiff(arrays, which):
            close(left, gradients_by_blocks(arrays)[which])


def inputs_of(T, S, D, D_v):
    return tuple(jnp.ones(shape) for shape in ((T, D), (S, D), (S, D_v), (T, D_v)))


def backward_flops(function, sizes):
    """FLOPs of forward and backward pass together, less those of the forward pass."""
    *inputs, dO = inputs_of(*sizes)

    def both(Q, K, V, dO):
        return jax.vjp(function, Q, K, V)[1](dO)

    return matrix_flops(both, *inputs, dO) - matrix_flops(function, *inputs)


@pytest.mark.equation("4.1.44")
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("block_size", [None, 2, 3])
def test_the_flops_of_the_forward_pass(sizes, block_size):
    """F = 2 T S (D + D_v), counted in the program, plain and blockwise."""
    T, S, D, D_v = sizes
    function = functools.partial(attention.blockwise_attention, block_size=block_size)
    inputs = inputs_of(*sizes)[:3]
    right = 2 * T * S * (D + D_v)
    assert matrix_flops(function, *inputs) == right
    assert matrix_flops(attention.scaled_dot_product_attention, *inputs) == right


@pytest.mark.equation("4.1.45")
@pytest.mark.parametrize("sizes", SIZES)
def test_the_flops_of_the_backward_pass(sizes):
    """F = 4 T S (D + D_v), counted in the program that JAX derives."""
    T, S, D, D_v = sizes
    left = backward_flops(attention.scaled_dot_product_attention, sizes)
    assert left == 4 * T * S * (D + D_v)


@pytest.mark.equation("4.1.46")
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("block_size", [None, 2, 3])
def test_the_flops_of_the_blockwise_backward_pass(sizes, block_size):
    """F = 4 T S (D + D_v) + 2 T S D, counted in the program."""
    T, S, D, D_v = sizes
    function = functools.partial(attention.blockwise_attention, block_size=block_size)
    assert backward_flops(function, sizes) == 4 * T * S * (D + D_v) + 2 * T * S * D


@jax.custom_vjp
def attention_by_hand(Q, K, V):
    return hand_forward(Q, K, V)[0]


def hand_forward(Q, K, V):
    P = attention.attention_weights(Q, K)
    return P @ V, (Q, K, V, P)


def hand_backward(saved, dO):
    Q, K, V, P = saved
    dP = dO @ V.T
    dZ = P * (dP - (P * dP).sum(axis=1, keepdims=True)) / math.sqrt(Q.shape[1])
    return dZ @ K, dZ.T @ Q, P.T @ dO


attention_by_hand.defvjp(hand_forward, hand_backward)


@pytest.mark.equation("4.1.47")
@pytest.mark.parametrize("sizes", SIZES)
def test_the_numbers_that_the_plain_form_keeps(sizes, x64):
    """N = T D + S D + S D_v + T S: enough for the right gradients, and the package keeps T S too.

    The hand-written backward pass of the page gets by with these; JAX's may keep more.
    """
    T, S, D, D_v = sizes
    random = np.random.default_rng(5)
    *inputs, dO = (jnp.asarray(random.normal(size=x.shape)) for x in inputs_of(*sizes))
    right = T * D + S * D + S * D_v + T * S
    assert numbers_kept(attention_by_hand, *inputs) == right
    assert numbers_kept(attention.scaled_dot_product_attention, *inputs) >= right
    hand = pull_back(attention_by_hand)(*inputs, dO)
    for left, oracle in zip(hand, formulas.attention_gradients(*inputs, dO), strict=True):
        close(left, oracle)


@pytest.mark.equation("4.1.48")
@pytest.mark.parametrize("sizes", SIZES)
def test_the_numbers_that_the_blockwise_form_keeps(sizes):
    """N = T D + S D + S D_v + T D_v + T, counted in what the package's forward pass hands over."""
    T, S, D, D_v = sizes
    inputs = inputs_of(*sizes)[:3]
    right = T * D + S * D + S * D_v + T * D_v + T
    assert numbers_kept(attention.blockwise_attention, *inputs) == right
    assert (T * D + S * D + S * D_v + T * S) - right == T * (S - D_v - 1)


PERMUTATION = np.array([2, 0, 4, 1, 3])


@pytest.mark.equation("4.1.49")
@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
def test_permuted_queries_give_permuted_outputs(arrays, implementation, x64):
    """Attention(Π Q, K, V) = Π Attention(Q, K, V)."""
    Q, K, V = (jnp.asarray(a) for a in arrays[:3])
    f = functools.partial(attention.scaled_dot_product_attention, implementation=implementation)
    close(f(Q[PERMUTATION], K, V), f(Q, K, V)[PERMUTATION])


@pytest.mark.equation("4.1.50")
@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
def test_permuted_keys_and_values_change_nothing(arrays, implementation, x64):
    """Attention(Q, Π K, Π V) = Attention(Q, K, V); permuting the keys alone does change it."""
    Q, K, V = (jnp.asarray(a) for a in arrays[:3])
    f = functools.partial(attention.scaled_dot_product_attention, implementation=implementation)
    order = np.array([6, 2, 0, 5, 1, 4, 3])
    close(f(Q, K[order], V[order]), f(Q, K, V))
    assert np.abs(f(Q, K[order], V) - f(Q, K, V)).max() > 0.1


@pytest.mark.equation("4.1.51")
def test_self_attention_sees_a_set(arrays, x64):
    """f(Π X) = Π f(X); with a causal mask, which depends on the order, it is not so."""
    random = np.random.default_rng(8)
    X, *W = (jnp.asarray(random.normal(size=s)) for s in ((T, 4), (4, D), (4, D), (4, D_V)))

    def f(X, mask=None):
        return attention.scaled_dot_product_attention(X @ W[0], X @ W[1], X @ W[2], mask=mask)

    close(f(X[PERMUTATION]), f(X)[PERMUTATION])
    causal = attention.causal_mask(T)
    assert np.abs(f(X[PERMUTATION], causal) - f(X, causal)[PERMUTATION]).max() > 0.1


def test_the_worked_example_of_the_page():
    Q, dO = np.array([[2.0, 0, 0, 0]]), np.array([[1.0, 0.0]])
    K = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [math.log(2), 0, 0, 1]])
    V = np.array([[0.0, 4], [8, 0], [2, 6]])
    P = formulas.attention_weights(Q, K)[0]
    close(P, [0.25, 0.25, 0.5])
    close(P @ V, [3, 4])
    close(16 * formulas.softmax_jacobian(P), [[3, -1, -2], [-1, 3, -2], [-2, -2, 4]])
    dQ, dK, dV = formulas.attention_gradients(Q, K, V, dO)
    np.testing.assert_allclose(dQ, [[-0.173, -0.375, 0.625, -0.25]], atol=5e-4)
    close(dK[:, 0], [-3 / 4, 5 / 4, -1 / 2])
    close(dV[:, 0], P)
    assert (dK[:, 1:] == 0).all() and (dV[:, 1:] == 0).all()
    states = recurrence(np.array([0, 0, math.log(2)]), V, [range(2), range(2, 3)])
    assert states[1][:2] == (0, 2) and states[1][2].tolist() == [8, 4]
    close(states[2][1], 2)
    close(states[2][2], [6, 8])


def test_the_other_numbers_of_the_page():
    assert round(math.exp(8)) == 2981
    assert round(1 + 63 * 0.3**2, 2) == 6.67
    entries = [math.exp(-g) / (1 + math.exp(-g)) ** 2 for g in (1, 8)]
    assert [round(entries[0], 3), round(entries[1], 5)] == [0.197, 0.00034]
    assert round(entries[0] / entries[1]) == 586
    assert round(4 * 8192**2 / 1e6) == 268
    kept = 8192 * (3 * 64) + 8192 * 64 + 8192
    assert kept == 8192 * 257 and round(4 * kept / 1e6, 1) == 8.4
