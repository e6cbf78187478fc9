"""Ways to choose frames: the formulas, brute force, scipy, properties, errors."""

import itertools

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from mmjax import formulas
from mmjax.evaluation.key_frames import (
    change,
    cluster_frames,
    greedy_coverage,
    k_means,
    random_frames,
    top_frames,
    uniform_frames,
)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_uniform_frames_are_the_middles_of_equal_parts():
    assert uniform_frames(48, 3).tolist() == [8, 24, 40]
    assert uniform_frames(7, 2).tolist() == [1, 5]
    assert uniform_frames(5, 5).tolist() == [0, 1, 2, 3, 4]


def test_random_frames_are_every_set_as_often():
    drawn = [tuple(random_frames(5, 2, seed=s).tolist()) for s in range(1000)]
    counts = [drawn.count(pair) for pair in itertools.combinations(range(5), 2)]
    assert sum(counts) == 1000 and min(counts) > 50 and max(counts) < 150


def test_change_is_the_step_from_the_frame_before():
    x = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0], [3.0, 3.0]])
    np.testing.assert_allclose(change(x), [0, 5, 0, 1])


@pytest.mark.equation("5.3.16")
@pytest.mark.parametrize("apart", [1, 2, 3])
def test_the_highest_scores_that_are_apart(apart):
    for seed in range(30):
        scores = np.random.default_rng(seed).integers(0, 4, 17).astype(float)  # with many ties
        chosen = top_frames(scores, 3, apart=apart).tolist()
        assert chosen == formulas.top_frames(scores, 3, apart)
        assert min(np.diff(chosen)) >= apart


def test_a_tie_goes_to_the_earlier_frame():
    assert top_frames(np.zeros(9), 3, apart=3).tolist() == [0, 3, 6]
    scores = np.array([0, 5, 5, 1, np.inf, -np.inf])
    assert top_frames(scores, 2, apart=2).tolist() == [1, 4]


@pytest.mark.equation("5.3.17", "5.3.19")
@pytest.mark.parametrize("k", [1, 2, 3])
def test_greedy_coverage_is_near_the_best(k):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        similar, weights = rng.random((7, 7)) ** 3, rng.random(7)

        def f(chosen, similar=similar, weights=weights):
            literal = formulas.facility_location(similar, weights, chosen)
            fast = weights @ similar[:, list(chosen)].max(1)
            np.testing.assert_allclose(fast, literal, rtol=1e-13)
            return literal

        best = max(map(f, itertools.combinations(range(7), k)))
        got = f(greedy_coverage(similar, k, weights))
        assert best * (1 - (1 - 1 / k) ** k) - 1e-12 <= got <= best + 1e-12
        assert 1 - (1 - 1 / k) ** k > 1 - np.exp(-1)
        if k == 1:
            assert got == pytest.approx(best)


def test_greedy_adds_the_frame_that_adds_most():
    similar = np.random.default_rng(5).random((7, 7))
    steps = [greedy_coverage(similar, k) for k in range(1, 5)]
    for fewer, more in itertools.pairwise(steps):
        (added,) = set(more) - set(fewer)
        values = {
            c: formulas.facility_location(similar, np.ones(7), [*fewer, c])
            for c in set(range(7)) - set(fewer)
        }
        assert values[added] == pytest.approx(max(values.values()))


def test_greedy_chooses_different_frames_where_nothing_is_left_to_add():
    assert greedy_coverage(np.ones((4, 4)), 3).tolist() == [0, 1, 2]


@pytest.mark.equation("5.3.21")
def test_k_means_finds_the_best_of_all_clusterings():
    x = draw(3, 7, 2)
    centres, cluster = k_means(x, 2, seed=0, restarts=20)
    cost = ((x - centres[cluster]) ** 2).sum()
    np.testing.assert_allclose(cost, formulas.k_means_cost(x, centres), rtol=1e-12)
    best = np.inf
    for labels in itertools.product((0, 1), repeat=7):
        labels = np.array(labels)
        if 0 < labels.sum() < 7:
            means = np.stack([x[labels == j].mean(0) for j in (0, 1)])
            best = min(best, ((x - means[labels]) ** 2).sum())
    np.testing.assert_allclose(cost, best, rtol=1e-12)


def test_k_means_ends_where_scipy_stays():
    x = draw(4, 31, 3)
    centres, cluster = k_means(x, 5, seed=1)
    theirs, labels = kmeans2(x, centres, iter=20, minit="matrix")
    np.testing.assert_allclose(theirs, centres, atol=1e-12)
    np.testing.assert_array_equal(labels, cluster)


def test_k_means_is_the_same_for_a_seed_and_begins_apart():
    x = np.repeat(np.array([[0.0, 0], [9, 0], [0, 9]]), (20, 20, 1), axis=0) + 0.01 * draw(6, 41, 2)
    for seed in range(5):  # drawn by distance, the lone frame is a beginning nearly always
        centres, cluster = k_means(x, 3, seed=seed, restarts=1)
        np.testing.assert_array_equal(centres, k_means(x, 3, seed=seed, restarts=1)[0])
        assert sorted(np.bincount(cluster)) == [1, 20, 20]


def test_k_means_far_from_the_origin():
    x = np.array([[0.0], [0.001], [0.002], [0.01]])
    for offset in (0.0, 1e6):
        assert k_means(x + offset, 2, seed=0)[1].tolist() in ([0, 0, 0, 1], [1, 1, 1, 0])


def test_cluster_frames_are_the_frames_nearest_to_the_centres():
    x = draw(7, 13, 2)
    centres, _ = k_means(x, 3, seed=2)
    nearest = {int(((x - c) ** 2).sum(1).argmin()) for c in centres}
    assert set(cluster_frames(x, 3, seed=2).tolist()) == nearest
    assert len(set(cluster_frames(np.zeros((5, 2)), 3, seed=0).tolist())) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniform_frames(5, 6), "'k': expected from 1 to 5"),
        (lambda: random_frames(5, 0, seed=0), "'k'"),
        (lambda: change(np.zeros(3)), "'features'"),
        (lambda: top_frames(np.zeros((2, 2)), 1), "'scores'"),
        (lambda: top_frames(np.array([1.0, np.nan]), 1), "NaN"),
        (lambda: top_frames(np.zeros(5), 3, apart=3), "small enough for 3 frames out of 5"),
        (lambda: top_frames(np.zeros(5), 3, apart=0), "'apart': expected at least 1"),
        (lambda: greedy_coverage(-np.ones((2, 2)), 1), "'similar'"),
        (lambda: greedy_coverage(np.ones((2, 2)), 1, np.ones(3)), "'weights'"),
        (lambda: k_means(np.zeros((3, 2)), 4, seed=0), "'k'"),
        (lambda: cluster_frames(np.full((3, 2), np.nan), 2, seed=0), "'features': expected finite"),
        (lambda: k_means(np.zeros((3, 2)), 2, seed=0, restarts=0), "'restarts'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
