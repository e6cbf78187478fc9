"""Exact search against a sort of all scores; ties; memory; wrong arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.evaluation import search

RNG = np.random.default_rng(0)
QUERIES, VECTORS = RNG.standard_normal((3, 5)), RNG.standard_normal((23, 5))


@pytest.mark.parametrize(("k", "block_size"), [(1, 4), (7, 4), (23, 7), (7, 4096)])
def test_it_is_a_sort_of_all_scores(x64, k, block_size):
    """Blocks smaller than k, a last block that is shorter, one block for all."""
    scores, indices = search(jnp.asarray(QUERIES), jnp.asarray(VECTORS), k, block_size=block_size)
    order = np.argsort(-(QUERIES @ VECTORS.T), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, order)
    expected = np.take_along_axis(QUERIES @ VECTORS.T, order, axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-13)
    assert scores.dtype == jnp.float64 and indices.dtype == jnp.int32


@pytest.mark.parametrize(("k", "block_size"), [(3, 256), (5, 512)])
def test_groups_of_neighbours_lose_nothing(k, block_size):
    """Few distinct scores, so that most of the best are ties, in blocks of several groups."""
    vectors = np.random.default_rng(1).integers(-2, 3, (1999, 2)).astype(np.float32)
    queries = np.array([[1, 0], [1, 2], [0, 0]], np.float32)
    scores, indices = search(jnp.asarray(queries), jnp.asarray(vectors), k, block_size=block_size)
    all_scores = queries @ vectors.T
    order = np.argsort(-all_scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(scores, np.take_along_axis(all_scores, order, axis=1))


def test_not_a_number_is_found_in_any_group():
    vectors = np.zeros((300, 1), np.float32)
    vectors[5], vectors[280] = 1, np.nan
    _, indices = search(jnp.ones((1, 1)), jnp.asarray(vectors), 2, block_size=256)
    assert indices.tolist() == [[280, 5]]


def test_of_equal_scores_the_lower_index_comes_first():
    vectors = jnp.asarray(np.tile(np.eye(2, dtype=np.float32), (5, 1)))
    _, indices = search(jnp.eye(2), vectors, 4, block_size=3)
    assert indices.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_scores_of_minus_infinity_keep_their_places():
    vectors = jnp.asarray([[2.0], [-jnp.inf], [4.0], [-jnp.inf]])
    scores, indices = search(jnp.ones((1, 1)), vectors, 4, block_size=2)
    assert indices.tolist() == [[2, 0, 1, 3]]
    assert scores.tolist() == [[4, 2, -np.inf, -np.inf]]


def test_narrow_vectors_are_scored_in_float32():
    queries, vectors = (jnp.asarray(x, jnp.bfloat16) for x in (QUERIES, VECTORS))
    scores, _ = search(queries, vectors, 2)
    assert scores.dtype == jnp.float32
    exact = np.asarray(queries, np.float64) @ np.asarray(vectors, np.float64).T
    np.testing.assert_allclose(scores[:, 0], exact.max(axis=1), rtol=1e-6)


def test_memory_does_not_grow_with_the_vectors():
    def temporaries(number):
        shapes = [jax.ShapeDtypeStruct((n, 16), jnp.float32) for n in (8, number)]
        run = jax.jit(lambda q, v: search(q, v, 10, block_size=256))
        return run.lower(*shapes).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(65536) <= temporaries(4096) + 1024


GOOD = {"queries": QUERIES.astype(np.float32), "vectors": VECTORS.astype(np.float32), "k": 2}
WRONG = {
    "whole numbers": ({"queries": np.ones((3, 5), np.int32)}, TypeError, "queries"),
    "rank": ({"vectors": np.ones(5, np.float32)}, ValueError, "vectors"),
    "nothing to find": ({"vectors": np.ones((0, 5), np.float32)}, ValueError, "vectors"),
    "other width": ({"vectors": np.ones((9, 4), np.float32)}, ValueError, "vectors"),
    "other dtype": ({"vectors": np.ones((9, 5), np.float16)}, TypeError, "vectors"),
    "no places": ({"k": 0}, ValueError, "k"),
    "more than there are": ({"k": 24}, ValueError, "k"),
    "block": ({"block_size": 0}, ValueError, "block_size"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    changed, error, argument = WRONG[name]
    given = GOOD | changed
    with pytest.raises(error, match=f"search: argument '{argument}'"):
        search(given.pop("queries"), given.pop("vectors"), given.pop("k"), **given)


def test_exports_for_every_platform():
    shapes = [jax.ShapeDtypeStruct((n, 4), jnp.float32) for n in (2, 9)]
    every = ("cpu", "cuda", "tpu")
    run = jax.jit(lambda q, v: search(q, v, 3, block_size=4))
    assert jax.export.export(run, platforms=every)(*shapes).platforms == every


def test_every_kind_of_not_a_number_is_found():
    """∞ · 1 − ∞ · 1 is a NaN with the sign bit set on some machines, and counts all the same."""
    vectors = np.zeros((300, 2), np.float32)
    vectors[5], vectors[200] = (np.inf, -np.inf), (1, 1)
    _, indices = search(jnp.ones((1, 2)), jnp.asarray(vectors), 2, block_size=256)
    assert indices.tolist() == [[5, 200]]
