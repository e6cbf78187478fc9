"""Teacher forcing: at every place the true words so far go in, and the next true word is wanted.

Source: Williams & Zipser (1989), teacher forcing; Sutskever et al. (2014), equation 1.
"""

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.checks import require, require_type
from mmjax.losses.classification import wanted_logits
from mmjax.precision import wide_dtype


def shift_by_one(tokens: Array, real: Array) -> tuple[Array, Array, Array]:
    """Rows start, w_1, …, w_n, end, padding → what goes in, what is wanted, and where that counts.

    inputs = tokens[:, :-1],  targets = tokens[:, 1:],  counts = real[:, 1:], all [B, T − 1].

    tokens int [B, T], real bool [B, T] (True = no padding). Raises TypeError or ValueError for
    other arrays, or T below 2.
    """
    where = "shift_by_one"
    whole = jnp.issubdtype(tokens.dtype, jnp.integer)
    require_type(whole, where, "tokens", expected="whole numbers [B, T]", got=tokens)
    ok = tokens.ndim == 2 and tokens.shape[1] >= 2
    require(ok, where, "tokens", expected="[B, T] with T at least 2", got=tokens)
    expected = f"bool {list(tokens.shape)}"
    require_type(real.dtype == bool, where, "real", expected=expected, got=real)
    require(real.shape == tokens.shape, where, "real", expected=expected, got=real)
    return tokens[:, :-1], tokens[:, 1:], real[:, 1:]


def next_token_loss(logits: Array, targets: Array, counts: Array) -> Array:
    """The mean negative log-probability of the tokens wanted, over those that count.

    L = − Σ_bt counts_bt log softmax(z_bt)[targets_bt] / Σ_bt counts_bt

    The mean is over the real tokens of the whole batch, so a long text weighs more than a short
    one, and padding nothing. logits [B, T, V] floating-point, targets int and counts bool [B, T].
    Returns a scalar in at least float32; 0 where nothing counts, and NaN for a target that counts
    and is not from 0 to V − 1. Raises TypeError or ValueError for arrays that do not fit.
    """
    where = "next_token_loss"
    is_float = jnp.issubdtype(logits.dtype, jnp.floating) and logits.ndim == 3
    require_type(is_float, where, "logits", expected="floating-point [B, T, V]", got=logits)
    shape = logits.shape[:2]
    whole = jnp.issubdtype(targets.dtype, jnp.integer)
    require_type(whole, where, "targets", expected="whole numbers [B, T]", got=targets)
    require(targets.shape == shape, where, "targets", expected=str(list(shape)), got=targets)
    require_type(counts.dtype == bool, where, "counts", expected="bool [B, T]", got=counts)
    require(counts.shape == shape, where, "counts", expected=str(list(shape)), got=counts)
    wide = logits.astype(wide_dtype(logits.dtype))
    cost = jnp.where(counts, jax.nn.logsumexp(wide, axis=2) - wanted_logits(wide, targets), 0)
    return cost.sum() / jnp.maximum(1, counts.sum()).astype(cost.dtype)
