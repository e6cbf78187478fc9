"""Several things may be true at once: a yes or no for each of C labels."""

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.checks import require, require_type
from mmjax.precision import wide_dtype


def multi_label_loss(logits: Array, labels: Array) -> Array:
    """The mean negative log-probability of C independent answers, yes with probability σ(z).

    L = −(1 / BC) Σ_bc ( y_bc log σ(z_bc) + (1 − y_bc) log σ(−z_bc) )

    logits [B, C] floating-point, labels bool [B, C]. log σ(z) = −log(1 + e^{−z}) is computed as a
    log-sum-exp, so that no logit is too large. Returns a scalar in at least float32.
    Raises TypeError or ValueError for arrays that do not fit.
    """
    where = "multi_label_loss"
    is_float = jnp.issubdtype(logits.dtype, jnp.floating)
    require_type(is_float, where, "logits", expected="floating-point [B, C]", got=logits)
    full = logits.ndim == 2 and 0 not in logits.shape
    require(full, where, "logits", expected="[B, C], nothing empty", got=logits)
    expected = f"bool {list(logits.shape)}"
    require_type(labels.dtype == bool, where, "labels", expected=expected, got=labels)
    require(labels.shape == logits.shape, where, "labels", expected=expected, got=labels)
    wide = logits.astype(wide_dtype(logits.dtype))
    return -jax.nn.log_sigmoid(jnp.where(labels, wide, -wide)).mean()
