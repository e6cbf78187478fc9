"""What contrastive losses compare: unit vectors, their scaled products, and the checks of a batch.

Source: Radford et al. (2021), "Learning transferable visual models", section 2.5 and figure 3.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.checks import require, require_type
from mmjax.precision import wide_dtype

MAX_LOGIT_SCALE = math.log(100)
"""The cap on `logit_scale`: logits are never multiplied by more than 100 (CLIP, section 2.5)."""


def normalize(x: Array, *, epsilon: float = 1e-12) -> Array:
    """x / ‖x‖₂ along the last axis, in at least float32; a zero vector stays zero.

    The norm is √(Σ x² + ε), so that the gradient is finite everywhere.
    """
    wide = x.astype(wide_dtype(x.dtype))
    return wide * jax.lax.rsqrt((wide * wide).sum(axis=-1, keepdims=True) + epsilon)


def similarity_logits(queries: Array, keys: Array, logit_scale: Array) -> Array:
    """z_nm = e^s q_n · k_m with s = min(logit_scale, ln 100): [N, E], [M, E] → [N, M].

    queries and keys are unit vectors, logit_scale the logarithm of the inverse temperature.
    """
    dtype = wide_dtype(queries.dtype)
    scale = inverse_temperature(logit_scale, dtype)
    return scale * jnp.matmul(queries, keys.T, preferred_element_type=dtype)


def inverse_temperature(logit_scale: Array, dtype) -> Array:
    """e^s with s = min(logit_scale, ln 100)."""
    return jnp.exp(jnp.minimum(jnp.asarray(logit_scale, dtype), MAX_LOGIT_SCALE))


def check_pairs(
    where: str, pairs: dict[str, Array], logit_scale: Array, negatives: Array | None
) -> None:
    """Checks a loss's arguments, the two sides of `pairs` by name."""
    (_, queries), (second, keys) = pairs.items()
    for name, x in pairs.items():
        is_float = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
        require_type(is_float, where, name, expected="a floating-point array [N, E]", got=x)
        full = x.ndim == 2 and 0 not in x.shape
        require(full, where, name, expected="[N, E] with at least one pair", got=x)
    same, expected = keys.dtype == queries.dtype, f"the dtype of its partner, {queries.dtype}"
    require_type(same, where, second, expected=expected, got=keys)
    same = keys.shape == queries.shape
    expected = f"the shape of its partner, {list(queries.shape)}"
    require(same, where, second, expected=expected, got=keys)
    require(jnp.ndim(logit_scale) == 0, where, "logit_scale", expected="a scalar", got=logit_scale)
    if negatives is None:
        return
    square = (len(queries), len(queries))
    expected = f"bool {list(square)} (True = a negative)"
    is_bool = hasattr(negatives, "dtype") and negatives.dtype == jnp.bool_
    require_type(is_bool, where, "negatives", expected=expected, got=negatives)
    require(negatives.shape == square, where, "negatives", expected=expected, got=negatives)
