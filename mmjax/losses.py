"""Contrastive losses: a picture should fit its own text better than any other, and the reverse.

Sources: van den Oord et al. (2018), equation 4 (InfoNCE); Radford et al. (2021), figure 3 (CLIP).
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
    scale = jnp.exp(jnp.minimum(logit_scale.astype(dtype), MAX_LOGIT_SCALE))
    return scale * jnp.matmul(queries, keys.T, preferred_element_type=dtype)


def info_nce(
    queries: Array, keys: Array, logit_scale: Array, *, negatives: Array | None = None
) -> Array:
    """InfoNCE, one direction: the cross-entropy of finding each query's own key among all keys.

    L = mean_n ( log Σ_m e^{z_nm} − z_nn ),  z_nm = e^{logit_scale} q_n · k_m

    queries, keys [N, E]: unit vectors, pair n in row n. logit_scale: scalar, clipped at ln 100.
    negatives bool [N, N]: False leaves a pair out of the sum (it is no negative); the pair itself,
    on the diagonal, always stays in. Returns a scalar in at least float32.
    Raises TypeError or ValueError for arguments that do not fit.
    Source: van den Oord et al. (2018), equation 4.
    """
    negatives = check_pairs("info_nce", {"queries": queries, "keys": keys}, logit_scale, negatives)
    return _rows_loss(similarity_logits(queries, keys, logit_scale), negatives)


def clip_loss(
    image_embeddings: Array,
    text_embeddings: Array,
    logit_scale: Array,
    *,
    negatives: Array | None = None,
) -> Array:
    """The loss of CLIP: the mean of InfoNCE from image to text and from text to image.

    L = (InfoNCE(u, v) + InfoNCE(v, u)) / 2, with one matrix of logits for both.

    Arguments and errors as in `info_nce`. Source: Radford et al. (2021), figure 3.
    """
    pairs = {"image_embeddings": image_embeddings, "text_embeddings": text_embeddings}
    negatives = check_pairs("clip_loss", pairs, logit_scale, negatives)
    logits = similarity_logits(image_embeddings, text_embeddings, logit_scale)
    transposed = None if negatives is None else negatives.T
    return (_rows_loss(logits, negatives) + _rows_loss(logits.T, transposed)) / 2


def _rows_loss(logits: Array, negatives: Array | None) -> Array:
    """mean_n ( log-sum-exp of row n − z_nn ); the maximum is subtracted inside log-sum-exp."""
    positive = jnp.diagonal(logits)
    if negatives is not None:
        logits = jnp.where(negatives, logits, -jnp.inf)
    return (jax.nn.logsumexp(logits, axis=1) - positive).mean()


def check_pairs(
    where: str, pairs: dict[str, Array], logit_scale: Array, negatives: Array | None
) -> Array | None:
    """Checks a loss's arguments, the two sides of `pairs` by name; keeps the mask's diagonal."""
    (_, queries), (second, keys) = pairs.items()
    for name, x in pairs.items():
        is_float = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
        require_type(is_float, where, name, expected="a floating-point array [N, E]", got=x)
        full = x.ndim == 2 and 0 not in x.shape
        require(full, where, name, expected="[N, E] with at least one pair", got=x)
    same = keys.shape == queries.shape
    expected = f"the shape of its partner, {list(queries.shape)}"
    require(same, where, second, expected=expected, got=keys)
    require(jnp.ndim(logit_scale) == 0, where, "logit_scale", expected="a scalar", got=logit_scale)
    if negatives is None:
        return None
    square = (len(queries), len(queries))
    expected = f"bool {list(square)} (True = a negative)"
    is_bool = hasattr(negatives, "dtype") and negatives.dtype == jnp.bool_
    require_type(is_bool, where, "negatives", expected=expected, got=negatives)
    require(negatives.shape == square, where, "negatives", expected=expected, got=negatives)
    return negatives | jnp.eye(len(queries), dtype=bool)
