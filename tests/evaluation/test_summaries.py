"""Measures of a choice of frames: the formulas, the best matching by other means, errors."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from mmjax import formulas
from mmjax.evaluation.summaries import (
    coverage,
    diversity,
    key_frame_score,
    match_frames,
    similarity,
)


def draw_frames(rng, most=7, length=13):
    return rng.choice(length, rng.integers(1, most), replace=False)


@pytest.mark.equation("5.3.3")
@pytest.mark.parametrize("tolerance", [0, 1, 2, 4])
def test_the_matching_is_the_largest(tolerance):
    rng = np.random.default_rng(tolerance)
    for _ in range(150):
        chosen, truth = draw_frames(rng), draw_frames(rng)
        near = abs(chosen[:, None] - truth[None, :]) <= tolerance
        rows, columns = linear_sum_assignment(near, maximize=True)
        pairs = match_frames(chosen, truth, tolerance=tolerance)
        assert pairs == near[rows, columns].sum()
        if min(len(chosen), len(truth)) < 4:
            assert pairs == formulas.matched_pairs(chosen, truth, tolerance)


def test_two_frames_of_one_event_are_one_pair():
    assert match_frames([4, 5, 6], [5], tolerance=1) == 1
    assert match_frames([5], [4, 6], tolerance=1) == 1
    assert match_frames([5, 7], [4, 6], tolerance=1) == 2  # the nearest first would leave one out


@pytest.mark.equation("5.3.4")
def test_precision_recall_and_f1():
    score = key_frame_score([2, 9, 20], [3, 30], tolerance=1)
    assert score == (1 / 3, 1 / 2, pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2)))
    rng = np.random.default_rng(0)
    for _ in range(30):
        chosen, truth = draw_frames(rng), draw_frames(rng)
        p, r, f1 = key_frame_score(chosen, truth, tolerance=2)
        m = match_frames(chosen, truth, tolerance=2)
        np.testing.assert_allclose([p, r], [m / len(chosen), m / len(truth)], rtol=1e-15)
        harmonic = 2 * p * r / (p + r) if m else 0.0
        np.testing.assert_allclose(f1, harmonic, rtol=1e-14)


@pytest.fixture(scope="module")
def similar():
    return similarity(np.random.default_rng(1).normal(size=(7, 5)))


def test_similarity_is_from_0_to_1_and_forgets_length():
    x = np.array([[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0], [5.0, 0.0]])
    expected = [[1, 0.5, 0, 1], [0.5, 1, 0.5, 0.5], [0, 0.5, 1, 0], [1, 0.5, 0, 1]]
    np.testing.assert_allclose(similarity(x), expected, atol=1e-15)


@pytest.mark.equation("5.3.5")
def test_coverage(similar):
    np.testing.assert_allclose(
        coverage(similar, [5, 2]), formulas.frame_coverage(similar, [5, 2]), rtol=1e-14
    )
    assert coverage(similar, range(7)) == pytest.approx(1, abs=1e-15)


@pytest.mark.equation("5.3.6")
def test_diversity(similar):
    x = np.random.default_rng(1).normal(size=(7, 5))
    cosine = x @ x.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(x, axis=1)[None]
    np.testing.assert_allclose(similar, (1 + cosine) / 2, atol=1e-14)
    np.testing.assert_allclose(
        diversity(similar, [5, 2, 3]), formulas.frame_diversity((1 + cosine) / 2, [5, 2, 3])
    )
    assert diversity(np.ones((3, 3)), [0, 2]) == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: match_frames([1, 1], [2], tolerance=1), ValueError, "'chosen': expected every"),
        (lambda: match_frames([1], [2.0], tolerance=1), TypeError, "'truth': expected whole"),
        (lambda: match_frames([1], [2], tolerance=-1), ValueError, "'tolerance'"),
        (lambda: key_frame_score([], [2], tolerance=1), ValueError, "'chosen': expected at least"),
        (lambda: key_frame_score([2], [], tolerance=1), ValueError, "'truth': expected at least"),
        (lambda: similarity(np.zeros((2, 3))), ValueError, "zeros in frames"),
        (lambda: similarity(np.zeros(3)), ValueError, "'features'"),
        (lambda: coverage(np.ones((3, 3)), [3]), ValueError, "frames from 0 to 2"),
        (lambda: coverage(np.ones((3, 3)), []), ValueError, "at least one"),
        (lambda: coverage(np.ones((3, 2)), [0]), ValueError, "'similar'"),
        (lambda: diversity(np.ones((3, 3)), [1]), ValueError, "at least two"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
