"""Losses: contrastive ones, where a picture should fit its own text best, and cross-entropy.

Sources: van den Oord et al. (2018), equation 4 (InfoNCE); Radford et al. (2021), figure 3 (CLIP);
Szegedy et al. (2016), section 7 (label smoothing).
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from mmjax.attention.blockwise import for_each_block
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
    scale = _inverse_temperature(logit_scale, dtype)
    return scale * jnp.matmul(queries, keys.T, preferred_element_type=dtype)


def _inverse_temperature(logit_scale: Array, dtype) -> Array:
    return jnp.exp(jnp.minimum(jnp.asarray(logit_scale, dtype), MAX_LOGIT_SCALE))


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
    check_pairs("info_nce", {"queries": queries, "keys": keys}, logit_scale, negatives)
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
    check_pairs("clip_loss", pairs, logit_scale, negatives)
    logits = similarity_logits(image_embeddings, text_embeddings, logit_scale)
    transposed = None if negatives is None else negatives.T
    return (_rows_loss(logits, negatives) + _rows_loss(logits.T, transposed)) / 2


def blockwise_clip_loss(
    image_embeddings: Array,
    text_embeddings: Array,
    logit_scale: Array,
    *,
    negatives: Array | None = None,
    block_size: int = 128,
) -> Array:
    """The number and the gradients of `clip_loss`, in memory O(N · block_size) instead of O(N²).

    That is the memory beside the arguments; `negatives`, where it is given, has N² bytes.

    One pass over blocks of images makes both log-sum-exps: the one over texts is complete within
    a block, the one over images is kept up to date as in `blockwise_attention`. The backward pass
    computes the logits z of each block again, and sends back
    dL/dz_nm = ( e^{z_nm − LSE_n} + e^{z_nm − LSE_m} − 2 [n = m] ) / 2N.

    Arguments and errors as in `clip_loss`; block_size: images in a step. A running maximum is kept
    because e^{±100} does not fit into float32. Reverse-mode derivatives only.
    Source: as `clip_loss`; in blocks: Cheng et al. (2024), "Breaking the memory barrier: near
    infinite batch size scaling for contrastive loss", here with both directions in one pass.
    """
    where = "blockwise_clip_loss"
    pairs = {"image_embeddings": image_embeddings, "text_embeddings": text_embeddings}
    check_pairs(where, pairs, logit_scale, negatives)
    require(block_size >= 1, where, "block_size", expected="at least 1", got=block_size)
    scale = _inverse_temperature(logit_scale, wide_dtype(image_embeddings.dtype))
    block_size = min(block_size, len(image_embeddings))
    return _blockwise_loss(block_size, image_embeddings, text_embeddings, scale, negatives)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _blockwise_loss(block_size, images, texts, scale, negatives):
    return _blockwise_forward(block_size, images, texts, scale, negatives)[0]


def _blockwise_forward(block_size, images, texts, scale, negatives):
    def step(start, size, carry):
        rows, maximum, total, positives = carry
        logits, own = _block_logits(start, size, images, texts, scale, negatives)
        row = jax.nn.logsumexp(logits, axis=1, keepdims=True)
        rows = lax.dynamic_update_slice_in_dim(rows, row, start, axis=0)
        new_maximum = jnp.maximum(maximum, logits.max(axis=0, keepdims=True))
        added = jnp.exp(logits - new_maximum).sum(axis=0, keepdims=True)
        total = jnp.exp(maximum - new_maximum) * total + added
        return rows, new_maximum, total, positives + jnp.where(own, logits, 0).sum()

    N, dtype = len(images), scale.dtype
    # The lowest finite number in place of −∞: a column without negatives never computes ∞ − ∞.
    maximum = jnp.full((1, N), jnp.finfo(dtype).min, dtype)
    carry = jnp.zeros((N, 1), dtype), maximum, jnp.zeros((1, N), dtype), jnp.zeros((), dtype)
    rows, maximum, total, positives = for_each_block(step, carry, N, block_size)
    columns = maximum + jnp.log(total)
    loss = (rows.sum() + columns.sum() - 2 * positives) / (2 * N)
    return loss, (images, texts, scale, negatives, rows, columns)


def _blockwise_backward(block_size, residuals, loss_gradient):
    images, texts, scale, negatives, rows, columns = residuals
    N, dtype = len(images), scale.dtype

    def step(start, size, carry):
        d_images, d_texts, d_scale = carry
        logits, own = _block_logits(start, size, images, texts, scale, negatives)
        image, row = (lax.dynamic_slice_in_dim(x, start, size) for x in (images, rows))
        d_logits = jnp.exp(logits - row) + jnp.exp(logits - columns) - 2 * own.astype(dtype)
        d_logits = d_logits * (loss_gradient / (2 * N))
        d_image = jnp.matmul(d_logits, texts.astype(dtype))  # still to be multiplied by the scale
        d_scale = d_scale + (d_image * image.astype(dtype)).sum()
        d_image = (scale * d_image).astype(images.dtype)
        d_images = lax.dynamic_update_slice_in_dim(d_images, d_image, start, axis=0)
        return d_images, d_texts + jnp.matmul(d_logits.T, scale * image.astype(dtype)), d_scale

    carry = jnp.zeros_like(images), jnp.zeros(texts.shape, dtype), jnp.zeros((), dtype)
    d_images, d_texts, d_scale = for_each_block(step, carry, N, block_size)
    return d_images, d_texts.astype(texts.dtype), d_scale, None


_blockwise_loss.defvjp(_blockwise_forward, _blockwise_backward)


def _block_logits(start, size, images, texts, scale, negatives):
    """Logits [size, N] of a block of images, −∞ where no negative; and which entry is its own."""
    image = lax.dynamic_slice_in_dim(images, start, size)
    logits = scale * jnp.matmul(image, texts.T, preferred_element_type=scale.dtype)
    own = start + lax.broadcasted_iota(jnp.int32, logits.shape, 0)
    own = own == lax.broadcasted_iota(jnp.int32, logits.shape, 1)
    if negatives is not None:
        allowed = lax.dynamic_slice_in_dim(negatives, start, size) | own
        logits = jnp.where(allowed, logits, -jnp.inf)
    return logits, own


def _rows_loss(logits: Array, negatives: Array | None) -> Array:
    """mean_n ( log-sum-exp of row n − z_nn ); the maximum is subtracted inside log-sum-exp."""
    positive = jnp.diagonal(logits)
    if negatives is not None:
        logits = jnp.where(negatives | jnp.eye(len(logits), dtype=bool), logits, -jnp.inf)
    return (jax.nn.logsumexp(logits, axis=1) - positive).mean()


def cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> Array:
    """The mean negative log-probability of the right class, or of a label smoothed by ε.

    L = mean_n ( log Σ_c e^{z_nc} − (1 − ε) z_{n,y_n} − ε/C Σ_c z_nc )

    logits [N, C] floating-point, labels int [N] from 0 to C − 1, label_smoothing ε in [0, 1).
    Returns a scalar in at least float32. Raises TypeError or ValueError for arguments that do not
    fit; a label out of range, where the labels are not known (inside `jit`), gives NaN instead.
    Source: Szegedy et al. (2016), section 7, for the smoothing.
    """
    _check_classes(logits, labels, label_smoothing)
    wide = logits.astype(wide_dtype(logits.dtype))
    # A negative index would count from the end; beyond the end JAX reads NaN.
    labels = jnp.where(labels < 0, wide.shape[1], labels)
    wanted = jnp.take_along_axis(wide, labels[:, None], axis=1, mode="fill")[:, 0]
    target = (1 - label_smoothing) * wanted + label_smoothing * wide.mean(axis=1)
    return (jax.nn.logsumexp(wide, axis=1) - target).mean()


def _check_classes(logits: Array, labels: Array, label_smoothing: float) -> None:
    where = "cross_entropy"
    is_float = hasattr(logits, "dtype") and jnp.issubdtype(logits.dtype, jnp.floating)
    require_type(is_float, where, "logits", expected="a floating-point array [N, C]", got=logits)
    full = logits.ndim == 2 and 0 not in logits.shape
    require(full, where, "logits", expected="[N, C] with N and C at least 1", got=logits)
    number, classes = logits.shape
    is_whole = hasattr(labels, "dtype") and jnp.issubdtype(labels.dtype, jnp.integer)
    require_type(is_whole, where, "labels", expected=f"whole numbers [{number}]", got=labels)
    expected, same = f"one label a row, [{number}]", labels.shape == (number,)
    require(same, where, "labels", expected=expected, got=labels)
    ok = 0 <= label_smoothing < 1
    require(ok, where, "label_smoothing", expected="0 <= ε < 1", got=label_smoothing)
    if not isinstance(labels, jax.core.Tracer):
        inside, got = (
            labels.min() >= 0 and labels.max() < classes,
            f"{labels.min()} to {labels.max()}",
        )
        require(inside, where, "labels", expected=f"from 0 to {classes - 1}", got=got)


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
