"""Section 3.4, equations 18 to 37: gradients by hand, hard negatives, invariances, accumulation.

The left side is JAX's derivative of the loss, written out here or in the package; the right side is
the formula of the page in NumPy. All in float64.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas, losses

N, E = 6, 3
S = 1.1  # logit_scale
ALPHA = math.exp(S)
I = np.eye(N)  # noqa: E741


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-11)


@pytest.fixture
def random():
    return np.random.default_rng(43)


@pytest.fixture
def units(random):
    """Unit vectors U, V [N, E]."""
    return formulas.normalize(random.normal(size=(2, N, E)))


@pytest.fixture
def kept():
    """A mask with ones on the diagonal that is not symmetric."""
    A = np.arange(N)[:, None] % 4 != np.arange(N)[None, :] % 4
    A[0, 2] = False
    return A | np.eye(N, dtype=bool)


def softmaxes(z, A=1.0):
    """p along rows and q along columns, by their definitions."""
    weights = A * np.exp(z)
    return weights / weights.sum(axis=1)[:, None], weights / weights.sum(axis=0)[None, :]


@jax.jit
def image_loss(z):
    return (jnp.log(jnp.exp(z).sum(axis=1)) - jnp.diagonal(z)).mean()


@jax.jit
def both_losses(z, A=1.0):
    rows, columns = (jnp.log((A * jnp.exp(z)).sum(axis=axis)) for axis in (1, 0))
    return (rows + columns - 2 * jnp.diagonal(z)).mean() / 2


compiled_loss = jax.jit(losses.clip_loss)


def package(U, V, s=S, A=None):
    mask = None if A is None else jnp.asarray(A)
    return compiled_loss(jnp.asarray(U), jnp.asarray(V), jnp.asarray(s), negatives=mask)


@pytest.mark.equation("3.4.18")
def test_one_direction(units, x64):
    """∂L_{I→T}/∂z_nm = (p_nm − δ_nm) / N."""
    z = ALPHA * units[0] @ units[1].T
    close(jax.grad(image_loss)(jnp.asarray(z)), (softmaxes(z)[0] - I) / N)


@pytest.mark.equation("3.4.19")
@pytest.mark.parametrize("masked", [False, True])
def test_rows_plus_columns_minus_twice_the_identity(units, kept, masked, x64):
    """G_nm = (p_nm + q_nm − 2 δ_nm) / (2N), also with a mask, where a pair left out gets 0."""
    A, z = kept if masked else np.ones((N, N)), ALPHA * units[0] @ units[1].T
    p, q = softmaxes(z, A)
    right = (p + q - 2 * I) / (2 * N)
    close(jax.grad(both_losses)(jnp.asarray(z), jnp.asarray(A, float)), right)
    through = jax.grad(lambda z: package(z, jnp.eye(N), 0.0, A.astype(bool)))(jnp.asarray(z))
    close(through, right)
    assert (np.asarray(through)[A == 0] == 0).all()


@pytest.mark.equation("3.4.20")
def test_pull_and_push_balance(units, x64):
    """G_nn ≤ 0, G_nm ≥ 0 off the diagonal, ΣΣ G = 0."""
    z = jnp.asarray(ALPHA * units[0] @ units[1].T)
    G = np.asarray(jax.grad(both_losses)(z))
    assert (np.diagonal(G) < 0).all() and (G[I == 0] > 0).all()
    close(G.sum(), 0.0)


def test_the_gradient_of_the_worked_example(x64):
    z = jnp.log(jnp.asarray([[3.0, 1.0], [2.0, 2.0]]))
    G = jax.grad(both_losses)(z)
    right = np.array([[3 / 4 + 3 / 5 - 2, 1 / 4 + 1 / 3], [1 / 2 + 2 / 5, 1 / 2 + 2 / 3 - 2]]) / 4
    close(G, right)
    assert np.round(right, 4).tolist() == [[-0.1625, 0.1458], [0.225, -0.2083]]


@pytest.mark.equation("3.4.21")
@pytest.mark.parametrize("masked", [False, True])
def test_the_unit_vectors(units, kept, masked, x64):
    """du_n = α Σ_m G_nm v_m, dv_m = α Σ_n G_nm u_n: the package's autodiff, the oracle, loops."""
    U, V = units
    A = kept if masked else np.ones((N, N), bool)
    p, q = softmaxes(ALPHA * U @ V.T, A)
    G = (p + q - 2 * I) / (2 * N)
    dU = [ALPHA * sum(G[n, m] * V[m] for m in range(N)) for n in range(N)]
    dV = [ALPHA * sum(G[n, m] * U[n] for n in range(N)) for m in range(N)]
    left = jax.grad(lambda U, V: package(U, V, S, A), argnums=(0, 1))(*map(jnp.asarray, units))
    close(left[0], dU)
    close(left[1], dV)
    for oracle, right in zip(formulas.clip_gradients(U, V, S, A), (dU, dV), strict=False):
        close(oracle, right)


