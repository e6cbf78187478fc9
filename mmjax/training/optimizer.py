"""The optimizer of the course: AdamW, warm-up, cosine decay, gradient clipping.

Sources: Loshchilov & Hutter (2019), AdamW; Loshchilov & Hutter (2017), cosine decay; Goyal et al.
(2017), warm-up; Pascanu et al. (2013), clipping by the global norm.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from mmjax.checks import require


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
    warmup: int = 100,
    weight_decay: float = 0.05,
    clip_norm: float = 1.0,
    b2: float = 0.98,
) -> optax.GradientTransformation:
    """AdamW with `warmup_cosine`, after the gradient is scaled down to a norm of `clip_norm`.

    The kernels of linear maps decay; norms, biases, embeddings, positions and `logit_scale` do not.
    """
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.adamw(
            warmup_cosine(peak_learning_rate, steps, warmup),
            b2=b2,
            weight_decay=weight_decay,
            mask=kernels_only,
        ),
    )


def kernels_only(parameters) -> dict:
    """True for the leaves called `kernel`: the parameters that weight decay is for."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "kernel", parameters
    )
