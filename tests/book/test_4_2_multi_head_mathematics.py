"""Section 4.2, equations 1 to 19, 21 and 22: heads, subspaces, biases, groups. In float64."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import attention, formulas

T, S, H, D = 5, 7, 3, 2
M = H * D


@pytest.fixture
def random():
    return np.random.default_rng(42)


@pytest.fixture
def tokens(random):
    return random.normal(size=(T, M)), random.normal(size=(S, M))


@pytest.fixture
def weights(random):
    """W_Q, W_K, W_V [H, M, D] and W_O [H·D, M]."""
    return *random.normal(size=(3, H, M, D)), random.normal(size=(H * D, M))


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-11)


def attend(Q, K, V):
    """Softmax of the scaled scores times the values, written here once more."""
    e = np.exp(Q @ K.T / math.sqrt(Q.shape[1]))
    return e / e.sum(axis=1, keepdims=True) @ V


def package(W_Q, W_K, W_V, W_O, biases=None, **options):
    """The package's layer with these weights in float64; biases b_Q, b_K, b_V, b_O."""
    options = {"use_bias": biases is not None, "rngs": nnx.Rngs(0)} | options
    groups = len(W_K)
    layer = attention.MultiHeadAttention(M, len(W_Q), key_value_heads=groups, **options)
    maps = (layer.query, layer.key, layer.value, layer.output)
    kernels = (*(np.concatenate(list(W), axis=1) for W in (W_Q, W_K, W_V)), W_O)
    for one, kernel in zip(maps, kernels, strict=True):
        one.kernel = nnx.Param(jnp.asarray(kernel))
    for one, bias in zip(maps, biases or (), strict=False):
        one.bias = nnx.Param(jnp.asarray(bias))
    return layer


def apply(layer, *arrays, **options):
    """The layer on a batch of one, which NumPy gets back without the batch."""
    out = layer(*(jnp.asarray(a)[None] for a in arrays), **options)
    assert out.dtype == jnp.float64
    return np.asarray(out[0])


@pytest.mark.equation("4.2.1")
def test_the_formula(tokens, weights, x64):
    """MultiHead = Concat(head_1, …, head_H) W^O: the package against loops over the definition."""
    (X, Y), (W_Q, W_K, W_V, W_O) = tokens, weights
    heads = [attend(X @ W_Q[h], Y @ W_K[h], Y @ W_V[h]) for h in range(H)]
    right = np.concatenate(heads, axis=1) @ W_O
    close(apply(package(*weights), X, Y), right)
    close(formulas.multi_head_attention(X, Y, *weights), right)


@pytest.mark.equation("4.2.2")
@pytest.mark.parametrize("head", range(H))
def test_one_head(head, tokens, weights, x64):
    """head_h = Attention(Q W_h^Q, K W_h^K, V W_h^V): W^O that lets one head through shows it."""
    (X, Y), (W_Q, W_K, W_V, _) = tokens, weights
    through = np.zeros((H * D, M))
    through[head * D : (head + 1) * D, :D] = np.eye(D)
    left = apply(package(W_Q, W_K, W_V, through), X, Y)[:, :D]
    right = np.zeros((T, D))
    for t in range(T):
        scores = [X[t] @ W_Q[head] @ (Y[s] @ W_K[head]) / math.sqrt(D) for s in range(S)]
        for s in range(S):
            weight = math.exp(scores[s]) / sum(map(math.exp, scores))
            right[t] += weight * (Y[s] @ W_V[head])
    close(left, right)


@pytest.mark.equation("4.2.3")
def test_one_wide_product_holds_the_queries_of_all_heads(tokens, weights):
    """(X W^Q)_{t,(h−1)D+d} = Σ_m X_tm (W_h^Q)_md."""
    X, W_Q = tokens[0], weights[0]
    wide = X @ np.concatenate(list(W_Q), axis=1)
    for t, h, d in np.ndindex(T, H, D):
        close(wide[t, h * D + d], sum(X[t, m] * W_Q[h, m, d] for m in range(M)))
    split = attention.split_heads(jnp.asarray(wide)[None], H)[0]
    close(split, np.asarray(np.stack([X @ W for W in W_Q]), split.dtype))


@pytest.mark.equation("4.2.4")
def test_concatenation_times_the_output_map_is_a_sum_over_heads(weights, random):
    """Concat(O_1, …, O_H) W^O = Σ_h O_h W_h^O."""
    heads, W_O = random.normal(size=(H, T, D)), weights[3]
    blocks = W_O.reshape(H, D, M)
    close(np.concatenate(list(heads), axis=1) @ W_O, sum(heads[h] @ blocks[h] for h in range(H)))


