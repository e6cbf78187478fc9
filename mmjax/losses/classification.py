"""Cross-entropy: the right one of C classes, with or without label smoothing.

Source: Szegedy et al. (2016), "Rethinking the Inception architecture", section 7 (smoothing).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from mmjax.checks import require, require_type
from mmjax.precision import wide_dtype


def cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> Array:
    """The mean negative log-probability of the right class, or of a label smoothed by ε.

    L = mean_n ( log Σ_c e^{z_nc} − (1 − ε) z_{n,y_n} − ε/C Σ_c z_nc )

    logits [N, C] floating-point, labels int [N] from 0 to C − 1, label_smoothing ε in [0, 1).
    A logit of −∞ says that a class is impossible; with ε = 0 only the right one costs ∞ then.
    Returns a scalar in at least float32. Raises TypeError or ValueError for arguments that do not
    fit; a label out of range, where the labels are not known (inside `jit`), gives NaN instead.
    Source: Szegedy et al. (2016), section 7, for the smoothing.
    """
    _check_classes(logits, labels, label_smoothing)
    wide = logits.astype(wide_dtype(logits.dtype))
    target = wanted_logits(wide, labels)
    if label_smoothing:  # 0 · −∞ would be NaN
        target = (1 - label_smoothing) * target + label_smoothing * wide.mean(axis=1)
    return (jax.nn.logsumexp(wide, axis=1) - target).mean()


def wanted_logits(logits: Array, labels: Array) -> Array:
    """z[..., label]: [..., C], whole numbers [...] → [...]; NaN for a label not from 0 to C − 1."""
    if labels.dtype.itemsize < 4:  # too narrow for the number of classes
        labels = labels.astype(np.int32)
    # A negative index would count from the end, and so would a large uint32; C itself reads NaN.
    classes = logits.shape[-1]
    labels = jnp.where((labels >= 0) & (labels < classes), labels, classes)
    return jnp.take_along_axis(logits, labels[..., None], axis=-1, mode="fill")[..., 0]


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
        first, last = int(labels.min()), int(labels.max())  # not in int8, where C may not fit
        inside, got = 0 <= first and last < classes, f"{first} to {last}"
        require(inside, where, "labels", expected=f"from 0 to {classes - 1}", got=got)
