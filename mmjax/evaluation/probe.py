"""A linear probe: what can be read from frozen features by one linear map.

Source: Alain & Bengio (2017), "Understanding intermediate layers using linear classifier probes";
here with squared error, whose best map is known in closed form.
"""

import numpy as np

from mmjax.checks import require, require_type


def ridge(features, targets, penalty: float) -> np.ndarray:
    """W = (φᵀ φ + λ I)⁻¹ φᵀ Y, φ the features and a column of ones: [S, M], [S, C] → [M + 1, C].

    Raises ValueError for arrays that do not fit, or a penalty λ that is not above 0.
    """
    features, targets = np.asarray(features, np.float64), np.asarray(targets, np.float64)
    ok = features.ndim == 2 and 0 not in features.shape
    require(ok, "ridge", "features", expected="[S, M] with nothing empty", got=features)
    ok, expected = targets.ndim == 2 and len(targets) == len(features), f"[{len(features)}, C]"
    require(ok, "ridge", "targets", expected=expected, got=targets)
    require(penalty > 0, "ridge", "penalty", expected="above 0", got=penalty)
    phi = _with_one(features)
    square = phi.T @ phi + penalty * np.eye(phi.shape[1])
    return np.linalg.solve(square, phi.T @ targets)


def linear_probe(features, labels, new_features, *, penalty: float = 1.0) -> np.ndarray:
    """The class of each of the new features, by a linear map fitted to labelled ones.

    features [S, M], labels int [S], new_features [R, M] → int [R]. The classes are fitted as 0 and
    1 by `ridge`, and the largest output wins. Raises TypeError or ValueError for arrays that do not
    fit.
    """
    where, labels = "linear_probe", np.asarray(labels)
    whole, one = labels.dtype.kind in "iu", labels.ndim == 1 and len(labels) == len(features)
    expected = f"whole numbers [{len(features)}]"
    require_type(whole, where, "labels", expected=expected, got=labels)
    require(one, where, "labels", expected=expected, got=labels)
    new, width = np.asarray(new_features, np.float64), np.shape(features)[-1]
    ok, expected = new.ndim == 2 and new.shape[1] == width, f"[R, {width}]"
    require(ok, where, "new_features", expected=expected, got=new)
    classes, index = np.unique(labels, return_inverse=True)
    weights = ridge(features, np.eye(len(classes))[index], penalty)
    return classes[(_with_one(new) @ weights).argmax(axis=1)]


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)
