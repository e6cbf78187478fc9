"""Convolutions as sums of shifted pictures, and squeeze-and-excitation.

Sources: Howard et al. (2017), "MobileNets" (depthwise separable convolutions); Hu et al. (2018),
"Squeeze-and-excitation networks".
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from mmjax.attention.layers import linear
from mmjax.checks import require, require_type
from mmjax.precision import wide_dtype


def convolution(x: Array, kernel: Array, bias: Array | None = None, *, stride: int = 1) -> Array:
    """A full convolution: each output reads all channels of a window of k × k positions.

    y[i, j, f] = Σ_{a, b, c} K[a, b, c, f] x[s i + a − r, s j + b − r, c] + bias[f],  k = 2 r + 1,
    with zeros outside of the picture.

    x [B, H, W, C], kernel [k, k, C, F] with an odd k, bias [F]; returns [B, ⌈H/s⌉, ⌈W/s⌉, F]. The
    windows are laid side by side and multiplied by one matrix [k² C, F], as XLA:CPU runs a product
    of matrices many times faster than a convolution.
    Raises TypeError or ValueError for arrays that do not fit, ValueError for a stride below 1.
    """
    _check("convolution", x, kernel, 4, stride)
    windows = jnp.concatenate(_shifted(x, len(kernel), stride), axis=-1)
    return linear(windows, kernel.reshape(-1, kernel.shape[-1]), bias)


def depthwise_convolution(x: Array, kernel: Array, *, stride: int = 1) -> Array:
    """A convolution in which every channel has a filter of its own and reads no other channel.

    y[i, j, c] = Σ_{a, b} K[a, b, c] x[s i + a − r, s j + b − r, c],  k = 2 r + 1

    x [B, H, W, C], kernel [k, k, C] with an odd k; returns [B, ⌈H/s⌉, ⌈W/s⌉, C]. A sum of k²
    shifted pictures, and its backward pass is one too; the gradient of the kernel is summed image
    after image, so that the sums stay in the cache. `benchmarks/depthwise.py` measures it against
    `lax.conv_general_dilated` on a CPU. Reverse-mode derivatives only.
    Raises TypeError or ValueError for arrays that do not fit, ValueError for a stride below 1.
    Source: Howard et al. (2017), equation 3.
    """
    _check("depthwise_convolution", x, kernel, 3, stride)
    return _depthwise(stride, x, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _depthwise(stride, x, kernel):
    weights = kernel.reshape(-1, 1, 1, 1, kernel.shape[-1])
    return sum(view * weights[n] for n, view in enumerate(_shifted(x, len(kernel), stride)))


def _depthwise_forward(stride, x, kernel):
    return _depthwise(stride, x, kernel), (x, kernel)


def _depthwise_backward(stride, saved, dy):
    """dx is a convolution of dy, with zeros between its positions, with the kernel turned round."""
    x, kernel = saved
    spread = [
        (0, size - stride * (short - 1) - 1, stride - 1)
        for size, short in zip(x.shape[1:3], dy.shape[1:3], strict=True)
    ]
    spread = lax.pad(dy, jnp.zeros((), dy.dtype), [(0, 0, 0), *spread, (0, 0, 0)])
    return _depthwise(1, spread, kernel[::-1, ::-1]), _kernel_gradient(stride, x, kernel, dy)


def _kernel_gradient(stride, x, kernel, dy):
    """dK[a, b, c] = Σ over images and positions of dy · (x moved by a, b), image after image.

    A long sum, so it runs in at least float32.
    """

    wide = wide_dtype(dy.dtype)

    def add(sums, image):
        x, dy = (part.astype(wide) for part in image)
        views = _shifted(x[None], len(kernel), stride)
        rows = range(len(dy))
        added = [sum(view[0, i] * dy[i] for i in rows) for view in views]  # [W, C] each
        return [total + part for total, part in zip(sums, added, strict=True)], None

    zero = [jnp.zeros(dy.shape[2:], wide)] * (kernel.shape[0] * kernel.shape[1])
    sums, _ = lax.scan(add, zero, (x, dy))
    return jnp.stack(sums).sum(axis=1).reshape(kernel.shape).astype(kernel.dtype)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def squeeze_excitation(
    x: Array, squeeze: tuple[Array, Array], excite: tuple[Array, Array]
) -> Array:
    """Each channel times a number between 0 and 1 that is read from the whole picture.

    y = x ∘ σ(W_2 silu(W_1 x̄ + b_1) + b_2),  x̄ the mean of x over its positions

    x [B, H, W, C], squeeze (W_1 [C, R], b_1 [R]), excite (W_2 [R, C], b_2 [C]); returns the shape
    of x. Source: Hu et al. (2018), equations 2 to 4, with SiLU for ReLU as in EfficientNet.
    """
    require(x.ndim == 4, "squeeze_excitation", "x", expected="[B, H, W, C]", got=x)
    hidden = jax.nn.silu(linear(x.mean(axis=(1, 2)), *squeeze))
    share = jax.nn.sigmoid(linear(hidden, *excite))
    return x * share[:, None, None, :]


def _shifted(x: Array, k: int, stride: int) -> list[Array]:
    """k² views of x [B, H, W, C]: entry (a, b) holds x[:, s i + a − r, s j + b − r] at (i, j)."""
    r, (height, width) = k // 2, x.shape[1:3]
    x = jnp.pad(x, ((0, 0), (r, r), (r, r), (0, 0)))
    high, wide = (stride * (math.ceil(size / stride) - 1) + 1 for size in (height, width))
    return [x[:, a : a + high : stride, b : b + wide : stride] for a in range(k) for b in range(k)]


def _check(where: str, x: Array, kernel: Array, rank: int, stride: int) -> None:
    ok = x.ndim == 4 and 0 not in x.shape
    require(ok, where, "x", expected="[B, H, W, C] with nothing empty", got=x)
    channels, shape = x.shape[-1], kernel.shape
    ok = kernel.ndim == rank and shape[0] == shape[1] and shape[0] % 2 == 1 and shape[2] == channels
    expected = f"[k, k, {channels}{', F' if rank == 4 else ''}] with an odd k"
    require(ok, where, "kernel", expected=expected, got=kernel)
    same, expected = kernel.dtype == x.dtype, f"dtype {x.dtype}, as x"
    require_type(same, where, "kernel", expected=expected, got=kernel)
    require(stride >= 1, where, "stride", expected="at least 1", got=stride)
