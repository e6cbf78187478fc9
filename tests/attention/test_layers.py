"""Linear map, layer normalisation, GELU, dropout: the oracle, torch, flax, finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from mmjax import formulas
from mmjax.attention.layers import LayerNorm, Linear, dropout, gelu, layer_norm, linear


def draw(seed, *shapes, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


@pytest.mark.parametrize("leading", [(), (5,), (5, 2), (3, 5, 2)])
def test_linear_is_a_matrix_product(x64, leading):
    x, kernel, bias = draw(0, (*leading, 7), (7, 11), (11,))
    y = linear(x, kernel, bias)
    assert y.shape == (*leading, 11)
    np.testing.assert_allclose(y, np.asarray(x) @ np.asarray(kernel) + np.asarray(bias), atol=1e-13)
    np.testing.assert_allclose(linear(x, kernel), np.asarray(x) @ np.asarray(kernel), atol=1e-13)


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 7), (7, 5), (5, 5)])
def test_linear_gradient(x64, inputs, outputs):
    """Tall and wide kernels take different ways in the backward pass."""
    arrays = draw(1, (2, 3, inputs), (inputs, outputs), (outputs,))
    check_grads(linear, arrays, order=1, modes=["rev"])


@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_layer_norm_is_the_formula(x64, epsilon):
    x, scale, bias = draw(2, (2, 3, 5), (5,), (5,))
    y = layer_norm(x, scale, bias, epsilon)
    expected = formulas.layer_norm(x, np.asarray(scale), np.asarray(bias), epsilon)
    np.testing.assert_allclose(y, expected, atol=1e-13)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_layer_norm_backward_pass_is_the_derivative(x64, shape):
    """The backward pass is written by hand, so all three gradients meet finite differences."""
    inputs = draw(3, shape, (5,), (5,))
    for epsilon in (1e-5, 0.3):
        check_grads(lambda *a, e=epsilon: layer_norm(*a, e), inputs, order=1, modes=["rev"])


def test_layer_norm_backward_pass_is_autodiff_of_the_formula(x64):
    def plain(x, scale, bias):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        return scale[None] * centred / jnp.sqrt(variance + 0.1) + bias[None]

    *inputs, dy = draw(4, (3, 7), (7,), (7,), (3, 7))
    ours = jax.vjp(lambda *a: layer_norm(*a, 0.1), *inputs)[1](dy)
    for gradient, expected in zip(ours, jax.vjp(plain, *inputs)[1](dy), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-13)


def test_layer_norm_output_has_mean_zero_and_variance_one(x64):
    (x,) = draw(5, (3, 5, 7))
    y = layer_norm(9 + 4 * x, jnp.ones(7), jnp.zeros(7), 1e-12)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-13)
    np.testing.assert_allclose((y**2).mean(axis=-1), 1, atol=1e-10)


def test_layer_norm_agrees_with_torch():
    torch = pytest.importorskip("torch")
    arrays = draw(6, (2, 3, 5), (5,), (5,), (2, 3, 5), dtype=np.float32)
    x, scale, bias, dy = (torch.tensor(np.asarray(a), requires_grad=True) for a in arrays)
    expected = torch.nn.functional.layer_norm(x, (5,), scale, bias)
    expected.backward(dy)
    y, vjp = jax.vjp(layer_norm, *arrays[:3])
    np.testing.assert_allclose(y, expected.detach(), atol=1e-6)
    for gradient, peer in zip(vjp(arrays[3]), (x, scale, bias), strict=True):
        np.testing.assert_allclose(gradient, peer.grad, atol=1e-5)


def test_layer_norm_agrees_with_flax():
    (x,) = draw(7, (2, 3, 5), dtype=np.float32)
    peer = nnx.LayerNorm(5, epsilon=1e-5, use_fast_variance=False, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(LayerNorm(5)(x), peer(x), atol=1e-6)


def test_layer_norm_statistics_of_bfloat16_are_float32():
    """1000 + small differences: in bfloat16 the mean alone would be off by more than they are."""
    x = jnp.asarray(1000 + 8 * np.arange(7.0)[None], jnp.bfloat16)
    y = layer_norm(x, jnp.ones(7), jnp.zeros(7))
    assert y.dtype == jnp.bfloat16
    expected = formulas.layer_norm(np.asarray(x, np.float64), 1, 0)
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, atol=0.01)


def test_gelu_is_the_formula(x64):
    x = jnp.linspace(-6, 6, 97)
    np.testing.assert_allclose(gelu(x), formulas.gelu(x), atol=1e-14)
    check_grads(gelu, (x,), order=1, modes=["rev"])


def test_gelu_agrees_with_torch_and_jax():
    torch = pytest.importorskip("torch")
    x = jnp.linspace(-6, 6, 97, dtype=jnp.float32)
    expected = torch.nn.functional.gelu(torch.tensor(np.asarray(x)))
    np.testing.assert_allclose(gelu(x), expected, atol=1e-6)
    np.testing.assert_allclose(gelu(x), jax.nn.gelu(x, approximate=False), atol=1e-6)


def test_gelu_keeps_bfloat16():
    x = jnp.linspace(-3, 3, 13, dtype=jnp.bfloat16)
    assert gelu(x).dtype == jnp.bfloat16
    expected = formulas.gelu(np.asarray(x, np.float64))
    np.testing.assert_allclose(np.asarray(gelu(x), np.float64), expected, atol=0.01)


def test_dropout_zeroes_its_share_and_preserves_the_expectation():
    """100,000 entries at rate 0.3: both means lie within 5 standard errors (0.0015 and 0.0021)."""
    x = jnp.ones(100_000)
    y = dropout(x, 0.3, jax.random.key(0))
    assert abs(float((y == 0).mean()) - 0.3) < 5 * 0.0015
    assert abs(float(y.mean()) - 1) < 5 * 0.0021
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-6)


def test_dropout_draws_another_mask_with_another_key_and_none_without():
    x = jnp.ones((53, 7))
    first, again, other = (dropout(x, 0.5, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(dropout(x, 0.5, None), x)
    np.testing.assert_array_equal(dropout(x, 0.0, jax.random.key(0)), x)


def test_dropout_sends_no_gradient_through_dropped_entries():
    x, key = jnp.ones(97), jax.random.key(2)
    kept = dropout(x, 0.5, key) != 0
    gradient = jax.grad(lambda x: dropout(x, 0.5, key).sum())(x)
    np.testing.assert_array_equal(gradient, jnp.where(kept, 2.0, 0.0))


def test_dropout_keeps_bfloat16():
    assert dropout(jnp.ones(5, jnp.bfloat16), 0.5, jax.random.key(0)).dtype == jnp.bfloat16


def test_modules_start_as_documented():
    module = Linear(31, 37, rngs=nnx.Rngs(0))
    limit = (6 / (31 + 37)) ** 0.5
    assert module.kernel.shape == (31, 37)
    assert np.abs(module.kernel[...]).max() <= limit
    assert float(module.kernel[...].std()) == pytest.approx(limit / 3**0.5, rel=0.05)
    np.testing.assert_array_equal(module.bias[...], jnp.zeros(37))
    assert Linear(3, 5, use_bias=False, rngs=nnx.Rngs(0)).bias is None
    norm = LayerNorm(5)
    np.testing.assert_array_equal(norm.scale[...], jnp.ones(5))
    np.testing.assert_array_equal(norm.bias[...], jnp.zeros(5))


def test_modules_call_the_functions_with_their_parameters():
    x, kernel, bias = draw(8, (2, 3, 5), (5, 7), (7,), dtype=np.float32)
    module = Linear(5, 7, rngs=nnx.Rngs(0))
    module.kernel[...], module.bias[...] = kernel, bias
    np.testing.assert_array_equal(module(x), linear(x, kernel, bias))
    norm = LayerNorm(5, epsilon=0.3)
    norm.scale[...], norm.bias[...] = kernel[:, 0], kernel[:, 1]
    np.testing.assert_array_equal(norm(x), layer_norm(x, kernel[:, 0], kernel[:, 1], 0.3))


RNGS = nnx.Rngs(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: linear(jnp.ones((3, 5)), jnp.ones((7, 2))),
            r"'x': expected \[..., 7\] .*got float32\[3, 5\]",
        ),
        (lambda: linear(jnp.ones(()), jnp.ones((7, 2))), r"'x': .*got float32\[\]"),
        (
            lambda: layer_norm(jnp.ones((3, 5)), jnp.ones(3), jnp.zeros(3)),
            r"layer_norm: argument 'scale': expected \[5\].*got float32\[3\]",
        ),
        (
            lambda: layer_norm(jnp.ones((3, 5)), jnp.ones(5), jnp.zeros(3)),
            r"'bias': expected \[5\].*got float32\[3\]",
        ),
        (
            lambda: layer_norm(jnp.ones((3, 5)), jnp.ones(1), jnp.zeros(5)),
            r"'scale': expected \[5\].*got float32\[1\]",
        ),
        (
            lambda: linear(jnp.ones((3, 5)), jnp.ones((5, 2)), jnp.ones(1)),
            r"'bias': expected \[2\].*got float32\[1\]",
        ),
        (lambda: layer_norm(jnp.ones((3, 0)), jnp.ones(0), jnp.zeros(0)), r"'x': .*\[3, 0\]"),
        (lambda: dropout(jnp.ones(3), 1.0, None), "'rate': expected 0 <= rate < 1, got 1.0"),
        (lambda: dropout(jnp.ones(3), -0.1, None), "'rate': .*got -0.1"),
        (lambda: Linear(0, 3, rngs=RNGS), "Linear: argument 'inputs': .*got 0"),
        (lambda: Linear(3, 0, rngs=RNGS), "Linear: argument 'outputs': .*got 0"),
        (lambda: LayerNorm(0), "LayerNorm: argument 'width': .*got 0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
