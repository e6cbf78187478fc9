"""The optimizer of the course: AdamW, warm-up, cosine decay, gradient clipping.

Sources: Loshchilov & Hutter (2019), AdamW; Loshchilov & Hutter (2017), cosine decay; Goyal et al.
(2017), warm-up; Pascanu et al. (2013), clipping by the global norm.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from mmjax.checks import require
from mmjax.losses import MAX_LOGIT_SCALE


def warmup_cosine(peak: float, steps: int, warmup: int) -> optax.Schedule:
    """The learning rate: up in a straight line for `warmup` steps, then down half a cosine to 0.

    η(t) = peak · t / warmup                                        for t < warmup,
    η(t) = peak · (1 + cos(π (t − warmup) / (steps − warmup))) / 2  up to t = steps, then 0.

    Returns η as a function of the step t. Raises ValueError unless 0 ≤ warmup < steps.
    """
    ok = 0 <= warmup < steps
    require(ok, "warmup_cosine", "warmup", expected=f"0 <= warmup < steps = {steps}", got=warmup)

    def learning_rate(step: Array) -> Array:
        t = jnp.minimum(jnp.asarray(step, float), steps)
        rising = peak * t / max(warmup, 1)
        falling = peak * (1 + jnp.cos(jnp.pi * (t - warmup) / (steps - warmup))) / 2
        return jnp.where(t < warmup, rising, falling)

    return learning_rate


def adamw(
    peak_learning_rate: float,
    steps: int,
    *,
    warmup: int | None = None,
    weight_decay: float = 0.05,
    clip_norm: float = 1.0,
    b2: float = 0.98,
) -> optax.GradientTransformation:
    """AdamW with `warmup_cosine`, after the gradient is scaled down to a norm of `clip_norm`.

    The kernels of linear maps decay; norms, biases, embeddings, positions and `logit_scale` do not.
    `logit_scale` is put back to ln 100 whenever a step would take it beyond, as in CLIP (section
    2.5). `warmup` is a tenth of the steps by default.
    """
    warmup = steps // 10 if warmup is None else warmup
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.adamw(
            warmup_cosine(peak_learning_rate, steps, warmup),
            b2=b2,
            weight_decay=weight_decay,
            mask=kernels_only,
        ),
        cap_logit_scale(),
    )


def cap_logit_scale() -> optax.GradientTransformation:
    """Shortens the step of the leaf called `logit_scale` so that it ends at ln 100 at most.

    The loss caps the scale too, and has no gradient beyond the cap: without this, a `logit_scale`
    that has once passed it would stay there for good.
    """

    def shorten(updates, parameters):
        def one(path, update, parameter):
            if _name(path) != "logit_scale":
                return update
            return jnp.minimum(update, MAX_LOGIT_SCALE - parameter)

        return jax.tree_util.tree_map_with_path(one, updates, parameters)

    return optax.stateless(shorten)


def kernels_only(parameters) -> dict:
    """True for the leaves called `kernel`: the parameters that weight decay is for."""
    return jax.tree_util.tree_map_with_path(lambda path, _: _name(path) == "kernel", parameters)


def _name(path) -> str | None:
    return getattr(path[-1], "key", None)
