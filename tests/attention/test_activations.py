"""Activations of published models: their formulas, torch's numbers, and the exact form beside."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.attention import MLP, TransformerConfig, gelu, gelu_tanh, quick_gelu

X = np.linspace(-8, 8, 1001)


def test_the_formulas(x64):
    cubic = math.sqrt(2 / math.pi) * (X + 0.044715 * X**3)
    np.testing.assert_allclose(gelu_tanh(jnp.asarray(X)), X / 2 * (1 + np.tanh(cubic)), atol=1e-14)
    quick = X / (1 + np.exp(-1.702 * X))
    np.testing.assert_allclose(quick_gelu(jnp.asarray(X)), quick, atol=1e-14)


@pytest.mark.parametrize("function, off", [(gelu_tanh, 5e-4), (quick_gelu, 0.021)])
def test_they_are_near_the_exact_form_and_not_the_same(function, off):
    x = jnp.asarray(X, jnp.float32)
    error = float(jnp.abs(function(x) - gelu(x)).max())
    assert off / 2 < error < off


def test_torch_agrees():
    torch = pytest.importorskip("torch")
    x = np.asarray(X, np.float32)
    theirs = torch.nn.functional.gelu(torch.tensor(x), approximate="tanh").numpy()
    np.testing.assert_allclose(gelu_tanh(jnp.asarray(x)), theirs, atol=1e-6)


@pytest.mark.parametrize("function", [gelu_tanh, quick_gelu])
def test_the_dtype_stays_and_extremes_are_finite(function):
    x = jnp.asarray([-300.0, 0.0, 300.0], jnp.bfloat16)
    out, slope = function(x), jax.vmap(jax.grad(function))(x)
    assert out.dtype == jnp.bfloat16 and jnp.isfinite(slope).all()
    np.testing.assert_array_equal(out, x.at[0].set(0))


def test_the_configuration_reaches_the_network():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)), jnp.float32)
    outs = []
    for name in ("gelu", "quick_gelu"):
        config = TransformerConfig(1, 6, 2, activation=name)
        model = config.mlp(rngs=nnx.Rngs(0))
        assert isinstance(model, MLP)
        outs.append(model(x))
    hidden = outs[0] - outs[1]
    assert 1e-4 < float(jnp.abs(hidden).max()) < 0.5


@pytest.mark.parametrize("wrong", [{"activation": "relu"}, {"epsilon": 0.0}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=f"argument '{next(iter(wrong))}'"):
        TransformerConfig(1, 6, 2, **wrong)
