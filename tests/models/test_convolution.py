"""Convolutions against the formula, `lax.conv_general_dilated` and torch; what a block costs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mmjax.formulas import convolution as oracle
from mmjax.models.convolution import convolution, depthwise_convolution, squeeze_excitation

RNG = np.random.default_rng(0)
B, H, W, C, F = 2, 7, 5, 3, 4


def of_jax(x, kernel, stride, groups):
    r = len(kernel) // 2
    axes = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), [(r, r)] * 2, None, None, axes, feature_group_count=groups
    )


@pytest.mark.parametrize("stride, k", [(1, 3), (2, 5), (3, 1)])
def test_both_convolutions_are_the_formula_and_that_of_jax(x64, stride, k):
    x, full, own = (RNG.normal(size=s) for s in ((B, H, W, C), (k, k, C, F), (k, k, C)))
    y = jax.jit(partial(convolution, stride=stride))(x, full)
    np.testing.assert_allclose(y[1], oracle.convolution(x[1], full, stride), atol=1e-13)
    np.testing.assert_allclose(y, of_jax(x, full, stride, 1), atol=1e-13)
    y = jax.jit(partial(depthwise_convolution, stride=stride))(x, own)
    np.testing.assert_allclose(y[1], oracle.depthwise_convolution(x[1], own, stride), atol=1e-13)
    np.testing.assert_allclose(y, of_jax(x, own[:, :, None], stride, C), atol=1e-13)


@pytest.mark.parametrize("stride, side", [(1, 7), (2, 8), (3, 7)])
def test_gradients_of_the_depthwise_convolution_are_those_of_jax(x64, stride, side):
    x, kernel = (jnp.asarray(RNG.normal(size=s)) for s in ((B, side, W, C), (3, 3, C)))
    dy = RNG.normal(size=(B, -(-side // stride), -(-W // stride), C))

    def ours(x, kernel):
        return (dy * depthwise_convolution(x, kernel, stride=stride)).sum()

    def theirs(x, kernel):
        return (dy * of_jax(x, kernel[:, :, None], stride, C)).sum()

    expected = jax.jit(jax.grad(theirs, (0, 1)))(x, kernel)
    for a, e in zip(jax.jit(jax.grad(ours, (0, 1)))(x, kernel), expected, strict=True):
        np.testing.assert_allclose(a, e, atol=1e-12)


def test_narrow_numbers_are_summed_in_float32():
    """65,536 ones: in bfloat16 a sum of ones ends at 256."""
    x, kernel = jnp.ones((4096, 4, 4, 1), jnp.bfloat16), jnp.ones((3, 3, 1), jnp.bfloat16)
    gradient = jax.grad(lambda k: depthwise_convolution(x, k).astype(jnp.float32).sum())(kernel)
    assert gradient.dtype == jnp.bfloat16
    assert gradient[1, 1, 0] == 65536


def test_agrees_with_torch():
    torch = pytest.importorskip("torch")
    x, kernel = (RNG.normal(size=s).astype(np.float32) for s in ((B, H, W, C), (3, 3, C)))
    theirs = torch.nn.functional.conv2d(
        torch.tensor(x).permute(0, 3, 1, 2),
        torch.tensor(kernel).permute(2, 0, 1)[:, None],
        stride=2,
        padding=1,
        groups=C,
    )
    ours = depthwise_convolution(jnp.asarray(x), jnp.asarray(kernel), stride=2)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1).numpy(), atol=1e-5)


def test_squeeze_and_excitation_is_the_formula(x64):
    shapes = (B, H, W, C), (C, 2), (2,), (2, C), (C,)
    x, *weights = (RNG.normal(size=s) for s in shapes)
    w1, b1, w2, b2 = map(jnp.asarray, weights)
    y = squeeze_excitation(jnp.asarray(x), (w1, b1), (w2, b2))
    for n in range(B):
        np.testing.assert_allclose(y[n], oracle.squeeze_excitation(x[n], *weights), rtol=1e-12)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_exports(platform):
    def loss(x, kernel):
        return depthwise_convolution(x, kernel, stride=2).sum()

    x, kernel = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((B, H, W, C), (3, 3, C)))
    exported = jax.export.export(jax.jit(jax.grad(loss, 1)), platforms=[platform])(x, kernel)
    assert exported.platforms == (platform,)


X = jnp.zeros((1, 4, 4, 2))
WRONG = {
    "x": lambda: convolution(X[0], jnp.zeros((3, 3, 2, 5))),
    "kernel": lambda: convolution(X, jnp.zeros((3, 3, 3, 5))),
    "kernel of even size": lambda: depthwise_convolution(X, jnp.zeros((2, 2, 2))),
    "kernel of rank 4": lambda: depthwise_convolution(X, jnp.zeros((3, 3, 2, 1))),
    "stride": lambda: depthwise_convolution(X, jnp.zeros((3, 3, 2)), stride=0),
    "x of rank 2": lambda: squeeze_excitation(jnp.zeros((4, 2)), (), ()),
}


def test_two_dtypes_are_refused():
    with pytest.raises(TypeError, match="argument 'kernel': expected dtype float32"):
        depthwise_convolution(X, jnp.zeros((3, 3, 2), jnp.bfloat16))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    with pytest.raises(ValueError, match=f"argument '{name.split()[0]}'"):
        WRONG[name]()