def left_null_space(matrix):
    """Orthonormal rows n with n @ matrix = 0, from the singular value decomposition."""
    left, values, _ = np.linalg.svd(matrix)
    return left[:, (values > 1e-10).sum() :].T


@pytest.mark.equation("4.2.5")
def test_a_head_does_not_see_what_its_projections_send_to_zero(tokens, weights, random, x64):
    """N W_h^K = 0, N W_h^V = 0 ⇒ head_h(X, Y + N) = head_h(X, Y); another head does see it."""
    (X, Y), (W_Q, W_K, W_V, _) = tokens, weights
    hidden = left_null_space(np.hstack([W_K[0], W_V[0]]))
    N = 5 * random.normal(size=(S, len(hidden))) @ hidden

    def head(h, Y):
        W_O = np.eye(D, M)
        return apply(package(W_Q[[h] * H], W_K[[h] * H], W_V[[h] * H], np.vstack([W_O] * H)), X, Y)

    close(head(0, Y + N), head(0, Y))
    assert np.abs(head(1, Y + N) - head(1, Y)).max() > 0.1


@pytest.mark.equation("4.2.6")
@pytest.mark.parametrize(("width", "head"), [(6, 2), (8, 1), (4, 2), (4, 3)])
def test_the_dimension_of_what_a_head_cannot_see(width, head, random):
    """dim{n : n W^K = n W^V = 0} = M − rank[W^K W^V] ≥ M − 2D, also for dependent columns."""
    both = random.normal(size=(width, 2 * head))
    for matrix in (both, np.repeat(both[:, :1], 2 * head, axis=1)):
        null = left_null_space(matrix)
        close(null @ matrix, np.zeros((len(null), 2 * head)))
        assert len(null) == width - np.linalg.matrix_rank(matrix) >= width - 2 * head


def form(W_Q, W_K):
    return W_Q @ W_K.T / math.sqrt(W_Q.shape[1])


@pytest.mark.equation("4.2.7")
def test_scores_are_a_bilinear_form_of_the_tokens(tokens, weights, x64):
    """Z_h = X A_h Yᵀ, A_h = W_h^Q W_h^Kᵀ / √D: log of the package's weights up to a row's shift."""
    (X, Y), (W_Q, W_K, *_) = tokens, weights
    batch = (jnp.asarray(X)[None], jnp.asarray(Y)[None])
    P = np.asarray(package(*weights).with_weights(*batch)[1][0])
    for h in range(H):
        left, right = np.log(P[h]), X @ form(W_Q[h], W_K[h]) @ Y.T
        close(left - left[:, :1], right - right[:, :1])


@pytest.mark.equation("4.2.8")
@pytest.mark.parametrize(("width", "head"), [(6, 2), (6, 1), (3, 5)])
def test_the_rank_of_the_form(width, head, random):
    """rank A_h ≤ min(D, M), and random projections reach the bound."""
    A = form(*random.normal(size=(2, width, head)))
    assert np.linalg.matrix_rank(A) == min(head, width)


@pytest.mark.equation("4.2.9")
def test_queries_and_keys_can_be_turned_against_each_other(tokens, weights, random, x64):
    """(W^Q G)(W^K G⁻ᵀ)ᵀ = W^Q W^Kᵀ, so the whole layer stays the same."""
    W_Q, W_K, W_V, W_O = weights
    G = random.normal(size=(D, D)) + 2 * np.eye(D)
    turned = W_Q @ G, W_K @ np.linalg.inv(G).T
    for h in range(H):
        close(turned[0][h] @ turned[1][h].T, W_Q[h] @ W_K[h].T)
    close(apply(package(*turned, W_V, W_O), *tokens), apply(package(*weights), *tokens))


@pytest.mark.equation("4.2.10")
def test_where_and_what(tokens, weights, x64):
    """O = Σ_h P_h Y B_h with B_h = W_h^V W_h^O of rank at most D."""
    (X, Y), (W_Q, W_K, W_V, W_O) = tokens, weights
    right = np.zeros((T, M))
    for h in range(H):
        B = W_V[h] @ W_O[h * D : (h + 1) * D]
        assert np.linalg.matrix_rank(B) <= D
        right += formulas.attention_weights(X @ W_Q[h], Y @ W_K[h]) @ Y @ B
    close(apply(package(*weights), X, Y), right)


