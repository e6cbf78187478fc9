"""Section 5.2: metrics, the best possible search, exact search in blocks, hubs and the gap.

Ranks, lots and the sum over all scenes are also tested beside the code, in
`tests/evaluation/test_retrieval_groups.py` and `tests/data/test_scenes_matching.py`.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.data import scenes as world
from mmjax.evaluation import (
    chance_recall_at_k,
    median_rank,
    rank_in_groups,
    recall_by_lot,
    recall_in_groups,
    search,
)
from mmjax.losses import all_pairs_loss

RNG = np.random.default_rng(0)


def units(*shape):
    return formulas.normalize(RNG.normal(size=shape))


@pytest.mark.equation("5.2.1")
def test_the_cosine_is_a_distance():
    q, v = units(7, 5), units(7, 5)
    distance = ((q - v) ** 2).sum(axis=1)
    np.testing.assert_allclose((q * v).sum(axis=1), 1 - distance / 2, atol=1e-14)


@pytest.mark.equation("5.2.2")
def test_the_loss_is_the_mean_over_pairs(x64):
    vectors = {name: units(5, 7) for name in ("text", "image", "video")}
    pairs = [("text", "image"), ("text", "video")]
    by_hand = 0.0
    for j, k in pairs:
        z = 7.0 * vectors[j] @ vectors[k].T
        own = np.diag(z)
        rows = np.log(np.exp(z).sum(axis=1)) - own
        columns = np.log(np.exp(z).sum(axis=0)) - own
        by_hand += (rows.mean() + columns.mean()) / 2 / len(pairs)
    assert formulas.all_pairs_loss(vectors, 7.0, pairs) == pytest.approx(by_hand, rel=1e-12)
    arrays = {k: jnp.asarray(v) for k, v in vectors.items()}
    found = all_pairs_loss(arrays, jnp.log(7.0), pairs=pairs)
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)


@pytest.mark.equation("5.2.3", "5.2.4")
def test_rank_and_recall_of_groups():
    scores = RNG.integers(0, 5, (7, 11)).astype(float)
    queries, candidates = RNG.integers(0, 3, 7), np.arange(11) % 3
    right = queries[:, None] == candidates
    ranks = [formulas.rank_in_group(*pair) for pair in zip(scores, right, strict=True)]
    np.testing.assert_array_equal(rank_in_groups(scores, queries, candidates), ranks)
    for K in (1, 5, 10):
        expected = sum(rank <= K for rank in ranks) / 7
        assert recall_in_groups(scores, queries, candidates, K) == pytest.approx(expected)
    # The package's median is for one right candidate a query: the first right one, alone.
    alone = [np.flatnonzero(own)[scores[n][own].argmax()] for n, own in enumerate(right)]
    others = np.where(right, -np.inf, scores)
    others[np.arange(7), alone] = scores[np.arange(7), alone]
    assert median_rank(others, np.array(alone)) == np.median(ranks) == sorted(ranks)[3]


@pytest.mark.equation("5.2.5")
def test_the_reciprocal_rank_is_a_weighted_mean_of_recalls():
    ranks = np.array([1, 1, 2, 5, 11])
    M = 11
    recalls = [np.mean(ranks <= K) for K in range(1, M + 1)]
    # From K = M on every recall is 1, and the weights 1 / (K (K + 1)) left over add up to 1 / M.
    mean = sum(r / (K * (K + 1)) for K, r in enumerate(recalls[:-1], start=1)) + 1 / M
    assert formulas.reciprocal_rank(ranks) == pytest.approx(mean, rel=1e-14)
    assert formulas.reciprocal_rank(ranks) == pytest.approx((1 / ranks).mean(), rel=1e-14)


@pytest.mark.equation("5.2.6")
@pytest.mark.parametrize(("r", "M"), [(1, 7), (3, 7)])
def test_chance_is_a_count_of_choices(r, M):
    for K in range(1, M + 1):
        choices = list(itertools.combinations(range(M), K))
        counted = sum(any(m < r for m in chosen) for chosen in choices) / len(choices)
        assert formulas.chance_recall(r, M, K) == pytest.approx(counted, rel=1e-14)
        assert chance_recall_at_k(r, M, K) == pytest.approx(counted, rel=1e-14)
        if r == 1:
            assert counted == pytest.approx(K / M, rel=1e-14)


@pytest.mark.equation("5.2.7")
def test_a_hit_by_lot_is_a_count_of_orders():
    right = np.array([True, False, True, False, False, False])
    for scores in ([1, 1, 1, 1, 0, 2], [0, 0, 0, 0, 0, 0], [1, 2, 0, 1, 1, 2]):
        best = max(s for s, r in zip(scores, right, strict=True) if r)
        b = sum(s > best for s in scores)
        r = sum(s == best for s, own in zip(scores, right, strict=True) if own)
        w = sum(s == best for s, own in zip(scores, right, strict=True) if not own)
        for K in range(1, 7):
            closed = 1 - math.comb(w, K - b) / math.comb(r + w, K - b) if b < K <= b + r + w else 0
            closed = closed if K <= b + r + w else 1.0
            counted = formulas.hit_by_lot(scores, right, K)
            assert closed == pytest.approx(counted, rel=1e-14)
            groups = np.where(right, 0, 1)
            package = recall_by_lot(np.array([scores], float), np.array([0]), groups, K)
            assert package == pytest.approx(counted, rel=1e-14)


@pytest.mark.equation("5.2.8")
def test_the_fit_is_the_posterior_of_being_right():
    """All of a small world: a scene of 3, a query of 4 values, candidates of 3 values, M = 3."""
    prior = RNG.dirichlet(np.ones(3))
    query, signal = RNG.dirichlet(np.ones(4), 3), RNG.dirichlet(np.ones(3), 3)  # p(· | scene)
    w = (prior[:, None] * query).T @ signal
    w /= np.outer(prior @ query, prior @ signal)
    match = formulas.match(query[:, 2], signal[:, 1], prior)
    assert match == pytest.approx(w[2, 1], rel=1e-13)
    for q, *x in itertools.product(range(4), *[range(3)] * 3):
        joint = np.zeros(3)  # p(q, x_1, x_2, x_3) when candidate m has the scene of the query
        for scenes in itertools.product(range(3), repeat=3):
            p = math.prod(prior[s] * signal[s, value] for s, value in zip(scenes, x, strict=True))
            joint += [p * query[s, q] / 3 for s in scenes]
        fit = w[q, x]
        np.testing.assert_allclose(joint / joint.sum(), fit / fit.sum(), rtol=1e-12)


@pytest.mark.equation("5.2.9")
def test_the_lanes_are_independent_given_which_are_held():
    tables = np.full((2, 1, 3, 481), -np.inf)
    tables[..., [0, 3, 480]] = RNG.normal(size=(2, 1, 3, 3))
    a, b = np.exp(tables[:, 0])
    objects, total, parts = (2, 3), {}, {0: a, 1: b}
    for which in ("a", "b", "both"):
        chosen = {"a": [0], "b": [1], "both": [0, 1]}[which]
        product = np.prod([parts[c] for c in chosen], axis=0)
        value = 0.0
        for columns in itertools.product((0, 3, 480), repeat=3):
            n = sum(c > 0 for c in columns)
            if n in objects:
                p = 1 / len(objects) / math.comb(3, n) / 480**n
                value += p * math.prod(product[lane, c] for lane, c in enumerate(columns))
        total[which] = value
    expected = math.log(total["both"] / (total["a"] * total["b"]))
    found = world.best_match(tables[0], tables[1], objects=objects)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.equation("5.2.10")
def test_the_share_of_scenes_that_are_alone():
    p = RNG.dirichlet(np.ones(4))
    N, alone = 3, 0.0
    for kinds in itertools.product(range(4), repeat=N):
        share = sum(kinds.count(c) == 1 for c in kinds) / N
        alone += share * math.prod(p[c] for c in kinds)
    assert formulas.share_unique(p, N) == pytest.approx(alone, rel=1e-13)
    two, three = 3 * 120**2, 120**3
    scenes = [0.5 * (1 - 0.5 / C) ** 999 for C in (two, three)]
    assert f"{sum(scenes):.1%}" == "99.4%"  # as the page says
    sampled = world.render_captions(world.sample_scenes(1000, seed=1, objects=(2, 3)))
    assert abs(np.mean([sampled.count(c) == 1 for c in sampled]) - sum(scenes)) < 0.015


@pytest.mark.equation("5.2.11")
@pytest.mark.parametrize(("objects", "captions"), [(2, 128), (3, 3072)])
def test_the_number_of_captions_of_a_scene(objects, captions):
    forms = [len(world.captions.WORDS[name][0]) for name in ("size", "colour", "shape", "motion")]
    assert all(
        len(words) == count
        for name, count in zip(("size", "colour", "shape", "motion"), forms, strict=True)
        for words in world.captions.WORDS[name]
    )
    assert formulas.number_of_captions(objects, forms) == captions
    clauses = itertools.product(*(range(f) for f in forms))
    orders = itertools.permutations(range(objects))
    listed = itertools.product(orders, itertools.product(clauses, repeat=objects))
    assert sum(1 for _ in listed) == captions


@pytest.mark.equation("5.2.12")
def test_the_scores_of_two_signals_add_up():
    q, u, v = units(3, 7), units(7), units(7)
    left = q @ formulas.normalize(u + v)
    right = (q @ u + q @ v) / math.sqrt(2 + 2 * u @ v)
    np.testing.assert_allclose(left, right, rtol=1e-13)


@pytest.mark.equation("5.2.13")
@pytest.mark.parametrize(("k", "size"), [(1, 4), (5, 3), (7, 100)])
def test_the_best_of_blocks_are_the_best_of_all(x64, k, size):
    E = 3
    vectors, queries = RNG.integers(-2, 3, (29, E)).astype(float), RNG.normal(size=(2, E)).round()
    scores, indices = search(jnp.asarray(queries), jnp.asarray(vectors), k, block_size=size)
    for n, row in enumerate(queries @ vectors.T):
        values, order = formulas.top_k(row.tolist(), k)
        assert formulas.top_k_in_blocks(row.tolist(), k, size) == (values, order)
        assert scores[n].tolist() == values and indices[n].tolist() == order


@pytest.mark.equation("5.2.14")
@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_best_lie_in_the_groups_of_the_largest_maxima(k):
    for seed in range(5):
        A = np.random.default_rng(seed).integers(0, 4, 35).astype(float)  # 5 groups of 7, ties
        groups = A.reshape(5, 7)
        _, chosen = formulas.top_k(groups.max(axis=1).tolist(), k)
        inside = [int(i) for g in sorted(chosen) for i in range(7 * g, 7 * g + 7)]
        values, places = formulas.top_k(A[inside].tolist(), k)
        assert (values, [inside[i] for i in places]) == formulas.top_k(A.tolist(), k)


@pytest.mark.equation("5.2.15")
def test_operations_and_memory_of_a_search():
    Q, E, b, k = 8, 16, 256, 3

    def compiled(N):
        shapes = [jax.ShapeDtypeStruct((n, E), jnp.float32) for n in (Q, N)]
        return jax.jit(lambda q, v: search(q, v, k, block_size=b)).lower(*shapes).compile()

    small, large = (compiled(N).memory_analysis().temp_size_in_bytes for N in (2048, 32768))
    assert large <= small + 1024  # not a question of N
    assert large <= 4 * Q * 4 * (b + 64 * k)  # numbers of 4 bytes; all scores would be 4 Q N
    # With one block there is no loop, so the compiler counts all: the products, and the few
    # comparisons of the choice, which do not depend on E.
    wide, narrow = (
        jax.jit(lambda q, v: search(q, v, k, block_size=64))
        .lower(*(jax.ShapeDtypeStruct((n, width), jnp.float32) for n in (Q, 64)))
        .compile()
        .cost_analysis()["flops"]
        for width in (2 * E, E)
    )
    assert wide - narrow == formulas.search_operations(Q, 64, E)


@pytest.mark.equation("5.2.16", "5.2.17")
def test_hubs_are_counted_and_their_skewness():
    Q, M, k = 11, 7, 3
    scores = RNG.normal(size=(Q, M))
    counts = formulas.occurrences(scores, k)
    assert counts.sum() == Q * k
    order = np.argsort(-scores, axis=1)[:, :k]
    np.testing.assert_array_equal(counts, np.bincount(order.ravel(), minlength=M))
    centred = counts - Q * k / M
    by_hand = (centred**3).mean() / math.sqrt((centred**2).mean()) ** 3
    assert formulas.skewness(counts) == pytest.approx(by_hand, rel=1e-12)
    # One candidate that everybody has, the others alike: (M − 2) / √(M − 1).
    assert formulas.skewness([5.0] + [1.0] * 6) == pytest.approx(5 / math.sqrt(6), rel=1e-12)


@pytest.mark.equation("5.2.18")
def test_the_gap_is_the_distance_of_the_means():
    u, v = units(5, 3), units(7, 3)
    assert formulas.modality_gap(u, v) == pytest.approx(np.linalg.norm(u.mean(0) - v.mean(0)))
    # Two clouds of one point each, at a right angle.
    e = np.eye(3)
    assert formulas.modality_gap(e[[0, 0]], e[[1]]) == pytest.approx(math.sqrt(2))


@pytest.mark.equation("5.2.19")
def test_moving_the_candidates_changes_no_ranking():
    q, v = units(5, 3), units(7, 3)
    a, c = q.mean(axis=0), v.mean(axis=0)
    left = (q - a) @ (v - c).T
    right = q @ v.T - v @ a - ((q - a) @ c)[:, None]
    np.testing.assert_allclose(left, right, atol=1e-14)
    order = np.argsort(-(q @ v.T), axis=1)
    np.testing.assert_array_equal(np.argsort(-(q @ (v - c).T), axis=1), order)
