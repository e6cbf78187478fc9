"""The sigmoid loss: each pair of a picture and a text is a question of its own, yes or no.

Zhai et al. (2023), "Sigmoid loss for language image pre-training" (SigLIP), equation 1. There is no
softmax, so no term needs a whole row, and a batch can be cut into blocks without keeping anything.
"""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from mmjax.attention.blockwise import for_each_block
from mmjax.checks import require
from mmjax.losses.similarity import check_pairs
from mmjax.precision import wide_dtype


def sigmoid_loss(
    image_embeddings: Array,
    text_embeddings: Array,
    logit_scale: Array,
    logit_bias: Array,
    *,
    negatives: Array | None = None,
    block_size: int = 256,
) -> Array:
    """L = −1/N Σ_nm log σ(y_nm (e^{logit_scale} u_n · v_m + logit_bias)), y = 1 for n = m, else −1.

    image_embeddings u, text_embeddings v [N, E]: unit vectors, pair n in row n. logit_scale,
    logit_bias: scalars. The paper starts them at ln 10 and −10, so that the many negatives cost
    little at first; the scale is not clipped there, and not here. negatives bool [N, N]: False
    leaves a pair out of the sum; the pair itself always stays in. block_size: images in a step; the
    memory beside the arguments is O(N · block_size), forward and backward.
    Returns a scalar in at least float32. Reverse-mode derivatives only.
    Raises TypeError or ValueError for arguments that do not fit.
    Source: Zhai et al. (2023), equation 1.
    """
    where = "sigmoid_loss"
    pairs = {"image_embeddings": image_embeddings, "text_embeddings": text_embeddings}
    check_pairs(where, pairs, logit_scale, negatives)
    require(jnp.ndim(logit_bias) == 0, where, "logit_bias", expected="a scalar", got=logit_bias)
    require(block_size >= 1, where, "block_size", expected="at least 1", got=block_size)
    dtype = wide_dtype(image_embeddings.dtype)
    scale, bias = jnp.exp(jnp.asarray(logit_scale, dtype)), jnp.asarray(logit_bias, dtype)
    size = min(block_size, len(image_embeddings))
    return _loss(size, image_embeddings, text_embeddings, scale, bias, negatives)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(block_size, images, texts, scale, bias, negatives):
    def step(start, size, total):
        logits, sign = _block(start, size, images, texts, scale, bias, negatives)
        return total + jax.nn.softplus(-sign * logits).sum(where=sign != 0)

    N, zero = len(images), jnp.zeros((), scale.dtype)
    return for_each_block(step, zero, N, block_size) / N


def _forward(block_size, images, texts, scale, bias, negatives):
    loss = _loss(block_size, images, texts, scale, bias, negatives)
    return loss, (images, texts, scale, bias, negatives)


def _backward(block_size, residuals, loss_gradient):
    """dL/dz_nm = −y_nm σ(−y_nm z_nm) / N; the logits of a block are computed again."""
    images, texts, scale, bias, negatives = residuals
    N, dtype = len(images), scale.dtype

    def step(start, size, carry):
        d_images, d_texts, d_scale, d_bias = carry
        logits, sign = _block(start, size, images, texts, scale, bias, negatives)
        d_logits = -sign * jax.nn.sigmoid(-sign * logits) * (loss_gradient / N)
        image = lax.dynamic_slice_in_dim(images, start, size).astype(dtype)
        d_image = jnp.matmul(d_logits, texts.astype(dtype))  # still to be multiplied by the scale
        d_scale = d_scale + (d_image * image).sum()
        d_image = (scale * d_image).astype(images.dtype)
        d_images = lax.dynamic_update_slice_in_dim(d_images, d_image, start, axis=0)
        d_texts = d_texts + jnp.matmul(d_logits.T, scale * image)
        return d_images, d_texts, d_scale, d_bias + d_logits.sum()

    zero = jnp.zeros((), dtype)
    carry = jnp.zeros_like(images), jnp.zeros(texts.shape, dtype), zero, zero
    d_images, d_texts, d_scale, d_bias = for_each_block(step, carry, N, block_size)
    return d_images, d_texts.astype(texts.dtype), d_scale, d_bias, None


_loss.defvjp(_forward, _backward)


def _block(start, size, images, texts, scale, bias, negatives):
    """Logits [size, N] of a block of images, and signs: 1 its own text, −1 a negative, 0 out."""
    image = lax.dynamic_slice_in_dim(images, start, size)
    logits = scale * jnp.matmul(image, texts.T, preferred_element_type=scale.dtype) + bias
    own = start + lax.broadcasted_iota(jnp.int32, logits.shape, 0)
    own = own == lax.broadcasted_iota(jnp.int32, logits.shape, 1)
    sign = jnp.where(own, 1, -1).astype(logits.dtype)
    if negatives is not None:
        kept = lax.dynamic_slice_in_dim(negatives, start, size) | own
        sign = jnp.where(kept, sign, 0)
    return logits, sign