@pytest.mark.equation("4.2.11")
def test_what_one_token_says_to_another(tokens, weights, random):
    """ΔO_t = ΔY_s Σ_h (P_h)_ts B_h with the weights held fixed."""
    (X, Y), (W_Q, W_K, W_V, W_O) = tokens, weights
    P = [formulas.attention_weights(X @ W_Q[h], Y @ W_K[h]) for h in range(H)]
    B = [W_V[h] @ W_O[h * D : (h + 1) * D] for h in range(H)]

    def out(Y):
        return np.concatenate([P[h] @ (Y @ W_V[h]) for h in range(H)], axis=1) @ W_O

    for s in range(S):
        moved, step = Y.copy(), random.normal(size=M)
        moved[s] += step
        for t in range(T):
            right = step @ sum(P[h][t, s] * B[h] for h in range(H))
            close((out(moved) - out(Y))[t], right)


def squared_error(p_first, p_second, B_first, B_second, i, j):
    """E‖(a_i, b_j) − Σ_h Σ_s p_s y_s B_h‖²: the squares of all coefficients of the a_s and b_s.

    The a_s, b_s are independent with mean 0 and variance 1, so nothing else stays.
    """
    coefficients = np.zeros((S, 2, 2))  # [token, which of its numbers, which number of the target]
    coefficients[i, 0, 0] += 1
    coefficients[j, 1, 1] += 1
    coefficients -= p_first[:, None, None] * B_first + p_second[:, None, None] * B_second
    return (coefficients**2).sum(axis=(0, 1))


@pytest.mark.equation("4.2.12")
def test_the_error_of_one_head_by_the_column_of_its_map(random):
    """E(a_i − Σ p_s (a_s γ + b_s η))² = (1 − p_i γ)² + γ² Σ_{s≠i} p_s² + η² Σ p_s²."""
    p, B, i = random.dirichlet(np.ones(S)), random.normal(size=(2, 2)), 2
    gamma, eta = B[:, 0]
    others = sum(p[s] ** 2 for s in range(S) if s != i)
    right = (1 - p[i] * gamma) ** 2 + gamma**2 * others + eta**2 * (p**2).sum()
    left = squared_error(p, np.zeros(S), B, np.zeros((2, 2)), i, 5)[0]
    close(left, right)
    # The same expectation, outcome by outcome: all 2^(2S) equally likely tokens ±1.
    signs = 1.0 - 2 * ((np.arange(4**S)[:, None] >> np.arange(2 * S)) & 1)
    a, b = signs[:, :S], signs[:, S:]
    close(((a[:, i] - (a * gamma + b * eta) @ p) ** 2).mean(), right)


def best_map(p, i, j):
    """The B that minimises E‖r − Σ p_s y_s B‖², by least squares over the coefficients."""
    design = np.kron(p[:, None], np.eye(2))  # rows: a_1, b_1, a_2, …; columns: rows of B
    target = np.zeros((2 * S, 2))
    target[2 * i, 0] = target[2 * j + 1, 1] = 1
    return np.linalg.lstsq(design, target, rcond=None)[0]


@pytest.mark.equation("4.2.13")
def test_the_least_error_of_one_head(random):
    """min_B E‖r − Σ p_s y_s B‖² = 2 − (p_i² + p_j²) / Σ p_s²."""
    i, j = 2, 5
    for p in random.dirichlet(np.ones(S), size=20):
        left = squared_error(p, np.zeros(S), best_map(p, i, j), np.zeros((2, 2)), i, j).sum()
        close(left, 2 - (p[i] ** 2 + p[j] ** 2) / (p**2).sum())


@pytest.mark.equation("4.2.14")
def test_one_head_misses_at_least_half(random):
    """2 − (p_i² + p_j²) / Σ p_s² ≥ 1, with equality where only i and j are looked at."""
    i, j = 2, 5
    for p in random.dirichlet(np.full(S, 0.2), size=200):
        least = squared_error(p, np.zeros(S), best_map(p, i, j), np.zeros((2, 2)), i, j).sum()
        assert least >= 1 - 1e-12
    for share in (0.0, 0.3, 1.0):
        p = share * np.eye(S)[i] + (1 - share) * np.eye(S)[j]
        error = squared_error(p, np.zeros(S), best_map(p, i, j), np.zeros((2, 2)), i, j).sum()
        close(error, 1)


@pytest.mark.equation("4.2.15")
@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_two_heads_reach_the_target(beta):
    """E‖r − r̂‖² = 2S/(S − 1) (1 − p)² with p = e^β / (e^β + S − 1)."""
    i, j = 2, 5
    first, second = formulas.softmax(beta * np.eye(S)[[i, j]])
    left = squared_error(first, second, np.diag([1.0, 0.0]), np.diag([0.0, 1.0]), i, j).sum()
    p = math.exp(beta) / (math.exp(beta) + S - 1)
    close(first[i], p)
    close(left, 2 * ((1 - p) ** 2 + (1 - p) ** 2 / (S - 1)))
    close(left, 2 * S / (S - 1) * (1 - p) ** 2)


