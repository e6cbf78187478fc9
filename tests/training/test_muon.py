"""Muon against a step in NumPy with the real singular values, and against torch's and optax's."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax.contrib
import pytest

from mmjax.training import muon, orthogonalize

PEAK, STEPS, WARMUP, MOMENTUM, DECAY = 0.1, 13, 3, 0.9, 0.05


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5), (2, 3, 7)])
def test_singular_values_go_near_one_and_directions_stay(shape):
    x = draw(*shape)
    ours = np.asarray(orthogonalize(jnp.asarray(x)))
    assert ours.shape == shape and ours.dtype == x.dtype
    values = np.linalg.svd(ours, compute_uv=False)
    assert values.min() > 0.68 and values.max() < 1.21
    left, _, right = np.linalg.svd(x, full_matrices=False)
    core = np.swapaxes(left, -1, -2) @ ours @ np.swapaxes(right, -1, -2)
    np.testing.assert_allclose(core, core * np.eye(core.shape[-1]), atol=1e-4)


def test_the_size_of_the_gradient_does_not_count_and_zero_stays_zero():
    x = jnp.asarray(draw(3, 7))
    np.testing.assert_allclose(orthogonalize(1000 * x), orthogonalize(x), atol=1e-5)
    assert (orthogonalize(jnp.zeros((3, 7))) == 0).all()
    with pytest.raises(ValueError, match="orthogonalize.*'matrix'.*M, F"):
        orthogonalize(x[0])
    with pytest.raises(TypeError, match="orthogonalize.*'matrix'.*floating-point"):
        orthogonalize(jnp.ones((3, 7), jnp.int32))
    with pytest.raises(ValueError, match="muon.*'momentum'"):
        muon(PEAK, STEPS, momentum=1.0)


def test_half_precision_does_not_underflow():
    tiny = 1e-4 * draw(3, 7)
    ours = orthogonalize(jnp.asarray(tiny, jnp.float16))
    assert ours.dtype == jnp.float16
    np.testing.assert_allclose(ours, orthogonalize(jnp.asarray(tiny)), atol=5e-3)
    assert (orthogonalize(jnp.zeros((3, 7), jnp.float16)) == 0).all()


def draw_tree(seed):
    shapes = {"kernel": (3, 7), "bias": (7,), "table": (5, 3)}
    return {name: jnp.asarray(draw(*shape, seed=seed)) for name, shape in shapes.items()}


def learning_rate(t, peak):
    if t < WARMUP:
        return peak * t / WARMUP
    return peak * (1 + math.cos(math.pi * (t - WARMUP) / (STEPS - WARMUP))) / 2


def our_steps(parameters, gradients, peak=PEAK, **options):
    options = {"warmup": WARMUP, "momentum": MOMENTUM, "weight_decay": DECAY} | options
    optimizer = muon(peak, STEPS, **options)
    state = optimizer.init(parameters)
    with jax.numpy_dtype_promotion("standard"):
        for gradient in gradients:
            updates, state = optimizer.update(gradient, state, parameters)
            parameters = optax.apply_updates(parameters, updates)
    return parameters


def test_five_steps_are_the_literal_ones():
    """Kernels by momentum and the polynomial of the singular values, all else by Adam."""
    parameters, gradients = draw_tree(0), [draw_tree(1 + t) for t in range(5)]
    ours = our_steps(parameters, gradients, other_learning_rate=0.03, clip_norm=1e9)
    weights = np.asarray(parameters["kernel"], np.float64)
    trace = np.zeros_like(weights)
    for t, gradient in enumerate(gradients):
        g = np.asarray(gradient["kernel"], np.float64)
        trace = g + MOMENTUM * trace
        left, values, right = np.linalg.svd(g + MOMENTUM * trace, full_matrices=False)
        values = values / math.sqrt((values**2).sum())
        for _ in range(5):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        step = math.sqrt(7 / 3) * (left * values) @ right + DECAY * weights
        weights = weights - learning_rate(t, PEAK) * step
    np.testing.assert_allclose(ours["kernel"], weights, atol=1e-4)
    adam = optax.adam(lambda t: jnp.array([learning_rate(k, 0.03) for k in range(5)])[t], b2=0.98)
    others = {name: parameters[name] for name in ("bias", "table")}
    state = adam.init(others)
    with jax.numpy_dtype_promotion("standard"):
        for gradient in gradients:
            updates, state = adam.update({name: gradient[name] for name in others}, state)
            others = optax.apply_updates(others, updates)
    for name, expected in others.items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3)])
def test_one_step_is_that_of_optax(shape):
    weights, slope = (
        {"kernel": jnp.asarray(draw(*shape))},
        {"kernel": jnp.asarray(draw(*shape, seed=1))},
    )
    peer = optax.contrib.muon(PEAK, beta=MOMENTUM, weight_decay=DECAY)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = peer.update(slope, peer.init(weights), weights)
    expected = weights["kernel"] + updates["kernel"]
    ours = our_steps(weights, [slope], warmup=0)["kernel"]
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_one_step_is_that_of_torch():
    """Its kernels are [out, in], and it works in bfloat16: two digits."""
    torch = pytest.importorskip("torch")
    weights, gradient = draw(3, 7), draw(3, 7, seed=1)
    parameter = torch.nn.Parameter(torch.tensor(weights.T.copy()))
    parameter.grad = torch.tensor(gradient.T.copy())
    torch.optim.Muon([parameter], lr=PEAK, weight_decay=DECAY, momentum=MOMENTUM).step()
    tree, slope = {"kernel": jnp.asarray(weights)}, {"kernel": jnp.asarray(gradient)}
    ours = our_steps(tree, [slope], warmup=0)["kernel"]
    np.testing.assert_allclose(ours, parameter.detach().numpy().T, atol=3e-2 * PEAK)


def test_a_stack_of_kernels_is_many_matrices_and_logit_scale_is_capped():
    stack, slopes = {"kernel": jnp.asarray(draw(2, 3, 7))}, {"kernel": jnp.asarray(draw(2, 3, 7))}
    together = our_steps(stack, [slopes], warmup=0, clip_norm=1e9)["kernel"]
    for layer in range(2):
        one, slope = ({"kernel": tree["kernel"][layer]} for tree in (stack, slopes))
        alone = our_steps(one, [slope], warmup=0, clip_norm=1e9)["kernel"]
        np.testing.assert_allclose(together[layer], alone, atol=1e-6)
    scale = {"logit_scale": jnp.array(4.6)}
    moved = our_steps(scale, [{"logit_scale": jnp.array(-1.0)}], warmup=0, other_learning_rate=1.0)
    np.testing.assert_allclose(moved["logit_scale"], math.log(100), rtol=1e-6)
