"""CLIP's loss in blocks: the same number and gradients without the matrix of all logits."""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from mmjax.attention.blockwise import for_each_block
from mmjax.checks import require
from mmjax.losses.similarity import check_pairs, inverse_temperature
from mmjax.precision import wide_dtype


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

    Arguments and errors as in `clip_loss`, without label smoothing; block_size: images in a step. A
    running maximum is kept because e^{±100} does not fit into float32. Reverse-mode derivatives
    only.
    Source: as `clip_loss`; in blocks: Cheng et al. (2024), "Breaking the memory barrier: near
    infinite batch size scaling for contrastive loss", here with both directions in one pass.
    """
    where = "blockwise_clip_loss"
    pairs = {"image_embeddings": image_embeddings, "text_embeddings": text_embeddings}
    check_pairs(where, pairs, logit_scale, negatives)
    require(block_size >= 1, where, "block_size", expected="at least 1", got=block_size)
    scale = inverse_temperature(logit_scale, wide_dtype(image_embeddings.dtype))
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
