"""A mixture of experts: many small networks, of which each token passes only a few.

Sources: Shazeer et al. (2017), "Outrageously large neural networks: the sparsely-gated mixture-of-
experts layer"; Fedus et al. (2022), "Switch Transformers", equations 1 to 6; Mustafa et al. (2022),
LIMoE, for one tower with experts over several modalities.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import TransformerConfig, gelu
from mmjax.checks import require, require_type
from mmjax.models.token_encoder import small_normal
from mmjax.precision import wide_dtype


class Routing(NamedTuple):
    """Where N tokens go. Shapes [N, X] for X experts.

    probabilities: of the router. chosen: bool, the experts a token asks for. kept: bool, those that
    have room for it. gates: what their outputs are multiplied by, 0 where a token is not kept.
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
    up for it. real bool [N]: False is padding, which is sent nowhere and takes no room.
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
    p = jax.nn.softmax(logits.astype(wide_dtype(logits.dtype)), axis=1)
    _, best = jax.lax.top_k(p, k)
    numbers = jnp.arange(experts, dtype=best.dtype)
    chosen = (best[:, :, None] == numbers[None, None]).any(axis=1)
    if real is not None:
        fits = real.dtype == jnp.bool_ and real.shape == (tokens,)
        require(fits, where, "real", expected=f"bool [{tokens}]", got=real)
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


def mixture(x: Array, gates: Array, expand: tuple[Array, Array], contract: tuple[Array, Array]):
    """y_n = Σ_e gate_ne MLP_e(x_n), each expert on all tokens: [N, M] → [N, M].

    expand: kernels [X, M, F] and biases [X, F]; contract: [X, F, M] and [X, M]. Exact, and the
    right form where experts are few and small. It costs X networks a token: `mixture_sparse` costs
    what the router asked for.
    """
    (w1, b1), (w2, b2) = expand, contract
    hidden = gelu(jnp.einsum("nm,xmf->xnf", x, w1) + b1[:, None])
    out = jnp.einsum("xnf,xfm->xnm", hidden, w2) + b2[:, None]
    return jnp.einsum("nx,xnm->nm", gates.astype(x.dtype), out)


def mixture_sparse(
    x: Array,
    routing: Routing,
    capacity: int,
    expand: tuple[Array, Array],
    contract: tuple[Array, Array],
) -> Array:
    """The same sum, each expert only on the tokens it keeps, at most `capacity` C of them.

    Every expert collects its tokens in C places, works on them, and sends them back: X · C tokens
    pass a network, whatever N is. `routing` has to come from `route` with this capacity.
    """
    (w1, b1), (w2, b2) = expand, contract
    order = jnp.argsort(~routing.kept, axis=0, stable=True)[:capacity].T  # [X, C], its tokens first
    filled = jnp.take_along_axis(routing.kept.T, order, axis=1)
    gates = jnp.take_along_axis(routing.gates.T, order, axis=1).astype(x.dtype)
    hidden = gelu(jnp.einsum("xcm,xmf->xcf", x[order], w1) + b1[:, None])
    out = jnp.einsum("xcf,xfm->xcm", hidden, w2) + b2[:, None]
    out = out * jnp.where(filled, gates, 0)[:, :, None]
    return jnp.zeros_like(x).at[order.reshape(-1)].add(out.reshape(-1, x.shape[1]))


def expert_capacity(tokens: int, experts: int, k: int, factor: float) -> int:
    """⌈factor · k N / X⌉, at most N: room for an even spread, times a factor.

    Raises ValueError for numbers below 1, or a factor that is not above 0.
    """
    where = "expert_capacity"
    for name, value in (("tokens", tokens), ("experts", experts), ("k", k)):
        require(value >= 1, where, name, expected="at least 1", got=value)
    require(factor > 0, where, "factor", expected="above 0", got=factor)
    return min(tokens, math.ceil(factor * k * tokens / experts))


class MixtureMLP(nnx.Module):
    """A mixture of `experts` X networks in place of the one of a Transformer block.

    __call__: x [B, T, M], real bool [B, T] → y [B, T, M] and the `Routing` of all B · T tokens.
    `capacity_factor` None computes every expert on every token, exactly; a number gives each expert
    room for that many times its even share, and drops what does not fit.
    """

    def __init__(
        self,
        config: TransformerConfig,
        experts: int,
        k: int = 1,
        *,
        capacity_factor: float | None = None,
        rngs: nnx.Rngs,
    ):
        where = "MixtureMLP"
        require(experts >= 1, where, "experts", expected="at least 1", got=experts)
        require(1 <= k <= experts, where, "k", expected=f"from 1 to {experts}", got=k)
        ok = capacity_factor is None or capacity_factor > 0
        expected = "None or above 0"
        require(ok, where, "capacity_factor", expected=expected, got=capacity_factor)
        self.k, self.capacity_factor = k, capacity_factor
        width, hidden = config.width, config.hidden or 4 * config.width
        draw = jax.nn.initializers.glorot_uniform(batch_axis=(0,))

        def kernels(*shape):
            return nnx.Param(draw(rngs.params(), (experts, *shape), jnp.float32))

        self.router = small_normal(rngs, width, experts)
        self.expand, self.contract = kernels(width, hidden), kernels(hidden, width)
        self.expand_bias = nnx.Param(jnp.zeros((experts, hidden), jnp.float32))
        self.contract_bias = nnx.Param(jnp.zeros((experts, width), jnp.float32))

    def __call__(self, x: Array, real: Array | None = None) -> tuple[Array, Routing]:
        router, where = self.router[...], "MixtureMLP"
        fits, expected = x.ndim == 3 and x.shape[-1] == len(router), f"[B, T, {len(router)}]"
        require(fits, where, "x", expected=expected, got=x)
        same = x.dtype == router.dtype
        require_type(same, where, "x", expected=f"{router.dtype}, as the parameters", got=x)
        flat = x.reshape(-1, x.shape[-1])
        real = None if real is None else real.reshape(-1)
        logits = flat @ router
        networks = (
            (self.expand[...], self.expand_bias[...]),
            (self.contract[...], self.contract_bias[...]),
        )
        if self.capacity_factor is None:
            routing = route(logits, self.k, real=real)
            return mixture(flat, routing.gates, *networks).reshape(x.shape), routing
        room = expert_capacity(len(flat), logits.shape[1], self.k, self.capacity_factor)
        routing = route(logits, self.k, capacity=room, real=real)
        return mixture_sparse(flat, routing, room, *networks).reshape(x.shape), routing
