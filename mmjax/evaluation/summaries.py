"""How good is a choice of key frames? Precision, recall and F1; coverage and diversity.

A chosen frame and a true one match if they are at most `tolerance` frames apart, and each is
matched at most once. Source: de Avila et al. (2011), VSUMM, for one-to-one matching of key frames.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmjax.checks import require, require_type


class Score(NamedTuple):
    """precision, recall and their harmonic mean f1, each from 0 to 1."""

    precision: float
    recall: float
    f1: float


def match_frames(chosen: Sequence[int], truth: Sequence[int], *, tolerance: int) -> int:
    """The largest number of pairs (c, t) with |c − t| ≤ tolerance, no frame in two of them.

    Both in order, the first two are a pair if they are near; else the earlier one fits nothing and
    is passed over. With one tolerance for all this is the maximum matching.
    Raises TypeError for frames that are no whole numbers, ValueError for a frame that occurs twice
    or a negative tolerance.
    """
    where = "match_frames"
    require(tolerance >= 0, where, "tolerance", expected="at least 0", got=tolerance)
    lists = [_frames(where, "chosen", chosen), _frames(where, "truth", truth)]
    i = j = pairs = 0
    while i < len(lists[0]) and j < len(lists[1]):
        c, t = lists[0][i], lists[1][j]
        near = abs(c - t) <= tolerance
        pairs += near
        i, j = i + (near or c < t), j + (near or t < c)
    return int(pairs)


def key_frame_score(chosen: Sequence[int], truth: Sequence[int], *, tolerance: int) -> Score:
    """precision = pairs / k, recall = pairs / |truth|, F1 = 2 pairs / (k + |truth|).

    Pairs as `match_frames` counts them. Raises as that, and ValueError where nothing is chosen or
    nothing is true: then there is nothing to divide by.
    """
    for name, frames in (("chosen", chosen), ("truth", truth)):
        expected = "at least one frame"
        require(len(frames) > 0, "key_frame_score", name, expected=expected, got="none")
    pairs, k, n = match_frames(chosen, truth, tolerance=tolerance), len(chosen), len(truth)
    return Score(pairs / k, pairs / n, 2 * pairs / (k + n))


def similarity(features: np.ndarray) -> np.ndarray:
    """How alike two frames are, from 0 to 1: (1 + cos) / 2 of features [T, F] → float64 [T, T].

    Raises ValueError for another rank, or a frame whose features are all zero: it has no direction.
    """
    features = np.asarray(features, np.float64)
    ok = features.ndim == 2 and 0 not in features.shape
    require(ok, "similarity", "features", expected="[T, F], nothing empty", got=features)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    expected = "no frame of zeros"
    zeros = f"zeros in frames {np.flatnonzero(length[:, 0] == 0).tolist()}"
    require(bool((length > 0).all()), "similarity", "features", expected=expected, got=zeros)
    unit = features / length
    return np.clip((1 + unit @ unit.T) / 2, 0, 1)


def coverage(similar: np.ndarray, chosen: Sequence[int]) -> float:
    """(1/T) Σ_t max_{c chosen} similar[t, c]: 1 if every frame has its like among the chosen.

    similar [T, T] with values from 0 to 1. Raises for frames outside of it, or none.
    """
    chosen = _inside("coverage", similar, chosen)
    require(len(chosen) > 0, "coverage", "chosen", expected="at least one frame", got="none")
    return float(np.asarray(similar)[:, chosen].max(1).mean())


def diversity(similar: np.ndarray, chosen: Sequence[int]) -> float:
    """The mean of 1 − similar[c, c'] over the pairs of different chosen frames.

    similar [T, T]. Raises for frames outside of it, or fewer than two.
    """
    chosen = _inside("diversity", similar, chosen)
    k, expected = len(chosen), "at least two frames"
    require(k >= 2, "diversity", "chosen", expected=expected, got=f"{k} frames")
    among = 1 - np.asarray(similar)[np.ix_(chosen, chosen)]
    return float((among.sum() - np.trace(among)) / (k * (k - 1)))


def _frames(where: str, name: str, frames: Sequence[int]) -> np.ndarray:
    """The frames in order, once each."""
    array = np.asarray(frames)
    whole = array.size == 0 or np.issubdtype(array.dtype, np.integer)
    require_type(whole, where, name, expected="whole numbers", got=array)
    require(array.ndim == 1, where, name, expected="a list of frames", got=array)
    array = np.unique(array.astype(int))
    expected = "every frame once"
    require(len(array) == len(frames), where, name, expected=expected, got=str(list(frames)))
    return array


def _inside(where: str, similar: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    shape = np.shape(similar)
    square = len(shape) == 2 and shape[0] == shape[1]
    require(square, where, "similar", expected="[T, T]", got=str(list(shape)))
    chosen = _frames(where, "chosen", chosen)
    ok = len(chosen) == 0 or (chosen[0] >= 0 and chosen[-1] < shape[0])
    expected = f"frames from 0 to {shape[0] - 1}"
    require(ok, where, "chosen", expected=expected, got=str(chosen.tolist()))
    return chosen
