"""Section 3.5: convolutions, their gradients and costs, squeeze-and-excitation, MBConv."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from mmjax import formulas
from mmjax.formulas import convolution as oracle
from mmjax.models.convolution import convolution, depthwise_convolution, squeeze_excitation
from mmjax.models.efficientnet import MBConv

RNG = np.random.default_rng(35)
H, W, C, F, K = 6, 5, 2, 3, 3
STRIDE = 2


def picture(*shape):
    return RNG.normal(size=shape)


@pytest.mark.equation("3.5.20")
def test_convolution(x64):
    x, kernel = picture(H, W, C), picture(K, K, C, F)
    y = oracle.convolution(x, kernel, STRIDE)
    np.testing.assert_allclose(convolution(jnp.asarray(x)[None], kernel, stride=STRIDE)[0], y)
    axes = ("NHWC", "HWIO", "NHWC")
    theirs = lax.conv_general_dilated(x[None], kernel, (2, 2), [(1, 1)] * 2, None, None, axes)
    np.testing.assert_allclose(theirs[0], y, atol=1e-13)
    # One entry by hand, in the book's counting from 1: i = 2, j = 1, the left column is outside.
    window = x[1:4, 0:2]
    assert y[1, 0, 0] == pytest.approx((window * kernel[:, 1:, :, 0]).sum(), rel=1e-12)


def multiplications(kernel_shape, mixes):
    """Counted in a loop: one for each weight at each of the H · W positions."""
    k, _, channels = kernel_shape
    count = 0
    for _ in np.ndindex(H, W, k, k, channels):
        count += F if mixes else 1
    return count


@pytest.mark.equation("3.5.21")
def test_the_cost_of_a_full_convolution():
    kernel = picture(K, K, C, F)
    counted = 2 * multiplications((K, K, C), mixes=True)
    assert oracle.convolution_cost(H, W, K, C, F) == (kernel.size, counted)


@pytest.mark.equation("3.5.22")
def test_depthwise_and_then_a_mix_of_channels(x64):
    x, own, mix = picture(H, W, C), picture(K, K, C), picture(C, F)
    ours = depthwise_convolution(jnp.asarray(x)[None], own, stride=STRIDE)[0] @ mix
    # A separable convolution is a full one whose kernel is a product.
    full = own[..., None] * mix
    np.testing.assert_allclose(oracle.convolution(x, full, STRIDE), ours, atol=1e-13)
    np.testing.assert_allclose(oracle.depthwise_convolution(x, own, STRIDE) @ mix, ours, atol=1e-13)


@pytest.mark.equation("3.5.23")
def test_the_share_of_a_separable_convolution():
    separable, full = (f(H, W, K, C, F) for f in (oracle.separable_cost, oracle.convolution_cost))
    mixing = 2 * H * W * C * F
    counted = 2 * multiplications((K, K, C), mixes=False) + mixing
    assert separable == (picture(K, K, C).size + picture(C, F).size, counted)
    for part, whole in zip(separable, full, strict=True):
        assert part / whole == pytest.approx(1 / F + 1 / K**2, rel=1e-14)


@pytest.mark.equation("3.5.24")
def test_the_gradients_of_a_depthwise_convolution(x64):
    x, kernel, bar = picture(H, W, C), picture(K, K, C), picture(3, 3, C)
    by_kernel, by_x, r = np.zeros_like(kernel), np.zeros_like(x), K // 2
    for i, j, a, b in np.ndindex(3, 3, K, K):
        row, column = STRIDE * i + a - r, STRIDE * j + b - r
        if 0 <= row < H and 0 <= column < W:
            by_kernel[a, b] += bar[i, j] * x[row, column]
            by_x[row, column] += bar[i, j] * kernel[a, b]

    def value(x, kernel):
        return (bar * depthwise_convolution(x[None], kernel, stride=STRIDE)[0]).sum()

    ours = jax.grad(value, (0, 1))(jnp.asarray(x), jnp.asarray(kernel))
    np.testing.assert_allclose(ours[0], by_x, atol=1e-13)
    np.testing.assert_allclose(ours[1], by_kernel, atol=1e-13)
    moved = picture(H, W, C), picture(K, K, C)
    h, shifted = 1e-6, []
    for sign in (h, -h):
        arguments = x + sign * moved[0], kernel + sign * moved[1]
        shifted.append((bar * oracle.depthwise_convolution(*arguments, STRIDE)).sum())
    slope = (by_x * moved[0]).sum() + (by_kernel * moved[1]).sum()
    assert (shifted[0] - shifted[1]) / (2 * h) == pytest.approx(slope, rel=1e-7)


@pytest.mark.equation("3.5.25")
def test_squeeze_and_excitation(x64):
    x, w1, b1, w2, b2 = (picture(*s) for s in ((H, W, C), (C, 4), (4,), (4, C), (C,)))
    ours = squeeze_excitation(jnp.asarray(x)[None], (w1, b1), (w2, b2))[0]
    hidden = [sum(x[..., c].mean() * w1[c, r] for c in range(C)) + b1[r] for r in range(4)]
    hidden = [t / (1 + np.exp(-t)) for t in hidden]
    for c in range(C):
        share = 1 / (1 + np.exp(-sum(hidden[r] * w2[r, c] for r in range(4)) - b2[c]))
        np.testing.assert_allclose(ours[..., c], share * x[..., c], rtol=1e-12)


def wide_block(inputs, outputs, stride):
    """An MBConv block with random weights everywhere, biases included, in float64."""
    block = MBConv(inputs, outputs, stride, 2, K, rngs=nnx.Rngs(0))
    graph, state = nnx.split(block)
    state = jax.tree.map(lambda leaf: jnp.asarray(picture(*leaf.shape)), state)
    return nnx.merge(graph, state)


@pytest.mark.equation("3.5.26")
@pytest.mark.parametrize("outputs, stride", [(4, 1), (5, 2)])
def test_mbconv(x64, outputs, stride):
    block, x = wide_block(4, outputs, stride), picture(H, W, 4)

    def layer(part):
        return np.asarray(part.kernel[...]), np.asarray(part.bias[...])

    def silu(t):
        return t / (1 + np.exp(-t))

    scale, bias = np.asarray(block.norm.scale[...]), np.asarray(block.norm.bias[...])
    norm = formulas.layer_norm(x, scale, bias)
    (w1, b1), (w2, b2) = layer(block.expand), layer(block.contract)
    h = silu(norm @ w1 + b1)
    h = oracle.depthwise_convolution(h, block.filters[...], stride)
    h = silu(h + np.asarray(block.filter_bias[...]))
    y = oracle.squeeze_excitation(h, *layer(block.squeeze), *layer(block.excite)) @ w2 + b2
    y = x + y if stride == 1 else y
    np.testing.assert_allclose(block(jnp.asarray(x)[None])[0], y, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("3.5.27")
def test_the_parameters_of_mbconv():
    block = MBConv(8, 5, 1, 3, K, rngs=nnx.Rngs(0))
    leaves = jax.tree.leaves(nnx.state(block, nnx.Param))
    assert oracle.mbconv_parameters(K, 8, 5, 24, 2) == sum(leaf.size for leaf in leaves)
    depthwise = K**2 * 128 + 128
    assert depthwise / oracle.mbconv_parameters(K, 32, 32, 128, 8) == pytest.approx(0.11, abs=0.005)


@pytest.mark.equation("3.5.28")
def test_the_operations_of_mbconv():
    """Counted in the loops of the formula: one multiplication and one addition a step."""
    hidden, squeezed, stride = 6, 2, 2
    high, wide = -(-H // stride), -(-W // stride)
    count = len(list(np.ndindex(H, W, C, hidden)))  # widen
    count += len(list(np.ndindex(high, wide, K, K, hidden)))  # depthwise
    count += len(list(np.ndindex(hidden, squeezed))) * 2  # squeeze, excite
    count += len(list(np.ndindex(high, wide, hidden, F)))  # narrow
    assert oracle.mbconv_operations(H, W, stride, K, C, F, hidden, squeezed) == 2 * count
    whole = oracle.mbconv_operations(8, 8, 1, K, 32, 32, 128, 8)
    assert 2 * 64 * K**2 * 128 / whole == pytest.approx(0.12, abs=0.005)
