"""Section 3.4, equations 38 to 43 and 57: naming, ranks, recall, the ceiling. In float64."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.data import Glyphs, ceiling, split_glyphs
from mmjax.data.glyph_splits import picture_ceiling
from mmjax.evaluation import ensemble_templates, rank_of_target, recall_at_k, zero_shot_scores


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-10)


@pytest.fixture
def random():
    return np.random.default_rng(44)


@pytest.fixture
def cosines(random):
    """Images u [3, E] and candidates v [7, E], unit vectors, and their cosines."""
    u, v = (formulas.normalize(random.normal(size=(count, 5))) for count in (3, 7))
    return u, v, u @ v.T


@pytest.mark.equation("3.4.38")
def test_the_probability_of_a_name(cosines, x64):
    """Pr(k | u) = e^{α u·v_k} / Σ_j e^{α u·v_j}: softmax of the package's scores against loops."""
    u, v, _ = cosines
    left = jax.nn.softmax(14.3 * jnp.asarray(zero_shot_scores(u, v)), axis=1)
    for n, k in np.ndindex(3, 7):
        e = [math.exp(14.3 * sum(u[n] * v[j])) for j in range(7)]
        close(left[n, k], e[k] / sum(e))


@pytest.mark.equation("3.4.39")
@pytest.mark.parametrize("alpha", [0.01, 1.0, 100.0])
def test_the_scale_never_changes_the_answer(cosines, alpha):
    """argmax_k Pr(k | u) = argmax_k u·v_k."""
    u, v, c = cosines
    assert (
        formulas.softmax(alpha * c).argmax(axis=1) == zero_shot_scores(u, v).argmax(axis=1)
    ).all()
    nearest = ((u[:, None] - v[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (c.argmax(axis=1) == nearest).all()


@pytest.mark.equation("3.4.40")
def test_the_rank_counts_ties_against_the_model(random):
    """r_n = 1 + |{k ≠ y_n : c_nk ≥ c_{n y_n}}|: the package and the oracle against sorting."""
    scores = random.integers(0, 4, size=(50, 7)) / 4.0  # many ties
    targets = random.integers(0, 7, size=50)
    right = []
    for row, y in zip(scores, targets, strict=True):
        worst_first = sorted(range(7), key=lambda k, row=row, y=y: (-row[k], k == y))
        right.append(1 + worst_first.index(y))
    assert rank_of_target(scores, targets).tolist() == right
    oracle = [formulas.rank_of_target(row, y) for row, y in zip(scores, targets, strict=True)]
    assert oracle == right
    assert (rank_of_target(np.zeros((4, 7)), np.arange(4)) == 7).all()


@pytest.mark.equation("3.4.41")
@pytest.mark.parametrize("k", [1, 2, 7])
def test_recall(random, k):
    """recall@K = (1/N) Σ_n [r_n ≤ K]."""
    scores, targets = random.integers(0, 4, size=(50, 7)) / 4.0, random.integers(0, 7, size=50)
    hits = 0
    for row, y in zip(scores, targets, strict=True):
        better_or_tied = sum(row[j] >= row[y] for j in range(7) if j != y)
        hits += better_or_tied < k
    close(recall_at_k(scores, targets, k), hits / 50)
    close(formulas.recall_at_k(scores, targets, k), hits / 50)


@pytest.mark.equation("3.4.42")
@pytest.mark.parametrize("k", [1, 2, 5])
def test_guessing(k):
    """E[recall@K] = K / J: the mean over all orders of J distinct scores."""
    orders = np.array(list(itertools.permutations(range(5)))) / 5.0
    close(recall_at_k(orders, np.full(len(orders), 3), k), k / 5)


@pytest.fixture
def alphabet():
    """Ten characters in one face; four of them, held out below, share two pictures."""
    pictures = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    names = tuple(f"LETTER {n}" for n in range(10))
    images = np.array(pictures, np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    glyphs = Glyphs(
        images=np.concatenate([images] * 3),
        labels=np.tile(np.arange(10, dtype=np.int32), 3),
        faces=np.repeat(np.arange(3, dtype=np.int32), 10),
        names=names,
        characters=tuple("abcdefghij"),
        face_names=("A", "B", "C"),
    )
    split = split_glyphs(glyphs, held_out_characters=4, held_out_faces=())
    first, second, third, _ = split.candidates
    shared = glyphs.images.copy()
    shared[second] = shared[second + 10] = shared[first]  # in two of three faces
    shared[third + 20] = shared[first]
    return dataclasses.replace(glyphs, images=shared), split


@pytest.mark.equation("3.4.43")
@pytest.mark.parametrize("k", [1, 2])
def test_the_ceiling_is_the_best_of_all_answers(alphabet, k):
    """recall@K ≤ (1/N) Σ_x Σ of the K largest count(x, k): a search of all lists reaches it."""
    glyphs, split = alphabet
    by_picture = {}
    for q in split.unseen_characters:
        by_picture.setdefault(glyphs.images[q].tobytes(), []).append(glyphs.labels[q])
    lists = list(itertools.combinations(split.candidates, k))
    right = sum(
        max(sum(y in answers for y in labels) for answers in lists)
        for labels in by_picture.values()
    )
    left = picture_ceiling(glyphs, split.unseen_characters, k)
    close(left, right / len(split.unseen_characters))
    assert left < 1
    assert k > 1 or left == ceiling(glyphs, split).top_1


@pytest.mark.equation("3.4.57")
def test_the_ensemble_is_the_direction_closest_to_all_templates(random):
    """No other direction has a larger mean cosine: not the best of 1,000 steps uphill either."""
    texts = random.normal(size=(4, 3, 5)) * random.uniform(0.1, 9, size=(4, 3, 1))  # [R, K, E]
    directions = texts / np.sqrt((texts**2).sum(axis=2, keepdims=True))
    for k, ours in enumerate(ensemble_templates(texts)):
        uphill = formulas.normalize(random.normal(size=5))
        for _ in range(1000):
            uphill = formulas.normalize(uphill + 0.5 * directions[:, k].mean(axis=0))
        close(ours, uphill)
        reached = np.mean([math.fsum(ours * w) for w in directions[:, k]])
        close(reached, math.hypot(*directions[:, k].mean(axis=0)))
        others = formulas.normalize(random.normal(size=(200, 5)))
        assert ((others @ directions[:, k].T).mean(axis=1) < reached).all()
