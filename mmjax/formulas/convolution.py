"""The convolutional tower written out in loops, and what it costs (section 3.5)."""

import math

import numpy as np


def convolution(x, kernel, stride=1):
    """y[i, j, f] = Σ_{a, b, c} K[a, b, c, f] x[s i + a − r, s j + b − r, c], zero outside.

    x [H, W, C], kernel [k, k, C, F] with k = 2 r + 1; returns [⌈H / s⌉, ⌈W / s⌉, F].
    """
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    (height, width, _), k, r = x.shape, len(kernel), len(kernel) // 2
    y = np.zeros((math.ceil(height / stride), math.ceil(width / stride), kernel.shape[-1]))
    for i, j, a, b in np.ndindex(*y.shape[:2], k, k):
        row, column = stride * i + a - r, stride * j + b - r
        if 0 <= row < height and 0 <= column < width:
            y[i, j] += x[row, column] @ kernel[a, b]
    return y


def depthwise_convolution(x, kernel, stride=1):
    """The same with one filter a channel: x [H, W, C], kernel [k, k, C] → [⌈H/s⌉, ⌈W/s⌉, C]."""
    kernel = np.asarray(kernel, np.float64)
    return convolution(x, kernel[..., None] * np.eye(kernel.shape[-1]), stride)


def squeeze_excitation(x, W_1, b_1, W_2, b_2):
    """x ∘ σ(W_2 silu(W_1 x̄ + b_1) + b_2) with x̄ the mean over positions, for x [H, W, C]."""
    x = np.asarray(x, np.float64)
    hidden = x.mean(axis=(0, 1)) @ W_1 + b_1
    hidden = hidden / (1 + np.exp(-hidden))
    return x / (1 + np.exp(-(hidden @ W_2 + b_2)))


def convolution_cost(height, width, k, C, F):
    """(parameters, operations) of a k × k convolution from C to F channels, no bias."""
    return k * k * C * F, 2 * height * width * k * k * C * F


def separable_cost(height, width, k, C, F):
    """(parameters, operations) of a depthwise k × k convolution and a 1 × 1 one behind it."""
    return k * k * C + C * F, 2 * height * width * (k * k * C + C * F)


def mbconv_parameters(k, C, F, hidden, squeezed):
    """All weights and biases of an MBConv block from C to F channels, its layer norm included.

    2 C + (C F' + F') + (k² F' + F') + (F' R + R) + (R F' + F') + (F' F + F), F' hidden, R squeezed.
    """
    return (
        2 * C
        + (C * hidden + hidden)
        + (k * k * hidden + hidden)
        + (hidden * squeezed + squeezed)
        + (squeezed * hidden + hidden)
        + (hidden * F + F)
    )


def mbconv_operations(height, width, stride, k, C, F, hidden, squeezed):
    """Operations of the products in an MBConv block on a picture [height, width, C].

    2 H W C F' + 2 H' W' k² F' + 4 F' R + 2 H' W' F' F, with H' = ⌈H / s⌉ and W' = ⌈W / s⌉.
    """
    inside = height * width
    outside = math.ceil(height / stride) * math.ceil(width / stride)
    return (
        2 * inside * C * hidden
        + 2 * outside * k * k * hidden
        + 4 * hidden * squeezed
        + 2 * outside * hidden * F
    )