@pytest.mark.equation("3.4.22")
def test_the_text_believed_in_minus_the_right_text(units, x64):
    """∂L_{I→T}/∂u_n = (α / N)(Σ_m p_nm v_m − v_n)."""
    U, V = map(jnp.asarray, units)
    left = jax.grad(lambda U: losses.info_nce(U, V, jnp.asarray(S)))(U)
    believed = softmaxes(ALPHA * units[0] @ units[1].T)[0] @ units[1]
    close(left, ALPHA / N * (believed - units[1]))


@pytest.mark.equation("3.4.23")
def test_the_jacobian_of_the_normalisation(random, x64):
    """∂u/∂a = (I − u uᵀ) / ‖a‖, by central differences and by the package's autodiff."""
    a = random.normal(size=E) * 3
    length = math.sqrt(a @ a)
    right = (np.eye(E) - np.outer(a, a) / length**2) / length
    moves = np.eye(E) * 1e-5
    moved = [(formulas.normalize(a + h) - formulas.normalize(a - h)) / 2e-5 for h in moves]
    np.testing.assert_allclose(np.stack(moved, axis=1), right, rtol=1e-8, atol=1e-9)
    close(jax.jacobian(losses.normalize)(jnp.asarray(a)), right)


@pytest.fixture
def outputs(random):
    """Encoder outputs a, b [N, E] of various lengths."""
    lengths = np.array([1.0, 2.0, 0.5, 5.0, 3.0, 1.5])
    return random.normal(size=(2, N, E)) * lengths[None, :, None]


def loss_of_outputs(a, b, s=S):
    return package(losses.normalize(a), losses.normalize(b), s)


@pytest.mark.equation("3.4.24")
def test_the_encoder_outputs(outputs, x64):
    """da = (du − (u·du) u) / ‖a‖: autodiff from the loss to a against the oracle's chain."""
    a, b = outputs
    left = jax.grad(loss_of_outputs)(*map(jnp.asarray, outputs))
    u, v = formulas.normalize(a), formulas.normalize(b)
    dU = formulas.clip_gradients(u, v, S)[0]
    by_hand = [(dU[n] - (u[n] @ dU[n]) * u[n]) / math.sqrt(a[n] @ a[n]) for n in range(N)]
    close(left, by_hand)
    close([formulas.normalize_gradient(a[n], dU[n]) for n in range(N)], by_hand)


@pytest.mark.equation("3.4.25")
def test_the_gradient_is_orthogonal_and_the_length_grows(outputs, x64):
    """a·da = 0, ‖a − η da‖² = ‖a‖² + η² ‖da‖²."""
    da = np.asarray(jax.grad(loss_of_outputs)(*map(jnp.asarray, outputs)))
    a, rate = outputs[0], 7.0
    close((a * da).sum(axis=1), np.zeros(N))
    moved = ((a - rate * da) ** 2).sum(axis=1)
    close(moved, (a**2).sum(axis=1) + rate**2 * (da**2).sum(axis=1))
    assert (moved > (a**2).sum(axis=1) + 1e-6).all()


