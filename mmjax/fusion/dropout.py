"""Modality dropout: what may be missing in a test must be missing in training.

Source: Neverova et al. (2016), "ModDrop".
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.checks import require
from mmjax.fusion.arguments import check_mapping, check_present


def modality_dropout(present: Mapping[str, Array], rate: float, key: Array) -> dict[str, Array]:
    """Hides each modality of each example with probability `rate`, but never all of them.

    Where all K that are there would be hidden, one of them, each as likely, is kept. So
    p(m is kept) = 1 − rate + rate^K / K.

    present: name → bool [B], what is there; key: a JAX random key. Returns name → bool [B]. What
    was missing stays missing.
    Raises ValueError unless 0 ≤ rate ≤ 1, and for arrays that do not fit.
    Source: Neverova et al. (2016), ModDrop; that one modality always stays is ours.
    """
    where = "modality_dropout"
    require(0 <= rate <= 1, where, "rate", expected="0 <= rate <= 1", got=rate)
    check_mapping(where, "present", present)
    names = tuple(sorted(present))
    shape = getattr(present[names[0]], "shape", ())
    batch = shape[0] if shape else None
    check_present(where, present, batch)
    there = jnp.stack([present[name] for name in names], axis=1)
    drop_key, rescue_key = jax.random.split(key)
    kept = there & ~jax.random.bernoulli(drop_key, float(rate), there.shape)
    lottery = jnp.where(there, jax.random.uniform(rescue_key, there.shape, jnp.float32), -1.0)
    winner = jnp.arange(len(names))[None, :] == lottery.argmax(axis=1, keepdims=True)
    kept = jnp.where(kept.any(axis=1, keepdims=True), kept, winner & there)
    return {name: kept[:, m] for m, name in enumerate(names)}
