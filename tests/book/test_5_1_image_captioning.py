"""Section 5.1: what a picture tells, in nats, and the word F1. The other equations of the page are
tested beside the code: the loss, the captioners, decoding and the caption metrics."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from mmjax.data import scenes as world
from mmjax.evaluation.caption_metrics import word_f1


def entropy(p):
    p = np.asarray(p, np.float64).ravel()
    return -(p[p > 0] * np.log(p[p > 0])).sum()


@pytest.mark.equation("5.1.9")
def test_what_a_picture_tells_is_the_mutual_information():
    p = np.random.default_rng(0).random((5, 7)) ** 3  # p(x, w)
    p[2, 3] = 0
    p /= p.sum()
    given = sum(p[x].sum() * entropy(p[x] / p[x].sum()) for x in range(5))
    information = sum(
        p[x, w] * math.log(p[x, w] / (p[x].sum() * p[:, w].sum()))
        for x, w in itertools.product(range(5), range(7))
        if p[x, w] > 0
    )
    np.testing.assert_allclose(entropy(p.sum(0)) - given, information, rtol=1e-12)


@pytest.mark.equation("5.1.10")
@pytest.mark.parametrize(("most", "nats"), [(1, 5.89), (2, 8.97), (3, 11.41)])
def test_the_entropy_of_the_captions_of_scenes(most, nats):
    numbers = range(1, most + 1)
    closed = sum(math.log(math.comb(3, n)) + n * math.log(120) for n in numbers) / most
    closed += math.log(most)
    # Every set of lanes with its probability, every clause of a lane equally probable.
    clauses = set(itertools.product(*(range(len(v)) for v in world.ATTRIBUTES.values())))
    listed = 0.0
    for n in numbers:
        for _ in itertools.combinations(range(3), n):
            each = 1 / most / math.comb(3, n) / len(clauses) ** n
            listed -= len(clauses) ** n * each * math.log(each)
    np.testing.assert_allclose(listed, closed, rtol=1e-12)
    assert round(closed, 2) == nats


def test_captions_without_noise_are_as_the_formula_assumes():
    """Uniform over lanes and clauses, one caption for each set of attributes."""
    scenes = world.sample_scenes(6000, seed=0)
    captions = world.render_captions(scenes)
    lanes = Counter(map(tuple, scenes.present.tolist()))
    for present, count in lanes.items():
        wanted = 6000 / 3 / math.comb(3, sum(present))
        assert abs(count - wanted) < 5 * math.sqrt(wanted)
    said = {
        tuple(
            (lane, *(int(getattr(scenes, a)[i, lane]) for a in world.ATTRIBUTES))
            for lane in np.flatnonzero(scenes.present[i])
        )
        for i in range(6000)
    }
    assert len(said) == len(set(captions))


@pytest.mark.equation("5.1.24")
def test_word_f1_is_the_harmonic_mean_of_precision_and_recall():
    rng = np.random.default_rng(0)
    for _ in range(50):
        c, r = (list(rng.choice(list("abcd"), rng.integers(1, 7))) for _ in range(2))
        left, common = list(r), 0
        for word in c:
            if word in left:
                left.remove(word)
                common += 1
        precision, recall = common / len(c), common / len(r)
        wanted = 2 * precision * recall / (precision + recall) if common else 0
        np.testing.assert_allclose(word_f1([" ".join(c)], [[" ".join(r)]]), wanted, rtol=1e-12)
