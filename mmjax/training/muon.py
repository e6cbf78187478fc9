"""Muon: every matrix of weights takes a step that changes all directions alike.

Sources: Jordan et al. (2024), "Muon: An optimizer for hidden layers in neural networks"; Bernstein
& Newhouse (2024), "Old optimizer, new norm: an anthology", for the steepest descent behind it.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from mmjax.checks import require, require_type
from mmjax.training.optimizer import cap_logit_scale, kernels_only, warmup_cosine

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b, c of `orthogonalize`: they lift small singular values fast, and 1 stays only near 1."""


def orthogonalize(matrix: Array, *, steps: int = 5) -> Array:
    """Nearly U Vᵀ for a matrix U Σ Vᵀ: its singular values go to between 0.68 and 1.21.

    X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X, `steps` times, from X = matrix / ‖matrix‖_F.

    An odd polynomial of X changes its singular values σ alone, to a σ + b σ³ + c σ⁵. So no singular
    value decomposition is needed, only products of matrices. Values below about 1/650 of the norm
    need more steps. matrix [..., M, F] floating-point; returns the same shape and dtype; float16,
    whose squares underflow, is computed in float32. A matrix of zeros gives zeros.
    Raises ValueError for a rank below 2, TypeError for other numbers.
    Source: Jordan et al. (2024), "newtonschulz5".
    """
    where = "orthogonalize"
    require(matrix.ndim >= 2, where, "matrix", expected="[..., M, F]", got=matrix)
    is_float = jnp.issubdtype(matrix.dtype, jnp.floating)
    require_type(is_float, where, "matrix", expected="a floating-point array", got=matrix)
    if matrix.dtype == jnp.float16:
        return orthogonalize(matrix.astype(jnp.float32), steps=steps).astype(jnp.float16)
    a, b, c = COEFFICIENTS
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = jnp.swapaxes(matrix, -1, -2) if tall else matrix  # the smaller of X Xᵀ and Xᵀ X
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-8)
    for _ in range(steps):
        square = x @ jnp.swapaxes(x, -1, -2)
        x = a * x + (b * square + c * (square @ square)) @ x
    return jnp.swapaxes(x, -1, -2) if tall else x


def muon(
    peak_learning_rate: float,
    steps: int,
    *,
    warmup: int | None = None,
    momentum: float = 0.95,
    weight_decay: float = 0.05,
    other_learning_rate: float = 2e-3,
    clip_norm: float = 1.0,
    b2: float = 0.98,
) -> optax.GradientTransformation:
    """Muon for the kernels of linear maps, Adam for all else, both with `warmup_cosine`.

    D ← g + μ D;  W ← W − η ( √max(1, F/M) · orthogonalize(g + μ D) + λ W )   for W [M, F]

    with momentum μ, in the form of Nesterov, and weight decay λ. A stack of kernels [L, M, F] is L
    matrices. Norms, biases, embeddings, positions and `logit_scale` are no matrices that map one
    space to another: Adam moves them, at its own rate and without decay. Clipping, `warmup` and the
    cap of `logit_scale` are as in `adamw`. Raises ValueError unless 0 ≤ momentum < 1.
    Source: Jordan et al. (2024).
    """
    ok = 0 <= momentum < 1
    require(ok, "muon", "momentum", expected="0 <= momentum < 1", got=momentum)
    warmup = steps // 10 if warmup is None else warmup
    kernels = optax.chain(
        optax.trace(momentum, nesterov=True),
        optax.stateless(lambda updates, _: jax.tree.map(_direction, updates)),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(warmup_cosine(peak_learning_rate, steps, warmup)),
    )
    others = optax.adam(warmup_cosine(other_learning_rate, steps, warmup), b2=b2)
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.partition({True: kernels, False: others}, kernels_only),
        cap_logit_scale(),
    )


def _direction(update: Array) -> Array:
    """The orthogonal direction; a wide map gets a longer step, as its outputs are more numerous."""
    rows, columns = update.shape[-2:]
    return max(1.0, columns / rows) ** 0.5 * orthogonalize(update)
