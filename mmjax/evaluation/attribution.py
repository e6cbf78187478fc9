"""What a model looked at: maps over patches, and whether they point at the right place.

Sources: Zhang et al. (2018), the pointing game; Zeiler and Fergus (2014), occlusion.
"""

from collections.abc import Callable

import numpy as np

from mmjax.checks import require, require_type


def occlusion_map(
    score: Callable[[np.ndarray], np.ndarray],
    pictures: np.ndarray,
    patch: int,
    *,
    fill: float = 0.0,
) -> np.ndarray:
    """How far the score falls when a patch is painted over: [N, rows, columns].

    Δ_j = score(x) − score(x with the pixels of patch j set to `fill`)

    score: pictures [N, S, S, …] → [N]; patch: the side of a patch in pixels. The painted picture is
    one that the model has not seen the like of, so Δ also holds what the paint itself does.
    Raises TypeError for pictures of whole numbers, into which `fill` might not fit; ValueError for
    pictures that are not square, a patch that does not divide their side, or scores not [N].
    """
    where, pictures = "occlusion_map", np.asarray(pictures)
    ok = pictures.ndim >= 3 and pictures.shape[1] == pictures.shape[2]
    require(ok, where, "pictures", expected="[N, S, S, …]", got=pictures)
    is_float = np.issubdtype(pictures.dtype, np.floating)
    require_type(is_float, where, "pictures", expected="a floating-point array", got=pictures)
    side = pictures.shape[1]
    ok = patch >= 1 and side % patch == 0
    require(ok, where, "patch", expected=f"a divisor of the side {side}", got=patch)
    before, number = np.asarray(score(pictures)), side // patch
    ok = before.shape == (len(pictures),)
    require(ok, where, "score", expected=f"scores [{len(pictures)}]", got=before)
    fall = np.empty((len(pictures), number, number))
    for row, column in np.ndindex(number, number):
        painted = pictures.copy()
        rows, columns = (slice(patch * i, patch * (i + 1)) for i in (row, column))
        painted[:, rows, columns] = fill
        fall[:, row, column] = before - np.asarray(score(painted))
    return fall


def pointing_game(maps: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the largest entry of each map is the target: float64 [N], 1 for a hit, 0 for a miss.

    maps [N, rows, columns]; targets int [N, 2], row and column of the right entry. Of m equal
    largest entries the target counts 1/m, so a constant map scores as a blind guess does.
    Raises ValueError for arrays that do not fit, targets outside the map, or NaN.
    """
    where, maps, targets = "pointing_game", np.asarray(maps), np.asarray(targets)
    ok = maps.ndim == 3 and 0 not in maps.shape
    require(ok, where, "maps", expected="[N, rows, columns]", got=maps)
    require(not np.isnan(maps).any(), where, "maps", expected="no NaN", got="NaN")
    ok = targets.shape == (len(maps), 2) and targets.dtype.kind in "iu"
    require(ok, where, "targets", expected=f"whole numbers [{len(maps)}, 2]", got=targets)
    inside = bool((targets >= 0).all() and (targets < maps.shape[1:]).all())
    expected = f"rows and columns of a map {list(maps.shape[1:])}"
    require(inside, where, "targets", expected=expected, got=f"{targets.min()} to {targets.max()}")
    top = maps == maps.max(axis=(1, 2), keepdims=True)
    hit = top[np.arange(len(maps)), targets[:, 0], targets[:, 1]]
    return hit / top.sum(axis=(1, 2))


def sum_over_patches(maps: np.ndarray, patch: int) -> np.ndarray:
    """[N, S, S] → [N, S / patch, S / patch], each entry the sum over its pixels.

    Raises ValueError for a patch that does not divide the side.
    """
    where, maps = "sum_over_patches", np.asarray(maps)
    ok = maps.ndim == 3 and patch >= 1 and not any(side % patch for side in maps.shape[1:])
    require(ok, where, "maps", expected=f"[N, S, S] with S a multiple of {patch}", got=maps)
    number, rows, columns = maps.shape
    return maps.reshape(number, rows // patch, patch, columns // patch, patch).sum(axis=(2, 4))
