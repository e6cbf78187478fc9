"""Two approximations of GELU that published models were trained with, beside the exact form.

A model gives the numbers it was trained to give only with the activation it was trained with.
Source: Hendrycks & Gimpel (2016), "Gaussian error linear units (GELUs)", section 2.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.attention.layers import gelu
from mmjax.precision import wide_dtype

Activation = Literal["gelu", "gelu_tanh", "quick_gelu"]


def gelu_tanh(x: Array) -> Array:
    """x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), in the shape and dtype of x. As in SigLIP."""
    wide = x.astype(wide_dtype(x.dtype))
    inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)
    return (0.5 * wide * (1.0 + jnp.tanh(inner))).astype(x.dtype)


def quick_gelu(x: Array) -> Array:
    """x σ(1.702 x), in the shape and dtype of x. As in OpenAI's CLIP."""
    wide = x.astype(wide_dtype(x.dtype))
    return (wide * jax.nn.sigmoid(1.702 * wide)).astype(x.dtype)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
}
