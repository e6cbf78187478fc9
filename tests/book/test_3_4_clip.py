"""Section 3.4, equations 1 to 17 and 56: unit vectors, the loss, its safe form, mask and start.

In float64.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas, losses

N, E = 5, 3
S = 1.1  # logit_scale


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-11)


@pytest.fixture
def random():
    return np.random.default_rng(34)


@pytest.fixture
def units(random):
    """Unit vectors U, V [N, E]."""
    raw = random.normal(size=(2, N, E))
    return raw / np.sqrt((raw**2).sum(axis=2, keepdims=True))


@pytest.fixture
def z(units):
    U, V = units
    return math.exp(S) * U @ V.T


def row_loss(z):
    """−ln p_nn, averaged, by loops over the definition."""
    rows = range(len(z))
    return -sum(math.log(math.exp(z[n, n]) / sum(map(math.exp, z[n]))) for n in rows) / len(z)


def on_axes(z):
    """Queries and keys whose logits are z at logit_scale 0: rows of z against the axes."""
    return jnp.asarray(z), jnp.eye(len(z)), jnp.asarray(0.0)


@pytest.mark.equation("3.4.1")
def test_unit_vectors(random, x64):
    """u = a / ‖a‖: the package and the oracle against a division by the root of a sum."""
    a = random.normal(size=(N, E))
    right = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in a]
    close(losses.normalize(jnp.asarray(a)), right)
    close(formulas.normalize(a), right)


@pytest.mark.equation("3.4.2")
def test_the_nearest_is_the_largest_cosine(units):
    """‖u − v‖² = 2 − 2 u·v."""
    U, V = units
    left = ((U[:, None] - V[None]) ** 2).sum(axis=2)
    close(left, 2 - 2 * U @ V.T)
    assert (left.argmin(axis=1) == (U @ V.T).argmax(axis=1)).all()


@pytest.mark.equation("3.4.3")
@pytest.mark.parametrize(("s", "alpha"), [(0.0, 1.0), (S, math.e**S), (math.log(99), 99.0),
                                          (math.log(100), 100.0), (6.0, 100.0)])  # fmt: skip
def test_the_scale_is_capped(units, s, alpha, x64):
    """z_nm = α u_n·v_m, α = min(e^s, 100): the package against loops."""
    U, V = units
    right = [[alpha * sum(U[n] * V[m]) for m in range(N)] for n in range(N)]
    close(losses.similarity_logits(jnp.asarray(U), jnp.asarray(V), jnp.asarray(s)), right)


def test_what_the_text_says_about_the_scale():
    assert round(math.e / (math.e + 255 / math.e), 3) == 0.028
    assert round(math.log(1 + 255 * math.exp(-2)), 2) == 3.57
    assert math.log1p(255 * math.exp(-2 / 0.07)) < 1e-9
    assert (round(math.log(1 / 0.07), 2), round(1 / 0.07, 1)) == (2.66, 14.3)
    assert round(math.log(float(np.finfo(np.float32).max)), 1) == 88.7


@pytest.mark.equation("3.4.4")
@pytest.mark.parametrize("s", [0.0, S, 9.0])
def test_logits_are_bounded(units, s, x64):
    """|z_nm| ≤ α ≤ 100, and the bound is reached by a vector and itself."""
    U, alpha = jnp.asarray(units[0]), min(math.exp(s), 100)
    z = np.asarray(losses.similarity_logits(U, U, jnp.asarray(s)))
    assert (np.abs(z) <= alpha * (1 + 1e-12)).all()
    close(np.diagonal(z), np.full(N, alpha))


@pytest.mark.equation("3.4.5")
def test_the_softmax_along_a_row(z):
    """p_nm = e^{z_nm} / Σ_k e^{z_nk}: ratios within a row, and rows that sum to one."""
    p = formulas.softmax(z, axis=1)
    close(p, [[math.exp(z[n, m]) / sum(map(math.exp, z[n])) for m in range(N)] for n in range(N)])
    close(p.sum(axis=1), np.ones(N))
    assert np.abs(p.sum(axis=0) - 1).max() > 0.1


@pytest.mark.equation("3.4.6")
def test_info_nce_is_the_cross_entropy_of_the_right_text(units, z, x64):
    """L_{I→T} = −(1/N) Σ_n ln p_nn: the package and the oracle against the definition."""
    close(losses.info_nce(*map(jnp.asarray, units), jnp.asarray(S)), row_loss(z))
    close(formulas.info_nce(*units, S), row_loss(z))


@pytest.mark.equation("3.4.7")
@pytest.mark.parametrize("s", [-1.0, 0.0, 2.0])
def test_the_scale_sets_a_floor(units, s, x64):
    """L_{I→T} ≥ ln(1 + (N − 1) e^{−2α}), with equality for two opposite pairs."""

    def floor(pairs):
        return math.log(1 + (pairs - 1) * math.exp(-2 * math.exp(s)))

    def loss(U, V):
        return float(losses.info_nce(jnp.asarray(U), jnp.asarray(V), jnp.asarray(s)))

    opposite = np.array([[0.6, 0.8], [-0.6, -0.8]])
    close(loss(opposite, opposite), floor(2))
    assert loss(units[0], units[0]) > floor(N)
    assert loss(*units) > floor(N)


@pytest.mark.equation("3.4.8")
def test_log_sum_exp_minus_diagonal(z, x64):
    """L = mean_n (Λ(z_n) − z_nn), Λ = max + ln Σ e^{z − max}; finite where e^z overflows."""
    top = z.max(axis=1)
    safe = top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - np.diagonal(z)
    close(safe.mean(), row_loss(z))
    close(formulas.log_sum_exp(z) - np.diagonal(z), safe)
    huge = np.array([[1000.0, 1001.0], [0.0, -1000.0]])
    right = (math.log(1 + math.e) + 1000.0) / 2
    close(losses.info_nce(*on_axes(huge)), right)
    with np.errstate(all="ignore"):
        assert not np.isfinite(np.log(np.exp(huge) / np.exp(huge).sum(axis=1, keepdims=True))).all()


@pytest.mark.equation("3.4.9")
@pytest.mark.parametrize("epsilon", [1e-8, 1e-2])
def test_an_epsilon_in_the_logarithm_damps_the_gradient(z, epsilon, x64):
    """∂/∂z_nm of −ln(p_nn + ε) = p_nn / (p_nn + ε) · (p_nm − δ_nm)."""
    p = formulas.softmax(z, axis=1)
    left = jax.jit(jax.grad(lambda row, n: -jnp.log(jax.nn.softmax(row)[n] + epsilon)))
    for n in range(N):
        damped = p[n, n] / (p[n, n] + epsilon) * (p[n] - np.eye(N)[n])
        close(left(jnp.asarray(z[n]), n), damped)
    wrong = jnp.asarray([[0.0, 60.0], [0.0, 0.0]])  # hopeless, so there is most to learn
    hopeless = left(wrong[0], 0)
    safe = jax.jit(jax.grad(lambda z: losses.info_nce(*on_axes(z))))(wrong)[0]
    assert np.abs(hopeless).max() < 1e-15 and np.abs(safe).max() > 0.49


@pytest.mark.equation("3.4.10")
def test_the_softmax_along_a_column(units, z, x64):
    """q_nm = e^{z_nm} / Σ_k e^{z_km}, L_{T→I} = −(1/N) Σ_m ln q_mm."""
    right = 0.0
    for m in range(N):
        q = math.exp(z[m, m]) / sum(math.exp(z[k, m]) for k in range(N))
        right -= math.log(q) / N
    U, V = map(jnp.asarray, units)
    close(losses.info_nce(V, U, jnp.asarray(S)), right)
    close(formulas.info_nce(units[1], units[0], S), right)
    assert abs(right - row_loss(z)) > 1e-3


@pytest.mark.equation("3.4.11")
def test_the_symmetric_loss(units, z, x64):
    """L = (L_{I→T} + L_{T→I}) / 2 = Σ_n (Λ(row n) + Λ(column n) − 2 z_nn) / (2N)."""
    rows = [math.log(sum(math.exp(x) for x in z[n])) for n in range(N)]
    columns = [math.log(sum(math.exp(x) for x in z[:, n])) for n in range(N)]
    right = sum(rows[n] + columns[n] - 2 * z[n, n] for n in range(N)) / (2 * N)
    close((row_loss(z) + row_loss(z.T)) / 2, right)
    close(losses.clip_loss(*map(jnp.asarray, units), jnp.asarray(S)), right)
    close(formulas.clip_loss(*units, S), right)


@pytest.mark.equation("3.4.12")
def test_each_direction_is_blind_to_a_shift(z, random, x64):
    """L_{I→T}(z + c 1ᵀ) = L_{I→T}(z), L_{T→I}(z + 1 cᵀ) = L_{T→I}(z); not crosswise."""
    c = random.normal(size=N)

    def images(z):
        return float(losses.info_nce(*on_axes(z)))

    def texts(z):
        return images(z.T)

    close(images(z + c[:, None]), images(z))
    close(texts(z + c[None, :]), texts(z))
    assert abs(images(z + c[None, :]) - images(z)) > 0.01
    assert abs(texts(z + c[:, None]) - texts(z)) > 0.01


@pytest.mark.equation("3.4.13")
@pytest.mark.parametrize("pairs", [1, 2, 7, 256])
def test_a_model_that_knows_nothing_pays_ln_n(pairs, x64):
    """u_n = v_m for all n, m ⇒ L = ln N."""
    same = np.tile([[0.6, 0.0, 0.8]], (pairs, 1))
    close(jax.jit(losses.clip_loss)(same, same, S), math.log(pairs))
    close(formulas.clip_loss(same, same, S), math.log(pairs))


def test_the_worked_example(x64):
    z = np.log([[3.0, 1.0], [2.0, 2.0]])
    close(losses.info_nce(*on_axes(z)), math.log(8 / 3) / 2)
    close(losses.info_nce(*on_axes(z.T)), math.log(5 / 2) / 2)
    close((math.log(8 / 3) + math.log(5 / 2)) / 4, math.log(20 / 3) / 4)
    assert [round(math.log(x) / y, 3) for x, y in ((8 / 3, 2), (5 / 2, 2), (20 / 3, 4))] == [
        0.490, 0.458, 0.474,
    ]  # fmt: skip


@pytest.mark.equation("3.4.14")
@pytest.mark.parametrize("equal", [1, 2, 4])
def test_equal_texts_set_a_floor(units, equal, x64):
    """−ln p_nn ≥ ln g for g equal texts, with equality if the other texts are infinitely far."""
    U, V = units[0].copy(), units[1].copy()
    V[:equal] = V[0]
    for s in (-2.0, S, 4.0):
        z = math.exp(s) * U @ V.T
        rows = formulas.log_sum_exp(z) - np.diagonal(z)
        assert (rows[:equal] >= math.log(equal) - 1e-12).all()
    best = np.full((N, N), -500.0)
    best[:, :equal] = 0.0
    close(formulas.log_sum_exp(best)[0] - best[0, 0], math.log(equal))
    mask = jnp.asarray(np.arange(N)[:, None] >= equal) | jnp.eye(N, dtype=bool)
    masked = losses.info_nce(*on_axes(best[:equal, :equal]), negatives=mask[:equal, :equal])
    close(masked, 0.0)


@pytest.mark.equation("3.4.15")
def test_the_expected_number_of_equal_texts():
    """E[same] = N(N−1)/2 Σ_k c_k(c_k−1) / (C(C−1)): the mean over every batch that can be drawn."""
    labels, batch = "aaabbcd", 4
    same = [
        sum(x == y for x, y in itertools.combinations(drawn, 2))
        for drawn in itertools.permutations(labels, batch)
    ]
    counts, total = [labels.count(x) for x in "abcd"], len(labels)
    share = sum(c * (c - 1) for c in counts) / (total * (total - 1))
    close(np.mean(same), batch * (batch - 1) / 2 * share)


def mask_of(labels):
    return labels[:, None] != labels[None, :]


@pytest.fixture
def kept():
    """A, not symmetric and with ones on the diagonal."""
    A = np.array([0, 1, 2, 1, 3])
    A = mask_of(A) | np.eye(N, dtype=bool)
    A[0, 4] = A[3, 0] = False
    return A


@pytest.mark.equation("3.4.16")
def test_masked_softmax(units, z, kept, x64):
    """p = A e^z / row sums, q = A e^z / column sums: read off from the package's gradient."""
    weights = kept * np.exp(z)
    p, q = weights / weights.sum(axis=1)[:, None], weights / weights.sum(axis=0)[None, :]
    mask = jnp.asarray(kept)
    rows = jax.grad(lambda z: losses.info_nce(*on_axes(z), negatives=mask))(jnp.asarray(z))
    columns = jax.grad(lambda z: losses.info_nce(*on_axes(z.T), negatives=mask.T))(jnp.asarray(z))
    close(N * np.asarray(rows) + np.eye(N), p)
    close(N * np.asarray(columns) + np.eye(N), q)
    assert (np.asarray(rows)[~kept] == 0).all() and (np.asarray(columns)[~kept] == 0).all()