@pytest.mark.equation("3.4.26")
def test_the_scale(units, x64):
    """∂L/∂s = ΣΣ G z = Σ_n (Σ_m p z − z_nn + Σ_m q_mn z_mn − z_nn) / (2N)."""
    z = ALPHA * units[0] @ units[1].T
    p, q = softmaxes(z)
    left = jax.grad(lambda s: package(*units, s))(jnp.asarray(S))
    close(left, ((p + q - 2 * I) / (2 * N) * z).sum())
    expected = [p[n] @ z[n] - z[n, n] + q[:, n] @ z[:, n] - z[n, n] for n in range(N)]
    close(left, sum(expected) / (2 * N))
    close(formulas.clip_gradients(*units, S)[2], left)
    # A model that is right wants a larger scale, one that is wrong a smaller one.
    assert jax.grad(lambda s: package(units[0], units[0], s))(jnp.asarray(S)) < 0
    assert jax.grad(lambda s: package(units[0], -units[0], s))(jnp.asarray(S)) > 0


@pytest.mark.equation("3.4.27")
def test_beyond_the_cap_the_scale_gets_no_gradient(units, x64):
    """e^s > 100 ⇒ ∂L/∂s = 0; just below the cap it is ΣΣ G z."""
    gradient = jax.grad(lambda s: package(*units, s))
    assert gradient(jnp.asarray(math.log(101))) == 0
    close(gradient(jnp.asarray(math.log(99))), formulas.clip_gradients(*units, math.log(99))[2])
    assert package(*units, 5.0) == package(*units, 6.0)


@jax.jit
def row_loss(c, n, alpha):
    return jax.nn.logsumexp(alpha * c) - alpha * c[n]


def row_force(units, n, alpha):
    """|∂ℓ_n/∂c_nm| for all m, by autodiff of the loss of row n with respect to its cosines."""
    return np.asarray(jax.grad(row_loss)(jnp.asarray((units[0] @ units[1].T)[n]), n, alpha))


@pytest.mark.equation("3.4.28")
@pytest.mark.parametrize("alpha", [0.5, 3.0, 20.0])
def test_the_force_on_negatives_is_a_softmax_over_negatives(units, alpha, x64):
    """w_nm = p_nm / (1 − p_nn) = e^{α c_nm} / Σ_{k≠n} e^{α c_nk}."""
    c = units[0] @ units[1].T
    for n in range(N):
        others = [m for m in range(N) if m != n]
        force = row_force(units, n, alpha)[others]
        right = [math.exp(alpha * c[n, m]) for m in others]
        close(force / force.sum(), np.array(right) / sum(right))


@pytest.mark.equation("3.4.29")
def test_the_scale_turns_differences_into_ratios(units, x64):
    """ln(w_nm / w_nk) = α (c_nm − c_nk)."""
    c, force = units[0] @ units[1].T, row_force(units, 0, ALPHA)
    for m, k in ((1, 2), (3, 5), (4, 1)):
        close(math.log(force[m] / force[k]), ALPHA * (c[0, m] - c[0, k]))
    assert round(math.exp(0.1 / 0.07), 1) == 4.2 and round(math.exp(10)) == 22026


@pytest.mark.equation("3.4.30")
def test_from_all_negatives_to_the_hardest(units, x64):
    """α → 0: w = 1/(N−1). α → ∞: w = 1 for the negative with the largest cosine, else 0."""
    hardest = (units[0] @ units[1].T)[0, 1:].argmax()
    for alpha, right in ((1e-9, np.full(N - 1, 1 / (N - 1))), (1e4, np.eye(N - 1)[hardest])):
        weights = row_force(units, 0, alpha)[1:]
        np.testing.assert_allclose(weights / weights.sum(), right, rtol=1e-8, atol=1e-8)


@pytest.mark.equation("3.4.31")
@pytest.mark.parametrize("alpha", [0.1, 3.0, 100.0])
def test_the_loss_tends_to_the_lead_of_the_hardest_negative(units, alpha, x64):
    """max(0, h_n) ≤ ℓ_n / α ≤ max(0, h_n) + ln N / α; the upper bound is met by equal cosines."""
    c = units[0] @ units[1].T
    loss = formulas.log_sum_exp(alpha * c) - alpha * np.diagonal(c)
    lead = np.where(I == 1, -np.inf, c).max(axis=1) - np.diagonal(c)
    assert (lead > 0).any() and (lead < 0).any()
    bound = np.maximum(0, lead)
    assert (bound <= loss / alpha + 1e-12).all()
    assert (loss / alpha <= bound + math.log(N) / alpha + 1e-12).all()
    close(formulas.log_sum_exp(np.full(N, alpha)) - alpha, math.log(N))


