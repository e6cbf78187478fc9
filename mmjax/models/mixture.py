"""A mixture of experts: many small networks, of which each token passes only a few.

Sources: Shazeer et al. (2017), "Outrageously large neural networks: the sparsely-gated mixture-of-
experts layer"; Fedus et al. (2022), "Switch Transformers", equations 1 to 6; Mustafa et al. (2022),
LIMoE, for one tower with experts over several modalities.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import TransformerConfig, gelu
from mmjax.checks import require, require_type
from mmjax.models.routing import Routing, expert_capacity, route
from mmjax.models.token_encoder import small_normal


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


class MixtureMLP(nnx.Module):
    """A mixture of `experts` X networks in place of the one of a Transformer block.

    __call__: x [B, T, M], real bool [B, T] → y [B, T, M] and the `Routing` of all B · T tokens.
    `capacity_factor` None computes every expert on every token, exactly; a number gives each expert
    room for that many times its even share, and drops what does not fit. What stands behind a False
    of `real` is not looked at; its y is 0.

    Kernels bear the name that `Linear` gives them, as optimizers know them by it: router.kernel
    [M, X], expand.kernel [X, M, F], contract.kernel [X, F, M]. The router is a linear map too.
    Raises TypeError or ValueError for arrays that do not fit.
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

        def maps(inputs, outputs):
            kernel = nnx.Param(draw(rngs.params(), (experts, inputs, outputs), jnp.float32))
            return nnx.Dict(
                kernel=kernel, bias=nnx.Param(jnp.zeros((experts, outputs), jnp.float32))
            )

        self.router = nnx.Dict(kernel=small_normal(rngs, width, experts))
        self.expand, self.contract = maps(width, hidden), maps(hidden, width)

    def __call__(self, x: Array, real: Array | None = None) -> tuple[Array, Routing]:
        router, where = self.router.kernel[...], "MixtureMLP"
        fits, expected = x.ndim == 3 and x.shape[-1] == len(router), f"[B, T, {len(router)}]"
        require(fits, where, "x", expected=expected, got=x)
        same = x.dtype == router.dtype
        require_type(same, where, "x", expected=f"{router.dtype}, as the parameters", got=x)
        flat = x.reshape(-1, x.shape[-1])
        if real is not None:
            expected = f"bool {list(x.shape[:2])}"
            fits = real.dtype == jnp.bool_ and real.shape == x.shape[:2]
            require(fits, where, "real", expected=expected, got=real)
            real = real.reshape(-1)
            flat = jnp.where(real[:, None], flat, jnp.zeros_like(flat))
        logits = flat @ router
        networks = [(part.kernel[...], part.bias[...]) for part in (self.expand, self.contract)]
        if self.capacity_factor is None:
            routing = route(logits, self.k, real=real)
            return mixture(flat, routing.gates, *networks).reshape(x.shape), routing
        room = expert_capacity(len(flat), logits.shape[1], self.k, self.capacity_factor)
        routing = route(logits, self.k, capacity=room, real=real)
        return mixture_sparse(flat, routing, room, *networks).reshape(x.shape), routing
