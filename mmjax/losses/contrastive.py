"""Contrastive losses with a softmax: every picture should fit its own text best, and vice versa.

Sources: van den Oord et al. (2018), equation 4 (InfoNCE); Radford et al. (2021), figure 3 (CLIP);
Jia et al. (2021), "Scaling up visual and vision-language representation learning with noisy text
supervision", section 4 (ALIGN: the same loss with label smoothing).
"""

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.checks import require
from mmjax.losses.similarity import check_pairs, similarity_logits


def info_nce(
    queries: Array,
    keys: Array,
    logit_scale: Array,
    *,
    negatives: Array | None = None,
    label_smoothing: float = 0.0,
) -> Array:
    """InfoNCE, one direction: the cross-entropy of finding each query's own key among all keys.

    L = mean_n ( log Σ_m e^{z_nm} − (1 − ε) z_nn − ε mean_m z_nm ),
    z_nm = e^{logit_scale} q_n · k_m

    queries, keys [N, E]: unit vectors, pair n in row n. logit_scale: scalar, clipped at ln 100.
    negatives bool [N, N]: False leaves a pair out of the sum (it is no negative); the pair itself,
    on the diagonal, always stays in, and the mean over m is over what stays in. label_smoothing: ε
    in [0, 1); 0 is InfoNCE proper. Returns a scalar in at least float32.
    Raises TypeError or ValueError for arguments that do not fit.
    Source: van den Oord et al. (2018), equation 4.
    """
    check_pairs("info_nce", {"queries": queries, "keys": keys}, logit_scale, negatives)
    _check_smoothing("info_nce", label_smoothing)
    logits = similarity_logits(queries, keys, logit_scale)
    return _rows_loss(logits, negatives, label_smoothing)


def clip_loss(
    image_embeddings: Array,
    text_embeddings: Array,
    logit_scale: Array,
    *,
    negatives: Array | None = None,
    label_smoothing: float = 0.0,
) -> Array:
    """The loss of CLIP: the mean of InfoNCE from image to text and from text to image.

    L = (InfoNCE(u, v) + InfoNCE(v, u)) / 2, with one matrix of logits for both.

    Arguments and errors as in `info_nce`. Source: Radford et al. (2021), figure 3.
    """
    pairs = {"image_embeddings": image_embeddings, "text_embeddings": text_embeddings}
    check_pairs("clip_loss", pairs, logit_scale, negatives)
    _check_smoothing("clip_loss", label_smoothing)
    logits = similarity_logits(image_embeddings, text_embeddings, logit_scale)
    transposed = None if negatives is None else negatives.T
    forward = _rows_loss(logits, negatives, label_smoothing)
    return (forward + _rows_loss(logits.T, transposed, label_smoothing)) / 2


def _rows_loss(logits: Array, negatives: Array | None, label_smoothing: float) -> Array:
    """mean_n ( log-sum-exp of row n − target ); the maximum is subtracted inside log-sum-exp."""
    target = jnp.diagonal(logits)
    kept = None
    if negatives is not None:
        kept = negatives | jnp.eye(len(logits), dtype=bool)
    if label_smoothing:
        target = (1 - label_smoothing) * target
        target = target + label_smoothing * logits.mean(axis=1, where=kept)
    if kept is not None:
        logits = jnp.where(kept, logits, -jnp.inf)
    return (jax.nn.logsumexp(logits, axis=1) - target).mean()


def _check_smoothing(where: str, label_smoothing: float) -> None:
    ok = 0 <= label_smoothing < 1
    require(ok, where, "label_smoothing", expected="0 <= ε < 1", got=label_smoothing)
