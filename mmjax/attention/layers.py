"""The small layers between attentions: a linear map, layer normalisation, GELU, dropout.

Sources: Ba et al. (2016), layer normalisation; Hendrycks & Gimpel (2016), GELU; Srivastava et al.
(2014), dropout.
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.checks import require
from mmjax.precision import wide_dtype


def linear(x: Array, kernel: Array, bias: Array | None = None) -> Array:
    """y = x W + b on the last axis: x [..., M], kernel [M, F], bias [F] → [..., F].

    The leading axes are flattened, so that the product and its gradient are each one product of two
    matrices, the form that every backend runs fastest.
    Raises ValueError unless the kernel starts with the last axis of x and ends with the bias.
    """
    expected = f"[..., {kernel.shape[0]}] for a kernel {list(kernel.shape)}"
    require(x.ndim >= 1 and x.shape[-1] == kernel.shape[0], "linear", "x", expected=expected, got=x)
    y = _product(x.reshape(-1, kernel.shape[0]), kernel)
    if bias is not None:
        _require_shape(bias, kernel.shape[1:], "linear", "bias")
        y = y + bias[None, :]
    return y.reshape(*x.shape[:-1], kernel.shape[1])


@jax.custom_vjp
def _product(x: Array, kernel: Array) -> Array:
    """x W of two matrices, with the gradient dx = dy Wᵀ, dW = xᵀ dy."""
    return x @ kernel


def _product_backward(saved, dy):
    """Long sums into a wide matrix are fast, into a tall one they take XLA:CPU twice as long.

    So a tall dW = xᵀ dy is computed as (dyᵀ x)ᵀ; the barrier keeps XLA from undoing that.
    """
    x, kernel = saved
    if kernel.shape[0] > kernel.shape[1]:
        return dy @ kernel.T, jax.lax.optimization_barrier(dy.T @ x).T
    return dy @ kernel.T, x.T @ dy


_product.defvjp(lambda x, kernel: (x @ kernel, (x, kernel)), _product_backward)


def _require_shape(array: Array, shape: tuple[int, ...], where: str, argument: str) -> None:
    require(array.shape == shape, where, argument, expected=str(list(shape)), got=array)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def layer_norm(x: Array, scale: Array, bias: Array, epsilon: float = 1e-5) -> Array:
    """Shifts and scales each token to mean 0 and variance 1, then by learned numbers.

    y = γ ∘ x̂ + β,  x̂ = (x − mean(x)) / √(var(x) + ε),  var with 1/M.

    x [..., M], scale γ and bias β [M]; returns the shape and dtype of x. Statistics run in at least
    float32. The backward pass is written by hand: it needs x̂ and 1/√(var + ε) only, where
    differentiating the formula step by step would pass over the tokens three times more. It is for
    reverse-mode derivatives; `jax.jvp` is refused by JAX.
    Raises ValueError if M is zero or γ or β does not fit.
    Source: Ba et al. (2016), equations 3 and 4.
    """
    return _layer_norm_forward(x, scale, bias, epsilon)[0]


def _layer_norm_forward(x, scale, bias, epsilon):
    ok = x.ndim >= 1 and x.shape[-1] >= 1
    require(ok, "layer_norm", "x", expected="[..., M] with M at least 1", got=x)
    _require_shape(scale, x.shape[-1:], "layer_norm", "scale")
    _require_shape(bias, x.shape[-1:], "layer_norm", "bias")
    wide = x.astype(wide_dtype(x.dtype))
    centred = wide - wide.mean(axis=-1, keepdims=True)
    inverse = jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    normalised = centred * inverse
    y = normalised * _last(scale, x.ndim, wide.dtype) + _last(bias, x.ndim, wide.dtype)
    return y.astype(x.dtype), (normalised, inverse, scale, bias)


def _layer_norm_backward(epsilon, saved, dy):
    """dx = (dx̂ − mean(dx̂) − x̂ mean(dx̂ ∘ x̂)) / √(var + ε) with dx̂ = γ ∘ dy."""
    normalised, inverse, scale, bias = saved
    wide = dy.astype(normalised.dtype)
    d_norm = wide * _last(scale, dy.ndim, wide.dtype)
    mean = d_norm.mean(axis=-1, keepdims=True)
    projection = (d_norm * normalised).mean(axis=-1, keepdims=True)
    dx = inverse * (d_norm - mean - normalised * projection)
    tokens = tuple(range(dy.ndim - 1))
    d_scale = (wide * normalised).sum(axis=tokens).astype(scale.dtype)
    return dx.astype(dy.dtype), d_scale, wide.sum(axis=tokens).astype(bias.dtype)


def _last(vector: Array, rank: int, dtype) -> Array:
    return vector.astype(dtype).reshape((1,) * (rank - 1) + vector.shape)


layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


@jax.custom_vjp
def gelu(x: Array) -> Array:
    """GELU(x) = x Φ(x) = x/2 (1 + erf(x/√2)), in the shape and dtype of x.

    The backward pass is written by hand: GELU'(x) = Φ(x) + x φ(x). It needs x only and computes the
    error function again, which costs less than to store it for every entry of the widest layer.
    Source: Hendrycks & Gimpel (2016), section 2; the exact form, not its tanh approximation.
    """
    wide = x.astype(wide_dtype(x.dtype))
    return (wide * _normal_distribution(wide)).astype(x.dtype)


def _normal_distribution(x: Array) -> Array:
    """Φ(x), the share of a standard normal variable below x."""
    return 0.5 * (1.0 + jax.lax.erf(x * 2**-0.5))


def _gelu_backward(x, dy):
    wide = x.astype(wide_dtype(x.dtype))
    density = jnp.exp(-0.5 * wide**2) * (2 * math.pi) ** -0.5
    slope = _normal_distribution(wide) + wide * density
    return ((dy.astype(wide.dtype) * slope).astype(x.dtype),)


gelu.defvjp(lambda x: (gelu(x), x), _gelu_backward)


def dropout(x: Array, rate: float, key: Array | None) -> Array:
    """Sets each entry to zero with probability `rate` and divides the others by 1 − rate.

    Without a key (evaluation) x comes back unchanged. Raises ValueError unless 0 ≤ rate < 1.
    Source: Srivastava et al. (2014), in the form that leaves evaluation untouched.
    """
    require(0 <= rate < 1, "dropout", "rate", expected="0 <= rate < 1", got=rate)
    if key is None or rate == 0:
        return x
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), jnp.zeros_like(x))


class Linear(nnx.Module):
    """Owns the kernel [in, out] and the bias [out] of `linear`.

    Both are float32; the kernel starts Glorot-uniform, the bias at zero. Raises ValueError for
    widths below 1.
    """

    def __init__(self, inputs: int, outputs: int, *, use_bias: bool = True, rngs: nnx.Rngs):
        require(inputs >= 1, "Linear", "inputs", expected="at least 1", got=inputs)
        require(outputs >= 1, "Linear", "outputs", expected="at least 1", got=outputs)
        initial = jax.nn.initializers.glorot_uniform()
        self.kernel = nnx.Param(initial(rngs.params(), (inputs, outputs), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(outputs, jnp.float32)) if use_bias else None

    def __call__(self, x: Array) -> Array:
        return linear(x, self.kernel[...], None if self.bias is None else self.bias[...])


class LayerNorm(nnx.Module):
    """Owns the scale γ (ones) and the bias β (zeros) of `layer_norm`, both [M]."""

    def __init__(self, width: int, *, epsilon: float = 1e-5):
        require(width >= 1, "LayerNorm", "width", expected="at least 1", got=width)
        self.scale = nnx.Param(jnp.ones(width, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(width, jnp.float32))
        self.epsilon = epsilon

    def __call__(self, x: Array) -> Array:
        return layer_norm(x, self.scale[...], self.bias[...], self.epsilon)
