"""Section 5.3: counts, best possible answers and inequalities. Other equations of the page are
tested beside the code: the measures, the choices of frames and the selector."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from mmjax import formulas
from mmjax.data import clips as world
from mmjax.data.clips.world import SPACING, kinds_of


def choices(items, most):
    for size in range(most + 1):
        yield from itertools.combinations(items, size)


@pytest.mark.equation("5.3.1")
@pytest.mark.parametrize("events", world.EVENTS)
def test_eight_moments_five_seen_five_heard(events):
    kinds = [world.KINDS[kind] for kind in kinds_of(events)]
    numbers = {name: kinds.count(name) for name in world.KINDS}
    alone = 5 - events
    assert numbers == {"event": events, "seen": alone, "heard": alone, "nothing": events - 2}
    assert len(kinds) == world.MOMENTS
    assert numbers["event"] + numbers["seen"] == 5 == numbers["event"] + numbers["heard"]


@pytest.mark.equation("5.3.2")
@pytest.mark.parametrize(("T", "n", "g"), [(13, 3, 4), (11, 2, 5), (14, 4, 3), (9, 5, 1)])
def test_how_many_sets_of_middles_there_are(T, n, g):
    sets = itertools.combinations(range(2, T), n)
    listed = sum(all(b - a >= g for a, b in itertools.pairwise(times)) for times in sets)
    assert listed == math.comb(T - 2 - (n - 1) * (g - 1), n) == formulas.count_moments(T, n, g) > 0


def test_in_the_clips_of_the_course():
    assert formulas.count_moments(world.FRAMES, world.MOMENTS, SPACING) == math.comb(25, 8)


@pytest.mark.equation("5.3.7")
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_best_f1_of_all_choices(k):
    """Moments far apart, tolerance 0: every set of k out of 8 moments is tried."""
    best = 0
    for events in world.EVENTS:
        truth = range(events)
        tried = itertools.combinations(range(world.MOMENTS), k)
        best += max(2 * formulas.matched_pairs(s, truth, 0) / (k + events) for s in tried)
    best /= len(world.EVENTS)
    np.testing.assert_allclose(formulas.best_key_frame_f1(k, world.EVENTS), best, rtol=1e-15)
    if k == 3:
        assert best == pytest.approx(0.9, abs=1e-15)


@pytest.mark.equation("5.3.8")
@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_best_f1_without_the_sound(k):
    """Mean over all orders of what five seen moments are, for the best set of k moments."""
    n = world.PERCEIVED
    best = 0.0
    for chosen in itertools.combinations(range(n + 2), k):  # two moments more are not seen
        mean = 0.0
        for events in world.EVENTS:
            truths = list(itertools.combinations(range(n), events))
            found = [2 * formulas.matched_pairs(chosen, g, 0) / (k + events) for g in truths]
            mean += np.mean(found) / len(world.EVENTS)
        best = max(best, mean)
    np.testing.assert_allclose(formulas.one_sense_f1(k, world.EVENTS, n), best, rtol=1e-14)
    if k == 3:
        assert best == pytest.approx(0.54, abs=1e-14)


@pytest.mark.equation("5.3.9")
def test_the_most_probable_sentence_without_the_sound():
    """The share of each set of events among all orders of the eight moments that look like this."""
    seen = (0, 2, 3, 5, 6)  # which of the eight moments are seen
    share = {}
    for events in world.EVENTS:
        rest = (5 - events) * ["heard"] + (events - 2) * ["nothing"]
        orders = math.factorial(world.MOMENTS)
        for which in itertools.combinations(seen, events):
            hidden = len(set(itertools.permutations(rest)))  # orders of what is not seen
            alike = [math.factorial(c) for c in (events, 5 - events, 5 - events, events - 2)]
            of_all = Fraction(hidden * math.prod(alike), orders)
            share[which] = Fraction(1, 2) * of_all
    top = max(share.values()) / sum(share.values())
    assert top == Fraction(1, 2) * Fraction(1, math.comb(5, 2)) == Fraction(1, 20)
    assert len(share) == math.comb(5, 2) + math.comb(5, 3) == 20


@pytest.mark.equation("5.3.15")
def test_the_best_loss_without_the_sound():
    """The entropy of the labels, each by itself, over all equally likely sets of events."""
    p = np.zeros(12)
    for events in world.EVENTS:
        sets = list(itertools.combinations(range(5), events))
        for which in sets:
            p[list(which)] += 0.5 / len(sets)
    inside = p[(p > 0) & (p < 1)]
    entropy = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum() / 12
    np.testing.assert_allclose(entropy, 5 / 12 * math.log(2), rtol=1e-14)
    logits = np.where(p > 0, 0.0, -40.0)  # the answer that has this loss
    labels = np.zeros(12, bool)
    labels[:2] = True
    np.testing.assert_allclose(formulas.multi_label_loss(logits, labels), entropy, rtol=1e-12)


@pytest.fixture(scope="module")
def covering():
    """A random similarity [7, 7] and weights [7]."""
    rng = np.random.default_rng(0)
    return rng.random((7, 7)), rng.random(7)


def value(covering, chosen):
    return formulas.facility_location(*covering, list(chosen))


@pytest.mark.equation("5.3.18")
def test_a_frame_adds_less_to_a_larger_set(covering):
    for B in choices(range(7), 4):
        for A in choices(B, len(B)):
            for c in set(range(7)) - set(B):
                to_a = value(covering, {*A, c}) - value(covering, A)
                to_b = value(covering, {*B, c}) - value(covering, B)
                assert to_a >= to_b - 1e-12 and to_b >= -1e-12


@pytest.mark.equation("5.3.20")
@pytest.mark.parametrize("k", [2, 3, 4])
def test_each_greedy_step_closes_its_share_of_the_gap(covering, k):
    best = max(value(covering, s) for s in itertools.combinations(range(7), k))
    chosen, gap = [], best
    for _ in range(k):
        chosen.append(max(set(range(7)) - set(chosen), key=lambda c: value(covering, [*chosen, c])))
        left = best - value(covering, chosen)
        assert left <= (1 - 1 / k) * gap + 1e-12
        gap = left


@pytest.mark.equation("5.3.22")
def test_the_best_centre_of_a_cluster_is_its_mean():
    rng = np.random.default_rng(1)
    x, mu = rng.normal(size=(5, 3)), rng.normal(size=3)
    mean = x.mean(0)
    left = sum(((row - mu) ** 2).sum() for row in x)
    right = sum(((row - mean) ** 2).sum() for row in x) + 5 * ((mean - mu) ** 2).sum()
    np.testing.assert_allclose(left, right, rtol=1e-14)
