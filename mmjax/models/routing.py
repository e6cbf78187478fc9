"""Routing of tokens to experts: who goes where, how even that is, and how much room there is.

Sources: Shazeer et al. (2017), "Outrageously large neural networks: the sparsely-gated mixture-of-
experts layer"; Fedus et al. (2022), "Switch Transformers", equations 1 to 6.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.checks import require, require_type
from mmjax.precision import wide_dtype


class Routing(NamedTuple):
    """Where N tokens go. Shapes [N, X] for X experts.

    probabilities: of the router, even ones for padding. chosen: bool, the experts a token asks for.
    kept: bool, those that have room for it. gates: what their outputs are multiplied by, 0 where a
    token is not kept.
    """

    probabilities: Array
    chosen: Array
    kept: Array
    gates: Array


def route(
    logits: Array, k: int, *, capacity: int | None = None, real: Array | None = None
) -> Routing:
    """Each token to its k most probable experts, the first of equally probable ones.

    p = softmax(logits);  chosen = the k largest p;  gate_e = p_e / (sum of the chosen p), or p_e
    itself for k = 1, as a sum of one would leave the router without a gradient.

    capacity: how many tokens an expert takes, in the order of the tokens; None takes all. A token
    for which there is no room is dropped by that expert: its gate is 0, and the others do not make
    up for it. real bool [N]: False is padding, which is sent nowhere and takes no room; its logits
    are not looked at and may be anything, NaN included.
    Raises TypeError or ValueError for arrays that do not fit, a k not from 1 to X, a capacity below
    1. Source: Shazeer et al. (2017), equations 3 to 5, without noise; Fedus et al. (2022), 2.1.
    """
    where = "route"
    is_float = jnp.issubdtype(logits.dtype, jnp.floating)
    require_type(is_float, where, "logits", expected="floating-point [N, X]", got=logits)
    ok = logits.ndim == 2 and 0 not in logits.shape
    require(ok, where, "logits", expected="[N, X] with nothing empty", got=logits)
    tokens, experts = logits.shape
    require(1 <= k <= experts, where, "k", expected=f"from 1 to {experts}", got=k)
    ok = capacity is None or capacity >= 1
    require(ok, where, "capacity", expected="None or at least 1", got=capacity)
    if real is not None:
        fits = real.dtype == jnp.bool_ and real.shape == (tokens,)
        require(fits, where, "real", expected=f"bool [{tokens}]", got=real)
        # Before the softmax: behind it a NaN would still be in the gradient, as 0 · NaN.
        logits = jnp.where(real[:, None], logits, jnp.zeros_like(logits))
    p = jax.nn.softmax(logits.astype(wide_dtype(logits.dtype)), axis=1)
    _, best = jax.lax.top_k(p, k)
    numbers = jnp.arange(experts, dtype=best.dtype)
    chosen = (best[:, :, None] == numbers[None, None]).any(axis=1)
    if real is not None:
        chosen = chosen & real[:, None]
    kept = chosen
    if capacity is not None:
        kept = chosen & (jnp.cumsum(chosen, axis=0) <= capacity)
    total = 1 if k == 1 else p.sum(axis=1, where=chosen, keepdims=True)
    gates = jnp.where(kept, p / jnp.where(total == 0, 1, total), 0)
    return Routing(p, chosen, kept, gates)


def balance_loss(routing: Routing) -> Array:
    """How unevenly the tokens are spread: X Σ_e f_e P_e / k, and 1 where they are spread evenly.

    f_e is the share of tokens that choose expert e, P_e its mean probability. f has no gradient, P
    has one: it lowers the probability of experts that get many tokens.
    Source: Fedus et al. (2022), equations 4 to 6, which have k = 1.
    """
    chosen, p = routing.chosen.astype(routing.probabilities.dtype), routing.probabilities
    weight = routing.chosen.any(axis=1).astype(p.dtype)  # padding has chosen nothing
    number = jnp.maximum(1, weight.sum())
    share = (chosen * weight[:, None]).sum(axis=0) / number
    mean = (p * weight[:, None]).sum(axis=0) / number
    return p.shape[1] * (share * mean).sum() / jnp.maximum(1, share.sum())


def expert_capacity(tokens: int, experts: int, k: int, factor: float) -> int:
    """⌈factor · k N / X⌉, at most N: room for an even spread, times a factor.

    The factor is the decimal number that it is written as: 1.1 · 10 is 11, and not a little more,
    which would be rounded up to 12. Raises ValueError for numbers below 1, or a factor that is not
    above 0 and finite.
    """
    where = "expert_capacity"
    for name, value in (("tokens", tokens), ("experts", experts), ("k", k)):
        require(value >= 1, where, name, expected="at least 1", got=value)
    ok = 0 < factor < math.inf
    require(ok, where, "factor", expected="above 0 and finite", got=factor)
    return min(tokens, math.ceil(Fraction(str(factor)) * k * tokens / experts))
