"""The learning rate by its formula, and AdamW with clipping by a step in NumPy and one in torch."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from mmjax.attention import Transformer, TransformerConfig
from mmjax.losses import clip_loss
from mmjax.training import adamw, warmup_cosine
from mmjax.training.optimizer import kernels_only

PEAK, STEPS, WARMUP, DECAY, B1, B2, EPSILON = 0.1, 13, 3, 0.05, 0.9, 0.98, 1e-8


def learning_rate(t, peak=PEAK, steps=STEPS, warmup=WARMUP):
    if t < warmup:
        return peak * t / warmup
    return peak * (1 + math.cos(math.pi * (t - warmup) / (steps - warmup))) / 2


@pytest.mark.parametrize("warmup", [0, 1, 3, 12])
def test_schedule_is_its_formula(x64, warmup):
    schedule = warmup_cosine(PEAK, STEPS, warmup)
    for t in range(STEPS + 1):
        expected = learning_rate(t, warmup=warmup)
        np.testing.assert_allclose(schedule(jnp.int64(t)), expected, rtol=1e-12, atol=1e-15)


def test_schedule_starts_at_zero_peaks_after_the_warm_up_and_stays_at_zero():
    schedule = warmup_cosine(PEAK, STEPS, WARMUP)
    assert schedule(0) == 0
    np.testing.assert_allclose(schedule(WARMUP), PEAK, rtol=1e-6)
    np.testing.assert_allclose([schedule(STEPS), schedule(STEPS + 5)], 0, atol=1e-9)


@pytest.mark.parametrize("warmup", [-1, STEPS, STEPS + 1])
def test_schedule_names_a_wrong_warm_up(warmup):
    with pytest.raises(ValueError, match=f"'warmup'.*0 <= warmup < steps = {STEPS}, got {warmup}"):
        warmup_cosine(PEAK, STEPS, warmup)


def draw_parameters(dtype):
    rng = np.random.default_rng(0)
    shapes = {"kernel": (5, 3), "bias": (3,), "scale": (2, 3)}
    return {"layer": {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}}


def draw_gradients(dtype, count):
    """Norms around 4 and around 0.04: one step is clipped, the next is not."""
    rng = np.random.default_rng(1)
    tree = draw_parameters(dtype)
    sizes = [1.0 if step % 2 else 0.01 for step in range(count)]
    return [jax.tree.map(lambda p, s=s: rng.normal(size=p.shape) * s, tree) for s in sizes]


def literal_steps(parameters, gradients):
    """Loshchilov & Hutter (2019), algorithm 2, after Pascanu et al. (2013), algorithm 1."""
    parameters = dict(parameters["layer"])
    m = {name: np.zeros_like(p) for name, p in parameters.items()}
    v = {name: np.zeros_like(p) for name, p in parameters.items()}
    for t, tree in enumerate(gradients):
        norm = math.sqrt(sum((g**2).sum() for g in tree["layer"].values()))
        for name, g in tree["layer"].items():
            g = g / norm if norm > 1 else g
            m[name] = B1 * m[name] + (1 - B1) * g
            v[name] = B2 * v[name] + (1 - B2) * g**2
            m_hat, v_hat = m[name] / (1 - B1 ** (t + 1)), v[name] / (1 - B2 ** (t + 1))
            decay = DECAY * parameters[name] if name == "kernel" else 0
            step = m_hat / (np.sqrt(v_hat) + EPSILON) + decay
            parameters[name] = parameters[name] - learning_rate(t) * step
    return parameters


def our_steps(parameters, gradients, **options):
    optimizer = adamw(PEAK, STEPS, warmup=WARMUP, weight_decay=DECAY, b2=B2, **options)
    state = optimizer.init(parameters)

    @jax.jit
    def step(gradient, state, parameters):
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state

    for gradient in gradients:
        parameters, state = step(gradient, state, parameters)
    return parameters["layer"]


def test_adamw_is_the_literal_algorithm(x64):
    parameters = jax.tree.map(jnp.asarray, draw_parameters(np.float64))
    gradients = draw_gradients(np.float64, STEPS)
    expected = literal_steps(parameters, gradients)
    ours = our_steps(parameters, jax.tree.map(jnp.asarray, gradients))
    for name, parameter in ours.items():
        np.testing.assert_allclose(parameter, expected[name], rtol=1e-9, atol=1e-12)


def test_adamw_agrees_with_torch(x64):
    torch = pytest.importorskip("torch")
    start = draw_parameters(np.float64)["layer"]
    peers = {name: torch.nn.Parameter(torch.tensor(p)) for name, p in start.items()}
    rest = [p for name, p in peers.items() if name != "kernel"]
    groups = [{"params": [peers["kernel"]]}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(B1, B2), eps=EPSILON, weight_decay=DECAY)
    gradients = draw_gradients(np.float64, STEPS)
    for t, gradient in enumerate(gradients):
        for name, peer in peers.items():
            peer.grad = torch.tensor(gradient["layer"][name])
        torch.nn.utils.clip_grad_norm_(list(peers.values()), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(t)
        optimizer.step()
    ours = our_steps(
        jax.tree.map(jnp.asarray, draw_parameters(np.float64)), jax.tree.map(jnp.asarray, gradients)
    )
    for name, parameter in ours.items():
        # torch adds 1e-6 to the norm before it divides.
        np.testing.assert_allclose(parameter, peers[name].detach(), rtol=1e-5, atol=1e-7)


def test_a_gradient_below_the_clip_norm_is_left_alone(x64):
    parameters = jax.tree.map(jnp.asarray, draw_parameters(np.float64))
    small = jax.tree.map(jnp.asarray, draw_gradients(np.float64, 1))
    ours = our_steps(parameters, small)
    for name, parameter in our_steps(parameters, small, clip_norm=1e9).items():
        np.testing.assert_array_equal(parameter, ours[name])


def test_a_gradient_of_zero_lets_only_the_kernel_move(x64):
    parameters = jax.tree.map(jnp.asarray, draw_parameters(np.float64))
    ours = our_steps(parameters, [jax.tree.map(jnp.zeros_like, parameters)] * 2)
    np.testing.assert_allclose(
        ours["kernel"], parameters["layer"]["kernel"] * (1 - learning_rate(1) * DECAY), rtol=1e-12
    )
    for name in ("bias", "scale"):
        np.testing.assert_array_equal(ours[name], parameters["layer"][name])


def test_only_kernels_decay_also_where_layers_are_stacked():
    config = TransformerConfig(layers=2, width=6, heads=2)
    model = nnx.eval_shape(lambda: Transformer(config, rngs=nnx.Rngs(0)))
    parameters = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    assert parameters["blocks"]["mlp_norm"]["scale"].ndim == 2
    assert parameters["blocks"]["mlp"]["expand"]["bias"].ndim == 2
    mask = jax.tree_util.tree_leaves_with_path(kernels_only(parameters))
    decayed = {jax.tree_util.keystr(path) for path, decays in mask if decays}
    assert decayed and all(path.endswith("['kernel']") for path in decayed)
    spared = {jax.tree_util.keystr(path) for path, decays in mask if not decays}
    assert not any("kernel" in path for path in spared)


def test_the_scale_comes_back_from_its_cap():
    """Pairs that fit drive logit_scale to ln 100 and not beyond; wrong pairs bring it down."""
    pairs, cap = jnp.eye(4), math.log(100)
    optimizer = adamw(0.05, 400, warmup=0)
    parameters = {"logit_scale": jnp.float32(math.log(90))}
    state = optimizer.init(parameters)

    def follow(texts, parameters, state):
        for _ in range(30):
            gradient = jax.grad(lambda p: clip_loss(pairs, texts, p["logit_scale"]))(parameters)
            with jax.numpy_dtype_promotion("standard"):
                updates, state = optimizer.update(gradient, state, parameters)
            parameters = optax.apply_updates(parameters, updates)
            assert parameters["logit_scale"] <= cap + 1e-6
        return parameters, state

    texts = 0.99 * jnp.eye(4) + 0.01 * jnp.ones((4, 4))
    parameters, state = follow(texts, parameters, state)
    parameters, state = follow(-pairs, parameters, state)
    assert parameters["logit_scale"] < cap - 0.3


def test_warm_up_is_a_tenth_of_the_steps_by_default():
    parameters = {"kernel": jnp.ones((2, 2))}
    steps = []
    for options in ({}, {"warmup": 5}):
        optimizer = adamw(0.1, 50, **options)
        state = optimizer.init(parameters)
        with jax.numpy_dtype_promotion("standard"):
            for _ in range(3):
                updates, state = optimizer.update(parameters, state, parameters)
        steps.append(updates["kernel"])
    np.testing.assert_array_equal(*steps)
