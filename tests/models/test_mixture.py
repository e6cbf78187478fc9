"""The mixture of experts: one expert is an MLP, room that suffices drops nothing, and the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.models.mixture import MixtureMLP, mixture, mixture_sparse
from mmjax.models.routing import balance_loss, route
from mmjax.training.optimizer import kernels_only

M, F, X, N = 5, 7, 3, 23
CONFIG = TransformerConfig(layers=1, width=M, heads=1, hidden=F)


def drawn(experts=X, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((experts, M, F), (experts, F)), ((experts, F, M), (experts, M))
    return [tuple(jnp.asarray(rng.normal(size=s), jnp.float32) for s in pair) for pair in shapes]


def tokens(seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(N, M)), jnp.float32)


def logits(seed=2, experts=X):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(N, experts)), jnp.float32)


def test_one_expert_is_the_mlp_of_a_block():
    mlp = CONFIG.mlp(rngs=nnx.Rngs(3))
    one = MixtureMLP(CONFIG, 1, rngs=nnx.Rngs(4))
    one.expand.kernel[...] = mlp.expand.kernel[...][None]
    one.contract.kernel[...] = mlp.contract.kernel[...][None]
    x = tokens()[None]
    y, routing = nnx.jit(lambda m, x: m(x))(one, x)
    np.testing.assert_allclose(y, mlp(x), atol=1e-6)
    np.testing.assert_array_equal(routing.gates, 1)


def test_optimizers_know_the_kernels_of_router_and_experts():
    """All three are linear maps: they decay, and Muon moves them, as in the MLP and the heads."""
    made = nnx.eval_shape(lambda: MixtureMLP(CONFIG, X, rngs=nnx.Rngs(0)))
    parameters = nnx.to_pure_dict(nnx.state(made, nnx.Param))
    maps = {"kernel": True, "bias": False}
    wanted = {"router": {"kernel": True}, "expand": maps, "contract": maps}
    assert kernels_only(parameters) == wanted
    shapes = {name: part["kernel"].shape for name, part in parameters.items()}
    assert shapes == {"router": (M, X), "expand": (X, M, F), "contract": (X, F, M)}


@pytest.mark.parametrize("k", [1, 2])
def test_room_for_all_drops_nothing_forward_and_backward(k):
    expand, contract = drawn()
    x, z = tokens(), logits()

    @jax.jit
    def dense(x, z, expand, contract):
        return (mixture(x, route(z, k).gates, expand, contract) ** 2).sum()

    @jax.jit
    def sparse(x, z, expand, contract):
        routing = route(z, k, capacity=N)
        return (mixture_sparse(x, routing, N, expand, contract) ** 2).sum()

    wanted = jax.value_and_grad(dense, argnums=(0, 1, 2, 3))(x, z, expand, contract)
    got = jax.value_and_grad(sparse, argnums=(0, 1, 2, 3))(x, z, expand, contract)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    assert np.abs(got[1][1]).max() > 1e-3  # the router learns, with one expert a token too


def test_a_token_without_room_is_dropped_and_the_first_ones_stay():
    z = jnp.zeros((N, X)).at[:, 1].set(9.0)  # all want expert 1
    routing = route(z, 1, capacity=4)
    np.testing.assert_array_equal(routing.kept[:, 1], np.arange(N) < 4)
    y = mixture_sparse(tokens(), routing, 4, *drawn())
    assert (np.abs(y[:4]).max(1) > 0).all() and (np.asarray(y[4:]) == 0).all()
    expected = mixture(tokens(), routing.gates, *drawn())
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("factor", [None, 1.5])
def test_a_layer_does_not_look_at_padding(factor):
    layer = MixtureMLP(CONFIG, X, 2, capacity_factor=factor, rngs=nnx.Rngs(5))
    real = jnp.asarray(np.arange(N) % 3 > 0)[None]

    @nnx.jit
    def run(layer, x):
        loss = lambda layer: (layer(x, real)[0] ** 2).sum() + balance_loss(layer(x, real)[1])  # noqa: E731
        return layer(x, real)[0], nnx.grad(loss)(layer)

    x = tokens()[None]
    wanted, found = run(layer, x), run(layer, x.at[~real].set(jnp.nan))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (found[0][~real] == 0).all()


@pytest.mark.parametrize("factor", [None, 1.25])
def test_the_layer_is_its_functions(factor):
    layer = MixtureMLP(CONFIG, X, 2, capacity_factor=factor, rngs=nnx.Rngs(5))
    x = tokens().reshape(1, N, M)
    y, routing = layer(x)
    expand, contract = ((p.kernel[...], p.bias[...]) for p in (layer.expand, layer.contract))
    expected = mixture(x[0], routing.gates, expand, contract)
    np.testing.assert_allclose(y[0], expected, atol=1e-5)
    room = N if factor is None else formulas.capacity(N, X, 2, factor)
    assert np.asarray(routing.kept).sum(0).max() <= room


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: MixtureMLP(CONFIG, 0, rngs=nnx.Rngs(0)), ValueError, "'experts'"),
        (lambda: MixtureMLP(CONFIG, 2, 3, rngs=nnx.Rngs(0)), ValueError, "'k'"),
        (
            lambda: MixtureMLP(CONFIG, 2, capacity_factor=0, rngs=nnx.Rngs(0)),
            ValueError,
            "'capacity_factor'",
        ),
        (
            lambda: MixtureMLP(CONFIG, 2, rngs=nnx.Rngs(0))(jnp.zeros((1, N, M + 1))),
            ValueError,
            r"'x': expected \[B, T, 5\]",
        ),
        (
            lambda: MixtureMLP(CONFIG, 2, rngs=nnx.Rngs(0))(jnp.zeros((1, N, M), jnp.bfloat16)),
            TypeError,
            "'x'",
        ),
        (
            lambda: MixtureMLP(CONFIG, 2, rngs=nnx.Rngs(0))(
                jnp.zeros((2, N, M)), jnp.ones((N, 2), bool)
            ),
            ValueError,
            r"MixtureMLP: argument 'real': expected bool \[2, 23\]",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
