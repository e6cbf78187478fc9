"""Section 3.2: what heads look at, and what they cost. Both sides of every equation in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import attention, formulas
from mmjax.measure import matrix_flops

T, H, D, PATCHES = 7, 4, 2, 4
M = H * D


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-11)


@pytest.fixture
def random():
    return np.random.default_rng(32)


@pytest.fixture
def X(random):
    return random.normal(size=(T, M))


@pytest.fixture
def weights(random):
    """W_Q, W_K, W_V [H, M, D] and W_O [H·D, M]."""
    return *random.normal(size=(3, H, M, D)), random.normal(size=(H * D, M))


def package(W_Q, W_K, W_V, W_O):
    layer = attention.MultiHeadAttention(
        M, H, key_value_heads=len(W_K), use_bias=False, rngs=nnx.Rngs(0)
    )
    for part, W in ((layer.query, W_Q), (layer.key, W_K), (layer.value, W_V)):
        part.kernel = nnx.Param(jnp.asarray(np.concatenate(list(W), axis=1)))
    layer.output.kernel = nnx.Param(jnp.asarray(W_O))
    return layer


def apply(layer, X, **options):
    out = layer(jnp.asarray(X)[None], **options)
    assert out.dtype == jnp.float64
    return np.asarray(out[0])


@pytest.mark.equation("3.2.1")
def test_each_head_has_its_own_gate(X, weights, x64):
    """O_t = Σ_h (α_th O_th^I + (1 − α_th) O_th^J) W_h^O."""
    W_Q, W_K, W_V, W_O = weights
    right, shares = np.zeros((T, M)), []
    for h in range(H):
        Q, K, V = X @ W_Q[h], X @ W_K[h], X @ W_V[h]
        e = np.exp(Q @ K.T / math.sqrt(D))
        alpha = (e[:, :PATCHES].sum(axis=1) / e.sum(axis=1))[:, None]
        image = formulas.scaled_dot_product_attention(Q, K[:PATCHES], V[:PATCHES])
        rest = formulas.scaled_dot_product_attention(Q, K[PATCHES:], V[PATCHES:])
        right += (alpha * image + (1 - alpha) * rest) @ W_O[h * D : (h + 1) * D]
        shares.append(alpha)
    close(apply(package(*weights), X), right)
    assert np.std(shares, axis=0).min() > 1e-3  # the gates do differ


def entropy(p):
    p = np.asarray(p)
    return -sum(x * math.log(x) for x in p if x > 0)


@pytest.mark.equation("3.2.2")
def test_the_entropy_of_a_row(X, weights, random):
    """H = −Σ P ln P by log-sum-exp and mean score, and its bounds 0 and ln S."""
    Z = (X @ weights[0][0]) @ (X @ weights[1][0]).T / math.sqrt(D)
    P = formulas.softmax(Z)
    for t in range(T):
        close(entropy(P[t]), formulas.log_sum_exp(Z[t]) - P[t] @ Z[t])
    for p in random.dirichlet(np.full(T, 0.3), size=100):
        assert 0 <= entropy(p) <= math.log(T)
    close(entropy(np.eye(T)[2]), 0)
    close(entropy(np.full(T, 1 / T)), math.log(T))


@pytest.mark.equation("3.2.3")
@pytest.mark.parametrize("n", [1, 3, T])
def test_the_effective_number_of_keys(n):
    """1/n on n keys ⇒ e^H = n."""
    p = np.where(np.arange(T) < n, 1 / n, 0)
    close(math.exp(entropy(p)), n)


@pytest.mark.equation("3.2.4")
def test_the_divergence_of_two_heads(random):
    """JS = H(m) − H(p)/2 − H(q)/2 equals its form by Kullback–Leibler; 0 ≤ JS ≤ ln 2."""

    def divergence(p, q):
        return entropy((p + q) / 2) - entropy(p) / 2 - entropy(q) / 2

    for p, q in random.dirichlet(np.full(T, 0.3), size=(100, 2)):
        m = (p + q) / 2
        by_ratio = [0.5 * (a * np.log(a / m)).sum() for a in (p, q)]
        close(divergence(p, q), sum(by_ratio))
        assert -1e-15 <= divergence(p, q) <= math.log(2)
    p, q = random.dirichlet(np.ones(3), size=2)
    close(divergence(np.r_[p, 0, 0, 0], np.r_[p, 0, 0, 0]), 0)
    close(divergence(np.r_[p, 0, 0, 0], np.r_[0, 0, 0, q]), math.log(2))


@pytest.mark.equation("3.2.5")
@pytest.mark.parametrize("k", range(H))
def test_removing_a_head(k, X, weights, x64):
    """O^(−k) = O − O_k W_k^O = Σ_{h≠k} O_h W_h^O: rows of zeros in the package's W^O."""
    W_Q, W_K, W_V, W_O = weights
    without = W_O.copy()
    without[k * D : (k + 1) * D] = 0
    left = apply(package(W_Q, W_K, W_V, without), X)
    parts = [
        formulas.scaled_dot_product_attention(X @ W_Q[h], X @ W_K[h], X @ W_V[h])
        @ W_O[h * D : (h + 1) * D]
        for h in range(H)
    ]
    close(left, apply(package(*weights), X) - parts[k])
    close(left, sum(part for h, part in enumerate(parts) if h != k))


