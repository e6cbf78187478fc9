"""One space for many modalities: an encoder for each, and vectors of length 1.

Source: Radford et al. (2021), figure 3, with more than two encoders.
"""

import math
from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.checks import require, require_one_of
from mmjax.losses import normalize


class SharedSpace(nnx.Module):
    """y_k = f_k(x_k) / ‖f_k(x_k)‖ for each modality k, and one `logit_scale` for all pairs.

    encoders: for each modality a module whose call gives [B, E]. logit_scale is the logarithm of
    the inverse temperature, which a contrastive loss learns too.
    Raises ValueError without an encoder, or for a modality without one.
    """

    def __init__(self, encoders: Mapping[str, nnx.Module], *, inverse_temperature: float = 10.0):
        where = "SharedSpace"
        require(len(encoders) > 0, where, "encoders", expected="at least one", got=dict(encoders))
        ok = inverse_temperature > 0
        expected = "above 0"
        require(ok, where, "inverse_temperature", expected=expected, got=inverse_temperature)
        self.encoders = nnx.Dict(dict(encoders))
        scale = jnp.asarray(math.log(inverse_temperature), jnp.float32)
        self.logit_scale = nnx.Param(scale)

    def __call__(self, inputs: Mapping[str, tuple[Array, ...]]) -> dict[str, Array]:
        """inputs: for each modality the arguments of its encoder → unit vectors [B, E] of each."""
        for name in inputs:
            require_one_of(name, tuple(self.encoders), "SharedSpace", "inputs")
        return {name: normalize(self.encoders[name](*args)) for name, args in inputs.items()}