@pytest.fixture
def biases(random):
    return random.normal(size=(4, M))


@pytest.mark.equation("4.2.16")
def test_the_four_terms_of_a_score_with_biases(tokens, weights, biases):
    """√D Z_ts = X_t W^Q W^Kᵀ Y_sᵀ + b^Q W^Kᵀ Y_sᵀ + X_t W^Q b^Kᵀ + b^Q b^Kᵀ."""
    (X, Y), (W_Q, W_K, *_) = tokens, weights
    b_Q, b_K = biases[0, :D], biases[1, :D]
    for t, s in np.ndindex(T, S):
        left = sum((X[t] @ W_Q[0] + b_Q) * (Y[s] @ W_K[0] + b_K))
        right = X[t] @ W_Q[0] @ W_K[0].T @ Y[s] + b_Q @ W_K[0].T @ Y[s]
        close(left, right + X[t] @ W_Q[0] @ b_K + b_Q @ b_K)


@pytest.mark.equation("4.2.17")
def test_the_key_bias_does_nothing(tokens, weights, biases, x64):
    """Attention(Q, K + 1 b^K, V) = Attention(Q, K, V); the query bias does something."""
    without = biases * np.array([[1.0], [0.0], [1.0], [1.0]])
    out = apply(package(*weights, list(biases)), *tokens)
    close(out, apply(package(*weights, list(without)), *tokens))
    without = biases * np.array([[0.0], [1.0], [1.0], [1.0]])
    assert np.abs(out - apply(package(*weights, list(without)), *tokens)).max() > 0.1


@pytest.mark.equation("4.2.18")
def test_the_value_bias_moves_into_the_output_bias(tokens, weights, biases, x64):
    """b̃^O = b^O + Σ_h b_h^V W_h^O; not in a row that may attend to nothing."""
    b_Q, b_K, b_V, b_O = biases
    W_O = weights[3]
    moved = b_O + sum(b_V[h * D : (h + 1) * D] @ W_O[h * D : (h + 1) * D] for h in range(H))
    left, right = package(*weights, list(biases)), package(*weights, [b_Q, b_K, 0 * b_V, moved])
    close(apply(left, *tokens), apply(right, *tokens))
    nothing = jnp.zeros((T, S), bool)
    close(apply(left, *tokens, mask=nothing), np.tile(b_O, (T, 1)))
    close(apply(right, *tokens, mask=nothing), np.tile(moved, (T, 1)))


@pytest.mark.equation("4.2.19")
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_grouped_keys_and_values(groups, tokens, random, x64):
    """head_h = Attention(X W_h^Q, Y W_g^K, Y W_g^V) with g(h) = ⌈h H_kv / H⌉, for six heads."""
    heads = 6
    X, Y = tokens
    W_Q, (W_K, W_V) = random.normal(size=(heads, M, 1)), random.normal(size=(2, groups, M, 1))
    W_O = random.normal(size=(heads, M))
    right = 0
    for h in range(1, heads + 1):
        g = math.ceil(h * groups / heads)
        head = attend(X @ W_Q[h - 1], Y @ W_K[g - 1], Y @ W_V[g - 1])
        right = right + head @ W_O[h - 1 : h]
    close(apply(package(W_Q, W_K, W_V, W_O), X, Y), right)
    close(formulas.multi_head_attention(X, Y, W_Q, W_K, W_V, W_O), right)


@pytest.mark.equation("4.2.21")
def test_a_token_needs_the_keys_and_values_before_it_only(tokens, weights, x64):
    """MultiHead_causal(X)_t = MultiHead(X_t, X_{1:t}), and the cache computes the same."""
    X, layer = tokens[0], package(*weights)
    left = apply(layer, X, mask=attention.causal_mask(T))
    cache = layer.init_cache(1, T, jnp.float64)
    for t in range(T):
        close(left[t], formulas.multi_head_attention(X[t : t + 1], X[: t + 1], *weights)[0])
        out, cache = layer.decode(jnp.asarray(X[None, t : t + 1]), cache)
        close(out[0, 0], left[t])


@pytest.mark.equation("4.2.22")
@pytest.mark.parametrize("groups", [1, 3])
def test_numbers_in_the_cache_per_token(groups):
    """N = 2 L H_kv D, counted in the arrays of L caches."""
    layers, length = 4, 9
    layer = attention.MultiHeadAttention(M, H, key_value_heads=groups, rngs=nnx.Rngs(0))
    caches = [layer.init_cache(1, length) for _ in range(layers)]
    counted = sum(cache.key.size + cache.value.size for cache in caches)
    assert counted == length * 2 * layers * groups * D