@pytest.mark.equation("3.2.6")
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_cache_shrinks_with_the_groups(groups):
    """N_cache(H_kv) / N_cache(H) = H_kv / H, counted in the arrays."""

    def numbers(groups):
        layer = attention.MultiHeadAttention(M, H, key_value_heads=groups, rngs=nnx.Rngs(0))
        cache = layer.init_cache(3, 11)
        return cache.key.size + cache.value.size

    close(numbers(groups) / numbers(H), groups / H)


@pytest.mark.equation("3.2.7")
def test_the_mean_of_a_group(X, weights, random, x64):
    """W_g = (H_kv / H) Σ W_h is the mean; where the heads of a group agree, nothing changes."""
    groups = 2
    W_Q, W_K, W_V, W_O = weights
    for W in (W_K, W_V):
        for g in range(groups):
            members = [h for h in range(H) if math.ceil((h + 1) * groups / H) == g + 1]
            left = groups / H * sum(W[h] for h in members)
            close(left, W.reshape(groups, H // groups, M, D).mean(axis=1)[g])
    shared_K, shared_V = random.normal(size=(2, groups, M, D))
    W_K, W_V = (np.repeat(W, H // groups, axis=0) for W in (shared_K, shared_V))
    means = [W.reshape(groups, H // groups, M, D).mean(axis=1) for W in (W_K, W_V)]
    close(apply(package(W_Q, *means, W_O), X), apply(package(W_Q, W_K, W_V, W_O), X))


@pytest.mark.equation("3.2.8")
def test_a_word_after_a_picture_with_the_cache(X, weights, x64):
    """O_t from one row of scores = row t of the full pass = the package's cached step."""
    W_Q, W_K, W_V, W_O = weights
    layer = package(*weights)
    full = apply(layer, X, mask=attention.causal_mask(T))
    picture, cache = layer.decode(jnp.asarray(X[None, :PATCHES]), layer.init_cache(1, T))
    close(picture[0], full[:PATCHES])
    for t in range(PATCHES, T):
        right = np.zeros(M)
        for h in range(H):
            K, V = X[: t + 1] @ W_K[h], X[: t + 1] @ W_V[h]
            scores = X[t] @ W_Q[h] @ K.T / math.sqrt(D)
            right += formulas.softmax(scores) @ V @ W_O[h * D : (h + 1) * D]
        close(full[t], right)
        out, cache = layer.decode(jnp.asarray(X[None, t : t + 1]), cache)
        close(out[0, 0], right)


@pytest.mark.equation("3.2.9")
@pytest.mark.parametrize("t", [1, 5, 12])
def test_the_price_of_a_cached_step(t):
    """8 M² + 4 t M against 8 t M² + 4 t² M, counted in the programs."""
    layer = attention.MultiHeadAttention(M, H, rngs=nnx.Rngs(0))
    graph, state = nnx.split(layer)
    one, all_ = (jax.ShapeDtypeStruct((1, n, M), jnp.float32) for n in (1, t))
    cache = jax.eval_shape(lambda: layer.init_cache(1, t))
    step = matrix_flops(lambda s, x, c: nnx.merge(graph, s).decode(x, c)[0], state, one, cache)
    full = matrix_flops(lambda s, x: nnx.merge(graph, s)(x), state, all_)
    assert step == 8 * M**2 + 4 * t * M
    assert full == 8 * t * M**2 + 4 * t**2 * M == t * step
