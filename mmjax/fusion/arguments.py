"""What every fusion does with its mappings: checks, sorted names, zeros for the missing."""

from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jax import Array

from mmjax.attention import Linear
from mmjax.checks import require, require_type


def check_arrays(
    where: str, groups: Mapping[str, Mapping[str, Array]], present, *, one_width=False
):
    """Checks mappings of features against each other; returns sorted names and `present`, filled.

    one_width: all arrays have one shape [B, E], else only one B.
    """
    (first, arrays), *_ = groups.items()
    check_mapping(where, first, arrays)
    names = tuple(sorted(arrays))
    reference = arrays[names[0]]
    for argument, mapping in groups.items():
        check_names(where, argument, mapping, names)
        for name in names:
            x, which = mapping[name], f"{argument}[{name!r}]"
            is_float = hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
            require_type(is_float, where, which, expected="a floating-point array", got=x)
            require(x.ndim == 2 and 0 not in x.shape, where, which, expected="[B, E_m]", got=x)
            same = x.dtype == reference.dtype
            require_type(same, where, which, expected=f"dtype {reference.dtype}", got=x)
            fits = x.shape == reference.shape if one_width else len(x) == len(reference)
            expected = f"{list(reference.shape)}" if one_width else f"a batch of {len(reference)}"
            require(fits, where, which, expected=expected, got=x)
    if present is None:
        return names, {name: jnp.ones(len(reference), bool) for name in names}
    check_names(where, "present", present, names)
    check_present(where, present, len(reference))
    return names, dict(present)


def check_present(where: str, present: Mapping[str, Array], batch: int | None) -> None:
    """Raises unless `present` holds bool [B] for each of its names."""
    for name, x in present.items():
        which, expected = f"present[{name!r}]", f"bool [{batch or 'B'}] (True = it is there)"
        require_type(getattr(x, "dtype", None) == jnp.bool_, where, which, expected=expected, got=x)
        require(x.shape == (batch,), where, which, expected=expected, got=x)


def check_mapping(where: str, argument: str, mapping) -> None:
    """Raises unless this is a mapping with at least one name."""
    ok = isinstance(mapping, Mapping)
    require_type(ok, where, argument, expected="a mapping from name to array", got=mapping)
    require(len(mapping) > 0, where, argument, expected="at least one modality", got=mapping)


def check_names(where: str, argument: str, mapping, names: tuple[str, ...]) -> None:
    """Raises unless these are the names of the mapping."""
    check_mapping(where, argument, mapping)
    same = set(mapping) == set(names)
    require(same, where, argument, expected=f"the names {list(names)}", got=f"{sorted(mapping)}")


def check_widths(where: str, widths: Mapping[str, int]) -> tuple[str, ...]:
    """The sorted names; raises unless every width is at least 1."""
    ok = len(widths) > 0 and all(width >= 1 for width in widths.values())
    require(ok, where, "widths", expected="name → width, at least 1 each", got=dict(widths))
    return tuple(sorted(widths))


def check_heads(where: str, width: int, heads: int) -> None:
    """Raises unless the heads divide the width."""
    ok = heads >= 1 and width % heads == 0
    require(ok, where, "heads", expected=f"a divisor of the width {width}", got=heads)


def where_present(present: Array, x: Array) -> Array:
    """x [B, E] where present, zero elsewhere, even if x is not a number there."""
    return jnp.where(present[:, None], x, jnp.zeros_like(x))


def shown_features(where: str, features, present) -> dict[str, Array]:
    """The features with zeros where a modality is missing."""
    names, present = check_arrays(where, {"features": features}, present)
    return {name: where_present(present[name], features[name]) for name in names}


def stack_modalities(arrays: Mapping[str, Array], names: tuple[str, ...], present) -> Array:
    """name → [B, E] as [B, K, E], zeros where missing."""
    return jnp.stack([where_present(present[name], arrays[name]) for name in names], axis=1)


def linear_maps(widths: Mapping[str, int], width: int, rngs: nnx.Rngs) -> nnx.Dict:
    """A linear map for each modality, made in sorted order so that a seed means one model."""
    return nnx.Dict({name: Linear(widths[name], width, rngs=rngs) for name in sorted(widths)})