@pytest.mark.equation("3.4.17")
@pytest.mark.parametrize("diagonal", [True, False])
def test_the_masked_loss(units, z, kept, diagonal, x64):
    """L = Σ_n (ln Σ_m A_nm e^{z_nm} + ln Σ_m A_mn e^{z_mn} − 2 z_nn) / (2N)."""
    A, right = kept.astype(float), 0.0
    for n in range(N):
        row = math.log(sum(A[n, m] * math.exp(z[n, m]) for m in range(N)))
        column = math.log(sum(A[m, n] * math.exp(z[m, n]) for m in range(N)))
        right += (row + column - 2 * z[n, n]) / (2 * N)
    negatives = kept if diagonal else kept & ~np.eye(N, dtype=bool)
    U, V = map(jnp.asarray, units)
    close(losses.clip_loss(U, V, jnp.asarray(S), negatives=jnp.asarray(negatives)), right)
    close(formulas.clip_loss(*units, S, negatives), right)
    assert abs(right - formulas.clip_loss(*units, S, negatives.T)) > 1e-4


def beyond_second_order(z):
    """L − (ln N + mean − mean of the diagonal + a quarter of both variances), by definition."""
    both = (row_loss(z) + row_loss(z.T)) / 2
    scatter = (z.var(axis=1).mean() + z.var(axis=0).mean()) / 4
    return both - (math.log(len(z)) + z.mean() - np.diagonal(z).mean() + scatter)


@pytest.mark.equation("3.4.56")
def test_the_first_loss_is_the_logarithm_of_the_batch_and_the_scatter(units):
    """What is left is of third order: half the scale leaves an eighth of it."""
    U, V = units
    cosines = U @ V.T
    left = [beyond_second_order(alpha * cosines) for alpha in (0.02, 0.01, 0.005)]
    assert 1e-12 < abs(left[0]) < 0.02**3
    for large, small in itertools.pairwise(left):
        np.testing.assert_allclose(large / small, 8, rtol=0.05)
