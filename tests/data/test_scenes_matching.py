"""The best possible search against a sum over all scenes, and captions in several wordings."""

import itertools

import numpy as np
import pytest

from mmjax import formulas
from mmjax.data import scenes as world
from mmjax.data.scenes import best_match, posterior, render_wordings, sample_scenes

OBJECTS = (1, 3)


@pytest.fixture(scope="module")
def tables():
    """Likelihoods in which only two states of a lane and the empty one are possible."""
    rng = np.random.default_rng(0)
    out = []
    for rows in (3, 5):
        table = np.full((rows, 3, 481), -np.inf)
        table[:, :, [0, 7, 99]] = rng.normal(size=(rows, 3, 3))
        out.append(table)
    return out


def every_scene():
    """(column of each lane, prior) of all scenes that the tables allow."""
    for columns in itertools.product((0, 7, 99), repeat=3):
        n = sum(c > 0 for c in columns)
        if n in OBJECTS:
            subsets = {1: 3, 3: 1}[n]
            yield columns, 1 / (len(OBJECTS) * subsets) / 480**n


def test_best_match_is_the_sum_over_all_scenes(tables):
    a, b = tables
    scenes, prior = zip(*every_scene(), strict=True)
    likelihood = [
        np.exp([[t[lane, c] for lane, c in enumerate(s)] for s in scenes]).prod(axis=1)
        for table in tables
        for t in table
    ]
    expected = [[formulas.match(p, q, prior) for q in likelihood[3:]] for p in likelihood[:3]]
    np.testing.assert_allclose(np.exp(best_match(a, b, objects=OBJECTS)), expected, rtol=1e-10)


def test_best_match_is_that_of_posteriors_for_one_object():
    scenes = sample_scenes(7, seed=1, objects=(1,))
    text = world.caption_log_likelihood(world.render_captions(scenes), 0.0)
    video = world.video_log_likelihood(world.render_video(scenes, noise=0.2, seed=2), 0.2)
    p, q = (posterior(t, objects=(1,))[:, :, 1:].reshape(7, -1) for t in (text, video))
    expected = formulas.best_fit(p[:3], q, np.full(1440, 1 / 1440))
    found = best_match(text[:3], video, objects=(1,))
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-6, atol=1e-300)


def test_the_order_of_the_two_does_not_matter_and_saying_nothing_is_no_evidence(tables):
    a, b = tables
    left, right = best_match(a, b, objects=OBJECTS), best_match(b, a, objects=OBJECTS)
    np.testing.assert_allclose(left, right.T, rtol=1e-10)
    nothing = np.zeros((2, 3, 481))
    np.testing.assert_allclose(best_match(a, nothing, objects=OBJECTS), 0, atol=1e-12)


def test_likelihoods_far_apart_do_not_overflow(tables):
    a, b = tables
    with np.errstate(all="raise", under="ignore", divide="ignore"):
        moved = best_match(a + 3000, b - 5000, objects=OBJECTS)
    np.testing.assert_allclose(moved, best_match(a, b, objects=OBJECTS), atol=1e-8)


def test_errors_name_the_argument(tables):
    a, b = tables
    with pytest.raises(ValueError, match=r"'a': expected \[N, 3, 481\], got float64\[3, 3\]"):
        best_match(a[:, :, 0], b)
    with pytest.raises(ValueError, match=r"'b': expected signals that some scene allows.*\[0\]"):
        best_match(a, np.full((1, 3, 481), -np.inf))
    with pytest.raises(ValueError, match="'number': expected at least 1, got 0"):
        render_wordings(sample_scenes(2, seed=0), 0, seed=0)


def test_all_wordings_say_the_same_and_every_order_occurs():
    scenes = sample_scenes(5, seed=3, objects=(3,))
    plain = [world.caption_log_likelihood([c], 0.0) for c in world.render_captions(scenes)]
    wordings = render_wordings(scenes, 40, seed=4)
    assert len(wordings) == 40 and all(len(captions) == 5 for captions in wordings)
    for captions in wordings[:3]:
        for caption, expected in zip(captions, plain, strict=True):
            # Synonyms have the same likelihoods up to a factor that is the same for all states.
            found = world.caption_log_likelihood([caption], 0.0)
            np.testing.assert_array_equal(found, expected)
    orders = {tuple(world.parse_caption(captions[0])) for captions in wordings}
    assert orders == set(itertools.permutations(range(3)))
    assert len({captions[0] for captions in wordings}) > 35  # of 3! · 8³ = 3072
    assert render_wordings(scenes, 40, seed=4) == wordings
    assert render_wordings(scenes, 40, seed=5) != wordings
