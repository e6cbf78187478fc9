"""Section 3.1: self-attention over several modalities. Both sides of every equation in float64."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import attention, formulas
from mmjax.measure import matrix_flops

LENGTHS = {"image": 4, "text": 3, "audio": 2}
KINDS = np.repeat(np.arange(3), list(LENGTHS.values()))
T, M, D = sum(LENGTHS.values()), 5, 3


@pytest.fixture
def random():
    return np.random.default_rng(31)


@pytest.fixture
def X(random):
    return random.normal(size=(T, M))


@pytest.fixture
def weights(random):
    return random.normal(size=(3, M, D))


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-11)


def self_attention(X, weights, mask=None):
    """The package's attention on X, in float64."""
    Q, K, V = (jnp.asarray(X @ W) for W in weights)
    mask = None if mask is None else jnp.asarray(mask)
    out = attention.scaled_dot_product_attention(Q, K, V, mask=mask)
    assert out.dtype == jnp.float64
    return np.asarray(out)


def scores(X, weights):
    return (X @ weights[0]) @ (X @ weights[1]).T / math.sqrt(D)


@pytest.mark.equation("3.1.1")
def test_a_token_is_its_content_its_kind_and_its_place(random):
    """x_n = u_n W_μ + e_μ + p_n, with a look-up in a table for words, component by component."""
    patches, words = random.normal(size=(4, 6)), np.array([2, 0, 2])
    W_image, table, kinds = (random.normal(size=s) for s in ((6, M), (7, M), (2, M)))
    places = random.normal(size=(7, M))
    image, text = patches @ W_image + kinds[0], table[words] + kinds[1]
    left = np.concatenate([image, text]) + places
    for n, m in np.ndindex(7, M):
        kind = int(n >= 4)
        raw, W = (patches[n], W_image) if kind == 0 else (np.eye(7)[words[n - 4]], table)
        right = sum(raw[i] * W[i, m] for i in range(len(raw))) + kinds[kind, m] + places[n, m]
        close(left[n, m], right)


@pytest.mark.equation("3.1.2")
def test_self_attention(X, weights, x64):
    """f(X) = softmax(X W^Q (X W^K)ᵀ / √D) X W^V: the package against loops."""
    W_Q, W_K, W_V = weights
    right = np.zeros((T, D))
    for t in range(T):
        e = [math.exp((X[t] @ W_Q) @ (X[s] @ W_K) / math.sqrt(D)) for s in range(T)]
        right[t] = sum(e[s] / sum(e) * (X[s] @ W_V) for s in range(T))
    close(self_attention(X, weights), right)


@pytest.fixture
def split(X, weights):
    """Weights of the joint softmax, the columns of the image, and the two separate attentions."""
    is_image = KINDS == 0
    P = formulas.attention_weights(X @ weights[0], X @ weights[1])
    alone = [
        formulas.scaled_dot_product_attention(
            X @ weights[0], X[part] @ weights[1], X[part] @ weights[2]
        )
        for part in (is_image, ~is_image)
    ]
    return P, is_image, *alone


@pytest.mark.equation("3.1.3", "3.1.4")
def test_joint_attention_is_a_gated_sum_of_separate_ones(X, weights, split, x64):
    """α_t = Σ_{s∈I} P_ts, O_t = α_t O_t^I + (1 − α_t) O_t^J."""
    P, is_image, image, rest = split
    alpha = np.array([sum(P[t, s] for s in range(T) if is_image[s]) for t in range(T)])
    close(alpha + P[:, ~is_image].sum(axis=1), 1)
    right = alpha[:, None] * image + (1 - alpha)[:, None] * rest
    close(self_attention(X, weights), right)


@pytest.mark.equation("3.1.5")
def test_the_gate_is_a_logistic_function_of_log_sum_exps(X, weights, split):
    """α_t = σ(Λ_t^I − Λ_t^J); equal scores give the share of the tokens."""
    P, is_image, *_ = split
    Z = scores(X, weights)
    image, rest = np.exp(Z[:, is_image]).sum(axis=1), np.exp(Z[:, ~is_image]).sum(axis=1)
    right = 1 / (1 + np.exp(-(np.log(image) - np.log(rest))))
    close(P[:, is_image].sum(axis=1), right)
    close(1 / (1 + math.exp(-(math.log(16) - math.log(8)))), 16 / 24)


@pytest.mark.equation("3.1.6")
def test_the_four_terms_of_a_score(random, weights):
    """Z_ts = c_t A c_sᵀ + c_t A e_sᵀ + e_t A c_sᵀ + e_t A e_sᵀ."""
    content, kinds = random.normal(size=(T, M)), random.normal(size=(3, M))
    A = weights[0] @ weights[1].T / math.sqrt(D)
    left = scores(content + kinds[KINDS], weights)
    for t, s in np.ndindex(T, T):
        e_t, e_s = kinds[KINDS[t]], kinds[KINDS[s]]
        right = content[t] @ A @ content[s] + content[t] @ A @ e_s
        close(left[t, s], right + e_t @ A @ content[s] + e_t @ A @ e_s)


@pytest.mark.equation("3.1.7")
def test_shuffled_contents_under_fixed_positions(X, weights, random, x64):
    """f(Π C + E) = Π f(C + Πᵀ E); it is not Π f(C + E) unless E = 0."""
    E, permutation = random.normal(size=(T, M)), np.eye(T)[random.permutation(T)]
    left = self_attention(permutation @ X + E, weights)
    close(left, permutation @ self_attention(X + permutation.T @ E, weights))
    assert np.abs(left - permutation @ self_attention(X + E, weights)).max() > 0.1
    close(self_attention(permutation @ X, weights), permutation @ self_attention(X, weights))


@pytest.mark.equation("3.1.8")
def test_padding_has_no_influence(X, weights, random, x64):
    """f([X; X_pad], mask)_{1:T} = f(X), whatever stands in the padding."""
    alone = self_attention(X, weights)
    for scale in (1.0, 1e3):
        padded = np.concatenate([X, scale * random.normal(size=(2, M))])
        real = np.arange(T + 2) < T
        mask = attention.padding_mask(jnp.asarray(real)[None])[0, 0]  # [1, S]
        close(self_attention(padded, weights, mask)[:T], alone)


@pytest.mark.equation("3.1.9")
def test_without_crossing_each_modality_is_alone(X, weights, x64):
    """f([X_I; X_J], mask) = [f(X_I); f(X_J)], for three modalities."""
    left = self_attention(X, weights, KINDS[:, None] == KINDS[None, :])
    close(left, np.concatenate([self_attention(X[KINDS == kind], weights) for kind in range(3)]))


@pytest.mark.equation("3.1.10")
@pytest.mark.parametrize("lengths", [(16, 12), (256, 12), (4, 3, 2)])
def test_the_share_of_scores_that_cross(lengths):
    """Σ_{μ≠ν} T_μ T_ν / T² = 1 − Σ T_μ² / T²; the products of scores are ∝ T²."""
    kinds, total = np.repeat(np.arange(len(lengths)), lengths), sum(lengths)
    counted = (kinds[:, None] != kinds[None, :]).mean()
    pairs = sum(a * b for i, a in enumerate(lengths) for j, b in enumerate(lengths) if i != j)
    close(counted, pairs / total**2)
    close(counted, 1 - sum(n**2 for n in lengths) / total**2)
    x = jnp.zeros((total, D))
    assert matrix_flops(attention.attention_weights, x, x) == 2 * total**2 * D
