"""Section 1, equations 1.2.1 to 1.2.9: the world of scenes and the best possible answers."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from mmjax.data import scenes as world
from mmjax.data.scenes import bayes, captions, video
from mmjax.data.scenes.audio import lane_sounds

STATES = 480


def all_scenes_with(*columns):
    """Every combination of the given states of the three lanes; 0 is an empty lane."""
    rows = [r for r in itertools.product(*columns) if any(r)]
    fields = {name: np.zeros((len(rows), 3), int) for name in bayes.NAMES}
    present = np.array(rows) > 0
    for name, values in zip(
        bayes.NAMES, np.unravel_index(np.maximum(np.array(rows) - 1, 0), bayes.STATES), strict=True
    ):
        fields[name] = np.where(present, values, 0)
    return world.Scenes(present, **fields), np.array(rows)


def log_gaussian(x, clean, noise):
    x, clean = x.astype(np.float64), clean.astype(np.float64)
    square = ((x - clean) ** 2).sum(tuple(range(1, clean.ndim)))
    return -square / (2 * noise**2) - x.size / 2 * math.log(2 * math.pi * noise**2)


@pytest.mark.equation("1.2.1")
def test_the_prior_sums_to_one_and_is_what_is_drawn():
    def prior(n, numbers=(1, 2, 3)):
        return 1 / len(numbers) / math.comb(3, n) * STATES**-n

    counts = {n: math.comb(3, n) * STATES**n for n in (1, 2, 3)}
    assert sum(counts[n] * prior(n) for n in counts) == pytest.approx(1, rel=1e-14)
    nothing_seen = world.posterior(np.zeros((1, 3, 1 + STATES)))[0, 0, 1:]
    # A state of lane 1, by the sum over all scenes in which the lane has it.
    by_sum = sum(math.comb(2, n - 1) * STATES ** (n - 1) * prior(n) for n in (1, 2, 3))
    np.testing.assert_allclose(nothing_seen, by_sum, rtol=1e-12)
    drawn = world.sample_scenes(30_000, seed=0)
    lanes = np.array(
        [(drawn.present == s).all(1).mean() for s in ([1, 0, 0], [1, 1, 0], [1, 1, 1])]
    )
    np.testing.assert_allclose(lanes, [STATES**n * prior(n) for n in (1, 2, 3)], atol=0.01)


@pytest.mark.equation("1.2.2")
def test_the_noises_are_independent_given_the_scene():
    """The joint density is a product: noises of one seed do not move together."""
    scenes = world.sample_scenes(1, seed=0)[np.zeros(20_000, int)]
    sound = world.render(scenes[:2000], seed=5, noise={"video": 1.0, "audio": 1.0, "text": 0.5})
    clean = world.render(scenes[:2000], seed=5)
    a = (sound.audio - clean.audio)[:, :500]
    v = (sound.video - clean.video).reshape(2000, -1)[:, :500]
    correlation = (a * v).mean(0)
    assert np.abs(correlation).max() < 5 / math.sqrt(2000)
    lane = int(scenes.present[0].argmax())
    word = np.array([world.said(t, "motion")[lane] for t in sound.text]) == scenes.motion[0, lane]
    assert 0.4 < word.mean() < 0.8
    assert abs(v[word].mean() - v[~word].mean()) < 5 * math.sqrt(1 / 500 / 400)
    # And the code multiplies: the posterior of both is that of the sum of the log-likelihoods.
    tables = np.log(np.random.default_rng(0).random((2, 4, 3, 1 + STATES)))
    np.testing.assert_allclose(world.posterior(*tables), world.posterior(tables.sum(0)), rtol=1e-12)


@pytest.mark.equation("1.2.3")
def test_pictures_and_sounds_are_gaussian():
    truth = world.sample_scenes(3, seed=1)
    other = dataclasses.replace(truth, colour=(truth.colour + 1) % 4 * truth.present)
    x = world.render_video(truth, noise=2.0, seed=0)
    density = [log_gaussian(x, world.render_video(s), 2.0) for s in (truth, other)]
    table = world.video_log_likelihood(x, 2.0)
    lookup = [_lookup(table, s) for s in (truth, other)]
    np.testing.assert_allclose(lookup[0] - lookup[1], density[0] - density[1], atol=1e-3)
    noise = x - world.render_video(truth)
    assert noise.std() == pytest.approx(2.0, rel=0.01) and abs(noise.mean()) < 0.03


def _lookup(table, scenes):
    values = [getattr(scenes, name) for name in bayes.NAMES]
    column = np.where(scenes.present, 1 + np.ravel_multi_index(values, bayes.STATES), 0)
    return np.take_along_axis(table, column[..., None], -1)[..., 0].sum(1)


@pytest.mark.equation("1.2.4")
def test_words_go_through_a_noisy_channel():
    epsilon, n = 0.4, 12_000
    scenes = world.sample_scenes(1, seed=3, objects=(1,))[np.zeros(n, int)]
    texts = world.render_captions(scenes, noise=epsilon, seed=0)
    lane, words = next(iter(world.parse_caption(texts[0]).items()))
    for name in words:
        value = int(getattr(scenes, name)[0, lane])
        drawn = [world.parse_caption(t)[lane][name] for t in texts]
        for word in captions.VALUE_OF[name]:
            own = captions.WORDS[name][value]
            right = (1 - epsilon) * (word in own) / len(own) + epsilon / len(
                captions.VALUE_OF[name]
            )
            assert drawn.count(word) / n == pytest.approx(right, abs=0.02)
            table = np.exp(bayes._word(name, word, epsilon))
            assert table[value] == pytest.approx(right, rel=1e-12)
    every = sum(np.exp(bayes._word("motion", w, 0.4)) for w in captions.VALUE_OF["motion"])
    np.testing.assert_allclose(every, 1, rtol=1e-12)


@pytest.mark.equation("1.2.5")
def test_no_rule_beats_the_most_probable_answer():
    scenes = world.sample_scenes(1500, seed=2, objects=(1,))
    table = world.caption_log_likelihood(world.render_captions(scenes, noise=0.5, seed=1), 0.5)
    answers = world.marginal(world.posterior(table, objects=(1,)), "motion")
    np.testing.assert_allclose(answers.sum(1), 1, rtol=1e-12)
    achieved = world.bayes_accuracy(world.posterior(table, objects=(1,)), scenes, "motion")
    # ε of the words are drawn anew, and a fifth of those are right by luck.
    assert answers.max(1).mean() == pytest.approx(0.5 + 0.5 / 5, rel=1e-12)
    assert achieved == pytest.approx(0.6, abs=0.04)
    second = answers.argsort(1)[:, -2]
    assert (second == scenes.only("motion")).mean() < achieved


@pytest.mark.equation("1.2.6")
def test_the_square_of_a_sum_of_lanes_is_a_sum():
    flat = lane_sounds().reshape(3, -1, 4096).astype(np.float64)
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = 3 * rng.standard_normal(4096)
        a = [flat[k][rng.integers(flat.shape[1])] for k in range(3)]
        left = ((x - sum(a)) ** 2).sum()
        right = (x**2).sum() + sum((s**2).sum() - 2 * x @ s for s in a)
        assert left == pytest.approx(right, rel=1e-8)


@pytest.mark.equation("1.2.7")
def test_the_posterior_by_lanes_is_the_posterior_over_scenes():
    """Brute force over every scene whose lanes are empty or in one of four states."""
    rng = np.random.default_rng(1)
    kept = [np.concatenate([[0], 1 + rng.choice(STATES, 4, replace=False)]) for _ in range(3)]
    scenes, rows = all_scenes_with(*kept)
    assert len(scenes) == 5**3 - 1
    x = world.render(scenes[17:18], seed=0, noise={"video": 3.0, "audio": 6.0})
    weight = log_gaussian(x.video, world.render_video(scenes), 3.0)
    weight = weight + log_gaussian(x.audio, world.render_audio(scenes), 6.0)
    weight -= np.log([math.comb(3, n) * STATES**n for n in scenes.objects])
    weight = np.exp(weight - weight.max())
    tables = [world.video_log_likelihood(x.video, 3.0), world.audio_log_likelihood(x.audio, 6.0)]
    for table in tables:  # no other states than those above
        for lane in range(3):
            others = np.setdiff1d(np.arange(1 + STATES), kept[lane])
            table[:, lane, others] = -np.inf
    ours = world.posterior(*tables)[0]
    for lane in range(3):
        for column in kept[lane]:
            theirs = weight[rows[:, lane] == column].sum() / weight.sum()
            assert ours[lane, column] == pytest.approx(theirs, rel=2e-3, abs=1e-9)


@pytest.mark.equation("1.2.8")
def test_a_second_modality_never_lowers_the_best_accuracy():
    """Any joint distribution of an answer and two signals with few values."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.dirichlet(np.full(60, 0.3)).reshape(3, 4, 5)  # p(y, x1, x2)
        one = p.sum(2).max(0).sum()  # Σ over x1 of max over y of p(y, x1)
        both = p.max(0).sum()
        assert both >= one - 1e-15
        given = p.sum(0)  # p(x1, x2): the middle of the equation, written with conditionals
        inner = (p / given).transpose(1, 2, 0) * (given / given.sum(1, keepdims=True))[..., None]
        middle = (inner.sum(1).max(1) * given.sum(1)).sum()
        assert middle == pytest.approx(one, rel=1e-12)
    same = np.einsum("y,yx->yx", [0.5, 0.3, 0.2], np.eye(3))  # x1 = y: nothing is left to gain
    assert same.max(0).sum() == pytest.approx(1)


