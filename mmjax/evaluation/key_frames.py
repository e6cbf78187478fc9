"""Choosing k frames of a clip: evenly, at random, by change, by score, by coverage, by clusters.

All return k different frames in the order of the clip. Where two frames are equally good, the
earlier one is chosen. Sources: Nemhauser, Wolsey & Fisher (1978), the greedy rule; Lloyd (1982) and
Arthur & Vassilvitskii (2007), k-means and its beginning.
"""

import numpy as np

from mmjax.checks import require


def uniform_frames(length: int, k: int) -> np.ndarray:
    """The middle of each of k equal parts of the clip: ⌊(j + 1/2) T / k⌋ for j = 0 … k − 1."""
    _check_count("uniform_frames", length, k)
    return (2 * np.arange(k) + 1) * length // (2 * k)


def random_frames(length: int, k: int, *, seed: int) -> np.ndarray:
    """k frames, every set of k as likely."""
    _check_count("random_frames", length, k)
    return np.sort(np.random.default_rng(seed).choice(length, k, replace=False))


def change(features: np.ndarray) -> np.ndarray:
    """How much is new at each frame: ‖x_t − x_{t−1}‖, and 0 at the first. [T, F] → [T]."""
    features = _check_features("change", features)
    return np.concatenate([[0.0], np.linalg.norm(np.diff(features, axis=0), axis=1)])


def top_frames(scores: np.ndarray, k: int, *, apart: int = 1) -> np.ndarray:
    """The k highest scores, each at least `apart` frames from those chosen before it.

    c_1 = argmax s_t;  c_j = argmax { s_t : |t − c_i| ≥ apart for all i < j }

    scores [T]. Ties: the earlier frame. Raises ValueError for other shapes, an `apart` below 1,
    scores that are NaN, and if no frame is left before k are chosen.
    """
    where, scores = "top_frames", np.asarray(scores, np.float64)
    require(scores.ndim == 1, where, "scores", expected="[T]", got=scores)
    known = not np.isnan(scores).any()
    require(known, where, "scores", expected="numbers", got="NaN")
    _check_count(where, len(scores), k)
    require(apart >= 1, where, "apart", expected="at least 1", got=apart)
    free, chosen, frames = np.ones(len(scores), bool), [], np.arange(len(scores))
    for _ in range(k):
        expected = f"small enough for {k} frames out of {len(scores)}"
        require(bool(free.any()), where, "apart", expected=expected, got=apart)
        left = np.flatnonzero(free)
        best = left[np.argmax(scores[left])]
        chosen.append(best)
        free &= abs(frames - best) >= apart
    return np.sort(chosen)


def greedy_coverage(similar: np.ndarray, k: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Frame after frame, the one that adds most to f(S) = Σ_t w_t max_{c in S} similar[t, c].

    similar [T, T] and weights [T], both at least 0; weights 1 where not given. f is monotone and
    submodular, so the result has at least 1 − (1 − 1/k)^k > 1 − 1/e of the largest f of k frames.
    Ties: the earlier frame. Raises ValueError for other shapes or negative entries.
    Source: Nemhauser, Wolsey & Fisher (1978).
    """
    where, similar = "greedy_coverage", np.asarray(similar, np.float64)
    square = similar.ndim == 2 and similar.shape[0] == similar.shape[1]
    ok = square and bool((similar >= 0).all())
    require(ok, where, "similar", expected="[T, T], at least 0", got=similar)
    length = len(similar)
    _check_count(where, length, k)
    weights = np.ones(length) if weights is None else np.asarray(weights, np.float64)
    ok = weights.shape == (length,) and bool((weights >= 0).all())
    require(ok, where, "weights", expected=f"[{length}], at least 0", got=weights)
    covered, chosen = np.zeros(length), []
    for _ in range(k):
        gain = weights @ np.maximum(similar - covered[:, None], 0)
        gain[chosen] = -1  # a chosen frame adds nothing; where none does, another is taken
        chosen.append(int(np.argmax(gain)))
        covered = np.maximum(covered, similar[:, chosen[-1]])
    return np.sort(chosen)


def k_means(
    features: np.ndarray, k: int, *, seed: int, restarts: int = 5, rounds: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """k centres μ with a small Σ_t min_j ‖x_t − μ_j‖²: centres [k, F], the cluster of each frame.

    Begins with frames drawn by their squared distance to those drawn before (k-means++), then in
    turns assigns each frame to the nearest centre and moves each centre to the mean of its frames,
    until nothing changes. The best of `restarts` beginnings. Deterministic for a seed.
    Raises ValueError for other shapes, or a k outside 1 … T.
    """
    features = _check_features("k_means", features)
    _check_count("k_means", len(features), k)
    require(restarts >= 1, "k_means", "restarts", expected="at least 1", got=restarts)
    rng, best = np.random.default_rng(seed), None
    for _ in range(restarts):
        centres = _spread(features, k, rng)
        for _ in range(rounds):
            nearest = squared_distances(features, centres).argmin(1)
            moved = np.stack(
                [
                    features[nearest == j].mean(0) if (nearest == j).any() else centres[j]
                    for j in range(k)
                ]
            )
            if np.array_equal(moved, centres):
                break
            centres = moved
        distance = squared_distances(features, centres)
        cost = distance.min(1).sum()
        if best is None or cost < best[0]:
            best = cost, centres, distance.argmin(1)
    return best[1], best[2]


def cluster_frames(features: np.ndarray, k: int, *, seed: int, restarts: int = 5) -> np.ndarray:
    """The frame nearest to each centre of `k_means`; one already taken is left to the first."""
    features = _check_features("cluster_frames", features)
    centres, _ = k_means(features, k, seed=seed, restarts=restarts)
    distance, chosen = squared_distances(features, centres), []
    for j in range(k):
        distance[chosen, j] = np.inf
        chosen.append(int(distance[:, j].argmin()))
    return np.sort(chosen)


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """‖x_t − y_j‖² for x [T, F] and y [k, F]: [T, k], rounding errors below 0 cut off.

    Both are measured from the mean of x: far from the origin the squares would cancel.
    """
    middle = x.mean(0)
    x, y = x - middle, y - middle
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
    return np.maximum(squares, 0)


def _spread(features: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The beginning of k-means++."""
    chosen = [int(rng.integers(len(features)))]
    for _ in range(k - 1):
        distance = squared_distances(features, features[chosen]).min(1)
        distance[chosen] = 0
        total = distance.sum()
        share = distance / total if total > 0 else np.full(len(features), 1 / len(features))
        chosen.append(int(rng.choice(len(features), p=share)))
    return features[chosen].copy()


def _check_count(where: str, length: int, k: int) -> None:
    require(1 <= k <= length, where, "k", expected=f"from 1 to {length} frames", got=k)


def _check_features(where: str, features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float64)
    ok = features.ndim == 2 and 0 not in features.shape
    require(ok, where, "features", expected="[T, F], nothing empty", got=features)
    finite = bool(np.isfinite(features).all())
    require(finite, where, "features", expected="finite numbers", got="NaN or infinity")
    return features