@pytest.mark.equation("3.4.32")
def test_pull_equals_push(units, x64):
    """Σ_m |∂ℓ_n/∂c_nm| = 2 α (1 − p_nn)."""
    p = softmaxes(ALPHA * units[0] @ units[1].T)[0]
    for n in range(N):
        close(np.abs(row_force(units, n, ALPHA)).sum(), 2 * ALPHA * (1 - p[n, n]))


@pytest.mark.equation("3.4.33")
def test_the_order_of_the_pairs_means_nothing(units, kept, random, x64):
    """L(ΠU, ΠV, ΠAΠᵀ) = L(U, V, A); permuting one side alone changes the loss."""
    (U, V), order = units, random.permutation(N)
    close(package(U[order], V[order], S, kept[order][:, order]), package(U, V, S, kept))
    assert abs(package(U[order], V, S, kept) - package(U, V, S, kept)) > 1e-3


@pytest.mark.equation("3.4.34")
def test_the_axes_of_the_space_mean_nothing(units, random, x64):
    """L(UR, VR) = L(U, V) for R Rᵀ = I; turning one side alone changes the loss."""
    (U, V), R = units, np.linalg.qr(random.normal(size=(E, E)))[0]
    close(R @ R.T, np.eye(E))
    close(package(U @ R, V @ R), package(U, V))
    assert abs(package(U @ R, V) - package(U, V)) > 1e-3


@pytest.mark.equation("3.4.35")
def test_images_and_texts_play_the_same_part(units, kept, x64):
    """L(U, V, A) = L(V, U, Aᵀ), and not with A as it is."""
    U, V = units
    close(package(U, V, S, kept), package(V, U, S, kept.T))
    assert abs(package(U, V, S, kept) - package(V, U, S, kept)) > 1e-4


@pytest.mark.equation("3.4.36")
@pytest.mark.parametrize("parts", [2, 3])
def test_the_mean_of_parts_is_the_loss_without_the_pairs_between_them(units, parts, x64):
    """(1/J) Σ_j L(U_j, V_j) = L(U, V, A_part), and smaller than the loss of the whole batch."""
    U, V = (np.split(x, parts) for x in units)
    left = np.mean([package(u, v) for u, v in zip(U, V, strict=True)])
    part = np.arange(N) // (N // parts)
    close(left, package(*units, S, part[:, None] == part[None, :]))
    assert left < package(*units) - 0.1
    same = np.tile(units[0][:1], (N // parts, 1))
    close(package(same, same), math.log(N / parts))


@pytest.mark.equation("3.4.37")
def test_two_passes_give_the_gradient_of_the_whole_batch(random, x64):
    """∂L/∂θ = Σ_j ∂/∂θ Σ_{n in part j} (du_n·u_n(θ) + dv_n·v_n(θ)) with du, dv held fixed."""
    images, texts = random.normal(size=(N, 4)), random.normal(size=(N, 2))
    theta = tuple(jnp.asarray(random.normal(size=(width, E))) for width in (4, 2))

    def encode(theta, rows):
        sides = zip((images, texts), theta, strict=True)
        return [losses.normalize(jnp.tanh(jnp.asarray(x[rows]) @ W)) for x, W in sides]

    whole = jax.grad(lambda theta: package(*encode(theta, slice(None))))(theta)
    dU, dV, _ = formulas.clip_gradients(*encode(theta, slice(None)), S)
    total = [np.zeros_like(W) for W in theta]
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6)):

        def surrogate(theta, rows=rows):
            u, v = encode(theta, rows)
            return (u * dU[rows]).sum() + (v * dV[rows]).sum()

        total = [x + y for x, y in zip(total, jax.grad(surrogate)(theta), strict=True)]
    for left, right in zip(whole, total, strict=True):
        close(left, right)