@pytest.mark.equation("1.2.9")
def test_signal_to_noise_ratios_add_as_squares():
    def normal(d):
        return (1 + math.erf(d / math.sqrt(2))) / 2

    rng = np.random.default_rng(0)
    n, mu, sigma = 200_000, (np.array([0.6, 0.3]), np.array([0.5])), (0.9, 0.4)
    d = [np.linalg.norm(m) / s for m, s in zip(mu, sigma, strict=True)]
    y = rng.choice([-1, 1], n)
    odds = []
    for m, s in zip(mu, sigma, strict=True):
        x = y[:, None] * m + s * rng.standard_normal((n, len(m)))
        odds.append(2 * x @ m / s**2)  # log p(x | +) − log p(x | −)
    for k in (0, 1):
        assert (np.sign(odds[k]) == y).mean() == pytest.approx(normal(d[k]), abs=0.005)
    together = (np.sign(sum(odds)) == y).mean()
    assert together == pytest.approx(normal(math.hypot(*d)), abs=0.005)
    assert normal(1) == pytest.approx(0.841, abs=5e-4)
    assert normal(math.sqrt(2)) == pytest.approx(0.921, abs=5e-4)


def test_an_image_is_the_fourth_frame():
    assert world.IMAGE_FRAME == 3 and video.SIDE == 32
