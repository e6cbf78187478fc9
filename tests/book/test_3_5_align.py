"""Section 3.5: wrong pairs, label smoothing, the sigmoid loss, and the bound on information."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.losses import clip_loss, info_nce, sigmoid_loss

N = 4


@pytest.fixture
def random():
    return np.random.default_rng(35)


@pytest.fixture
def joint(random):
    """p(x, y) of 3 pictures and 5 texts."""
    return random.dirichlet(np.full(15, 0.5)).reshape(3, 5)


@pytest.fixture
def logits(random):
    return 2 * random.normal(size=(N, N))


def pointwise(p):
    """(3.5.1) for a table p(x, y)."""
    return np.log(p) - np.log(p.sum(1, keepdims=True)) - np.log(p.sum(0, keepdims=True))


def with_noise(p, eta):
    return (1 - eta) * p + eta * np.outer(p.sum(1), p.sum(0))


def softmax_loss(z, t):
    return np.mean(
        [formulas.log_sum_exp(row) - target @ row for row, target in zip(z, t, strict=True)]
    )


def smooth(epsilon, size=N):
    return (1 - epsilon) * np.eye(size) + epsilon / size


def slope(function, x, direction, h=1e-6):
    return (function(x + h * direction) - function(x - h * direction)) / (2 * h)


@pytest.mark.equation("3.5.1")
def test_pointwise_information_averages_to_mutual_information(joint):
    def entropy(p):
        return -(p * np.log(p)).sum()

    by_entropies = entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint)
    assert (joint * pointwise(joint)).sum() == pytest.approx(by_entropies, rel=1e-12)
    np.testing.assert_allclose(pointwise(np.outer([0.2, 0.8], [0.7, 0.3])), 0, atol=1e-15)


@pytest.mark.equation("3.5.2")
def test_wrong_pairs_leave_the_marginals(joint, random):
    noisy = with_noise(joint, 0.3)
    for axis in (0, 1):
        np.testing.assert_allclose(noisy.sum(axis), joint.sum(axis), rtol=1e-12)
    # Draw pairs, give a share of them the text of another pair, count.
    count = 400_000
    x, y = np.unravel_index(random.choice(15, count, p=joint.ravel()), joint.shape)
    wrong = random.random(count) < 0.3
    y = np.where(wrong, random.permutation(y), y)
    counted = np.bincount(5 * x + y, minlength=15).reshape(3, 5) / count
    np.testing.assert_allclose(counted, noisy, atol=4e-3)


@pytest.mark.equation("3.5.3")
def test_the_ideal_logit_of_noisy_data(joint):
    phi = pointwise(joint)
    for eta in (0.0, 0.1, 0.7):
        left, right = pointwise(with_noise(joint, eta)), np.log((1 - eta) * np.exp(phi) + eta)
        np.testing.assert_allclose(left, right, atol=1e-12)
        np.testing.assert_array_equal(left.argsort(1), phi.argsort(1))  # the ranking stays


@pytest.mark.equation("3.5.4")
def test_noise_leaves_nothing_impossible():
    eta = 0.2
    phi = np.array([-800.0, -30, -1, 0, 3, 40])
    noisy = np.log((1 - eta) * np.exp(phi) + eta)
    assert (noisy >= math.log(eta)).all()
    assert noisy[0] == pytest.approx(math.log(eta), rel=1e-14)
    assert noisy[-1] - phi[-1] == pytest.approx(math.log(1 - eta), rel=1e-12)


@pytest.mark.equation("3.5.5")
def test_wrong_pairs_add_nothing_to_the_covariance(joint, random):
    a, b = random.normal(size=3), random.normal(size=5)
    a, b = a - joint.sum(1) @ a, b - joint.sum(0) @ b
    for eta in (0.1, 0.5, 1.0):
        assert a @ with_noise(joint, eta) @ b == pytest.approx(
            (1 - eta) * (a @ joint @ b), abs=1e-15
        )


@pytest.mark.equation("3.5.6")
def test_the_price_of_noise_in_pairs():
    """The exact ratio of signal to scatter of a mean over n pairs, for a weak correlation."""
    weak = 0.01
    joint = np.array([[1 + weak, 1 - weak], [1 - weak, 1 + weak]]) / 4
    sign = np.array([-1.0, 1.0])

    def ratio(p, n):
        product = np.outer(sign, sign)
        mean = (p * product).sum()
        return mean / math.sqrt(((p * product**2).sum() - mean**2) / n)

    for eta in (0.3, 0.68):
        n = 1000
        needed = n / (1 - eta) ** 2
        assert ratio(with_noise(joint, eta), needed) == pytest.approx(ratio(joint, n), rel=1e-4)
    assert 1 / 0.7**2 == pytest.approx(2, abs=0.05)
    assert 1 / 0.32**2 == pytest.approx(10, abs=0.3)


@pytest.mark.equation("3.5.7")
def test_the_smoothed_loss(logits, x64):
    axes = np.eye(N)
    for epsilon in (0.0, 0.1):
        left = float(info_nce(jnp.asarray(logits), jnp.asarray(axes), 0.0, label_smoothing=epsilon))
        assert left == pytest.approx(softmax_loss(logits, smooth(epsilon)), rel=1e-12)
        both = (softmax_loss(logits, smooth(epsilon)) + softmax_loss(logits.T, smooth(epsilon))) / 2
        whole = clip_loss(jnp.asarray(logits), jnp.asarray(axes), 0.0, label_smoothing=epsilon)
        assert float(whole) == pytest.approx(both, rel=1e-12)
    assert smooth(0.1).sum(1) == pytest.approx(1)


@pytest.mark.equation("3.5.8")
def test_smoothing_is_a_pull_of_logits_towards_each_other(logits):
    epsilon = 0.2
    right = (
        softmax_loss(logits, np.eye(N)) + epsilon * (np.diagonal(logits) - logits.mean(1)).mean()
    )
    assert softmax_loss(logits, smooth(epsilon)) == pytest.approx(right, rel=1e-12)


@pytest.mark.equation("3.5.9")
def test_its_gradient_is_what_was_said_minus_what_should_be(logits, random, x64):
    t = smooth(0.2)
    gradient = (formulas.softmax(logits) - t) / N
    direction = random.normal(size=(N, N))
    numeric = slope(lambda z: softmax_loss(z, t), logits, direction)
    assert (gradient * direction).sum() == pytest.approx(numeric, rel=1e-7)

    def loss(z):
        return info_nce(z, jnp.eye(N), 0.0, label_smoothing=0.2)

    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(logits)), gradient, atol=1e-14)


@pytest.mark.equation("3.5.10")
def test_the_best_margin_is_finite():
    def margin(size, epsilon):
        return math.log((size * (1 - epsilon) + epsilon) / epsilon)

    assert margin(256, 0.1) == pytest.approx(7.7, abs=0.05)
    z = margin(N, 0.1) * np.eye(N)
    np.testing.assert_allclose(formulas.softmax(z), smooth(0.1), rtol=1e-12)  # zero gradient
    best = softmax_loss(z, smooth(0.1))
    assert all(softmax_loss(k * z, smooth(0.1)) > best for k in (0.9, 1.1, 5.0))


def sigmoid_of(z):
    return formulas.sigmoid_loss(z, np.eye(len(z)), 0.0, 0.0)


@pytest.mark.equation("3.5.11")
def test_the_sigmoid_loss_is_one_question_a_pair(random, x64):
    u, v = (formulas.normalize(random.normal(size=(N, 3))) for _ in range(2))
    s, b = 0.7, -0.4
    z, y = np.exp(s) * u @ v.T + b, 2 * np.eye(N) - 1
    by_hand = np.log1p(np.exp(-y * z)).sum() / N
    assert float(sigmoid_loss(jnp.asarray(u), jnp.asarray(v), s, b)) == pytest.approx(by_hand)
    assert formulas.sigmoid_loss(u, v, s, b) == pytest.approx(by_hand, rel=1e-13)


@pytest.mark.equation("3.5.12")
def test_its_gradients(logits, random, x64):
    y = 2 * np.eye(N) - 1
    gradient = -y / (1 + np.exp(y * logits)) / N
    direction = random.normal(size=(N, N))
    numeric = slope(sigmoid_of, logits, direction)
    assert (gradient * direction).sum() == pytest.approx(numeric, rel=1e-7)
    eye = jnp.eye(N)

    def loss(z, b):
        return sigmoid_loss(z, eye, 0.0, b, block_size=3)

    by_z, by_b = jax.grad(loss, (0, 1))(jnp.asarray(logits), jnp.asarray(0.0))
    np.testing.assert_allclose(by_z, gradient, atol=1e-14)
    assert float(by_b) == pytest.approx(gradient.sum(), rel=1e-12)


@pytest.mark.equation("3.5.13")
def test_its_best_logit_has_the_bias_minus_ln_of_the_negatives(joint):
    size = 32_768

    def expected(z):
        """One positive from p(x, y), N − 1 negatives from p(x) p(y), for a table of logits."""
        apart = np.outer(joint.sum(1), joint.sum(0))
        return (joint * np.logaddexp(0, -z)).sum() + (size - 1) * (apart * np.logaddexp(0, z)).sum()

    best = pointwise(joint) - math.log(size - 1)
    for x, y in itertools.product(range(3), range(5)):
        direction = np.zeros((3, 5))
        direction[x, y] = 1
        assert slope(expected, best, direction, 1e-5) == pytest.approx(0, abs=1e-7)
        assert all(expected(best + k * direction) > expected(best) for k in (-0.1, 0.1))
    assert -math.log(size - 1) == pytest.approx(-10.4, abs=0.01)


def expected_info_nce(p, z, size):
    """E of InfoNCE's row for a table of logits z: every choice of a pair and of size − 1 texts."""
    texts, total = p.sum(0), 0.0
    for x, y in itertools.product(range(p.shape[0]), range(p.shape[1])):
        for others in itertools.product(range(p.shape[1]), repeat=size - 1):
            row = z[x, [y, *others]]
            total += p[x, y] * texts[list(others)].prod() * (formulas.log_sum_exp(row) - row[0])
    return total


@pytest.mark.equation("3.5.14")
def test_info_nce_bounds_the_mutual_information(joint, random):
    information = (joint * pointwise(joint)).sum()
    best = [math.log(n) - expected_info_nce(joint, pointwise(joint), n) for n in (2, 3, 4)]
    assert 0 < best[0] < best[1] < best[2] < information  # tighter with a larger batch
    for _ in range(5):
        other = pointwise(joint) + random.normal(size=joint.shape)
        assert math.log(3) - expected_info_nce(joint, other, 3) < best[1]


@pytest.mark.equation("3.5.15")
def test_the_bound_cannot_pass_ln_n():
    sure = np.eye(8) / 8  # every picture has its own text: I = ln 8
    with np.errstate(divide="ignore"):
        z = np.where(sure > 0, 0.0, -50.0)
    for n in (2, 3):
        shown = math.log(n) - expected_info_nce(sure, z, n)
        assert shown <= math.log(n) < math.log(8)
    assert math.log(256) == pytest.approx(5.5, abs=0.05)
