"""Where tokens go: the chosen experts, padding, room, and the loss that spreads them evenly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.models.routing import balance_loss, expert_capacity, route

X, N = 3, 23


def logits(seed=2, experts=X):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(N, experts)), jnp.float32)


@pytest.mark.parametrize("k", [1, 2])
def test_padding_is_sent_nowhere_and_takes_no_room(k):
    real = jnp.asarray(np.arange(N) % 3 > 0)
    routing = route(logits(), k, capacity=5, real=real)
    assert not routing.chosen[~real].any() and (routing.gates[~real] == 0).all()
    alone = route(logits()[real], k, capacity=5)
    for name in ("chosen", "kept", "gates"):
        np.testing.assert_array_equal(getattr(routing, name)[real], getattr(alone, name))
    np.testing.assert_allclose(balance_loss(routing), balance_loss(alone), rtol=1e-6)


def test_padding_may_be_anything_and_its_gradient_is_zero():
    real = jnp.asarray(np.arange(N) % 3 > 0)
    hole = logits().at[~real].set(jnp.nan)

    def loss(z):
        return balance_loss(route(z, 2, real=real))

    np.testing.assert_allclose(loss(hole), loss(logits()), rtol=1e-6)
    slope = jax.grad(loss)(hole)
    assert np.isfinite(slope).all() and (slope[~real] == 0).all() and (slope[real] != 0).any()


@pytest.mark.parametrize(
    ("tokens", "factor", "wanted"), [(100, 1.1, 11), (100, np.float32(1.1), 11), (101, 1.1, 12)]
)
def test_room_is_rounded_up_and_not_by_rounding_errors(tokens, factor, wanted):
    assert expert_capacity(tokens, 10, 1, factor) == wanted
    assert formulas.capacity(tokens, 10, 1, factor) == wanted


def test_exactly_k_experts_are_chosen_where_all_are_equal():
    chosen = np.asarray(route(jnp.zeros((N, X)), 2).chosen)
    np.testing.assert_array_equal(chosen, np.tile([True, True, False], (N, 1)))


def test_the_balance_loss_pulls_the_router_towards_an_even_spread():
    z = logits() + jnp.array([[1.5, 0, 0]])
    slope = jax.grad(lambda z: balance_loss(route(z, 1)))(z)
    better = z - 20 * slope
    assert balance_loss(route(better, 1)) < balance_loss(route(z, 1))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: route(jnp.zeros((2, 3), int), 1), TypeError, "'logits'"),
        (lambda: route(jnp.zeros((2, 3, 4)), 1), ValueError, "'logits'"),
        (lambda: route(jnp.zeros((2, 3)), 4), ValueError, "'k': expected from 1 to 3, got 4"),
        (lambda: route(jnp.zeros((2, 3)), 1, capacity=0), ValueError, "'capacity'"),
        (lambda: route(jnp.zeros((2, 3)), 1, real=jnp.ones(3, bool)), ValueError, "'real'"),
        (lambda: expert_capacity(0, 1, 1, 1.0), ValueError, "'tokens'"),
        (lambda: expert_capacity(3, 1, 1, 0), ValueError, "'factor'"),
        (lambda: expert_capacity(3, 1, 1, np.inf), ValueError, "'factor': expected .* finite"),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
