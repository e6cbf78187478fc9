"""Cross-entropy against the formula, optax and torch; known values; wrong arguments."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mmjax import formulas
from mmjax.losses import cross_entropy

N, C = 7, 5
RNG = np.random.default_rng(0)
LOGITS, LABELS = 3 * RNG.standard_normal((N, C)), RNG.integers(0, C, N)
SMOOTHING = pytest.mark.parametrize("epsilon", [0.0, 0.1])


@SMOOTHING
def test_is_the_formula_and_its_gradient_is_softmax_minus_target(x64, epsilon):
    value, gradient = jax.value_and_grad(
        lambda z: cross_entropy(z, jnp.asarray(LABELS), label_smoothing=epsilon)
    )(jnp.asarray(LOGITS))
    expected = formulas.cross_entropy(LOGITS, LABELS, epsilon)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    target = (1 - epsilon) * np.eye(C)[LABELS] + epsilon / C
    np.testing.assert_allclose(gradient, (formulas.softmax(LOGITS) - target) / N, atol=1e-14)


@SMOOTHING
def test_agrees_with_optax(x64, epsilon):
    target = optax.smooth_labels(jax.nn.one_hot(jnp.asarray(LABELS), C), epsilon)
    expected = optax.softmax_cross_entropy(jnp.asarray(LOGITS), target).mean()
    ours = cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS), label_smoothing=epsilon)
    np.testing.assert_allclose(ours, expected, rtol=1e-13)


@SMOOTHING
def test_agrees_with_torch(x64, epsilon):
    torch = pytest.importorskip("torch")
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(LABELS), label_smoothing=epsilon)
    loss.backward()
    value, gradient = jax.value_and_grad(
        lambda z: cross_entropy(z, jnp.asarray(LABELS), label_smoothing=epsilon)
    )(jnp.asarray(LOGITS))
    np.testing.assert_allclose(value, loss.item(), rtol=1e-13)
    np.testing.assert_allclose(gradient, logits.grad.numpy(), atol=1e-14)


def test_equal_logits_cost_the_logarithm_of_the_classes(x64):
    loss = cross_entropy(jnp.full((N, C), 3.0), jnp.asarray(LABELS))
    np.testing.assert_allclose(loss, math.log(C), rtol=1e-14)


def test_large_logits_stay_finite():
    logits = jnp.asarray([[1e4, 0.0], [0.0, 1e4]])
    assert cross_entropy(logits, jnp.asarray([0, 1])) == 0
    np.testing.assert_allclose(cross_entropy(logits, jnp.asarray([1, 0])), 1e4)


def test_an_impossible_class_costs_nothing_unless_it_is_the_right_one():
    logits = jnp.asarray([[0.0, 0.0, -jnp.inf]])
    value, gradient = jax.value_and_grad(cross_entropy)(logits, jnp.asarray([0]))
    np.testing.assert_allclose(value, math.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[-0.5, 0.5, 0.0]], atol=1e-7)
    assert cross_entropy(logits, jnp.asarray([2])) == np.inf
    assert cross_entropy(logits, jnp.asarray([0]), label_smoothing=0.1) == np.inf


def test_narrow_labels_do_not_wrap_around():
    logits = jnp.zeros((2, 200), jnp.float32)
    for labels in (jnp.asarray([3, -1], jnp.int8), jnp.asarray([3, 201], jnp.uint8)):
        assert np.isnan(jax.jit(cross_entropy)(logits, labels))
    loss = cross_entropy(logits, jnp.asarray([3, 127], jnp.int8))
    np.testing.assert_allclose(loss, math.log(200), rtol=1e-6)


def test_unsigned_labels_are_taken_as_they_are():
    logits, labels = jnp.zeros((2, 200), jnp.float32), jnp.asarray([3, 127], jnp.uint32)
    np.testing.assert_allclose(cross_entropy(logits, labels), math.log(200), rtol=1e-6)
    assert np.isnan(jax.jit(cross_entropy)(logits, labels.at[0].set(200)))
    assert np.isnan(jax.jit(cross_entropy)(logits, labels.at[0].set(2**32 - 1)))


def test_unsigned_labels_of_64_bits(x64):
    logits, labels = jnp.zeros((2, 200)), jnp.asarray([3, 127], jnp.uint64)
    np.testing.assert_allclose(cross_entropy(logits, labels), math.log(200), rtol=1e-12)


def test_narrow_logits_are_summed_in_float32():
    logits = jnp.asarray(LOGITS, jnp.bfloat16)
    loss = cross_entropy(logits, jnp.asarray(LABELS))
    assert loss.dtype == jnp.float32
    expected = formulas.cross_entropy(np.asarray(logits, np.float64), LABELS)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.parametrize("label", [-1, C])
def test_a_label_out_of_range_is_named_or_gives_nan(label):
    logits, labels = jnp.asarray(LOGITS, jnp.float32), jnp.asarray(LABELS).at[2].set(label)
    with pytest.raises(ValueError, match="'labels': expected from 0 to 4"):
        cross_entropy(logits, labels)
    assert np.isnan(jax.jit(cross_entropy)(logits, labels))


GOOD = {"logits": np.zeros((N, C), np.float32), "labels": LABELS}
WRONG = {
    "integers": ({"logits": np.zeros((N, C), np.int32)}, TypeError, "logits"),
    "rank": ({"logits": np.zeros((1, N, C), np.float32)}, ValueError, "logits"),
    "empty": ({"logits": np.zeros((0, C), np.float32)}, ValueError, "logits"),
    "floating labels": ({"labels": np.zeros(N, np.float32)}, TypeError, "labels"),
    "other length": ({"labels": np.zeros(N + 1, np.int32)}, ValueError, "labels"),
    "one-hot labels": ({"labels": np.zeros((N, C), np.int32)}, ValueError, "labels"),
    "smoothing": ({"label_smoothing": 1.0}, ValueError, "label_smoothing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    changed, error, argument = WRONG[name]
    given = GOOD | changed
    logits, labels = jnp.asarray(given.pop("logits")), jnp.asarray(given.pop("labels"))
    with pytest.raises(error, match=f"cross_entropy: argument '{argument}'"):
        cross_entropy(logits, labels, **given)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_exports(platform):
    logits, labels = (
        jax.ShapeDtypeStruct((N, C), jnp.float32),
        jax.ShapeDtypeStruct((N,), jnp.int32),
    )
    step = jax.jit(jax.value_and_grad(cross_entropy))
    assert jax.export.export(step, platforms=[platform])(logits, labels).platforms == (platform,)
