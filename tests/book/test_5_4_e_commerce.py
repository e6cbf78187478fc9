"""Section 5.4: the shop's model, what a list is worth, the best search, loss, history and slate.

(5.4.7) to (5.4.9) are tested with the metrics, (5.4.18) and (5.4.23) with the models."""

import itertools
import math

import numpy as np
import pytest

from mmjax import formulas
from mmjax.data import products as shop
from mmjax.data.products.pictures import LIGHT, NOISE, RGB

STATES = np.arange(shop.STATES)
NAMES = list(shop.ATTRIBUTES)


def values(state):
    return [int(shop.attributes_of(np.array(state))[name]) for name in NAMES]


def simplex(seed, *shape):
    p = np.random.default_rng(seed).random(shape) ** 2 + 0.01
    return p / p.sum(-1, keepdims=True)


@pytest.mark.equation("5.4.1")
def test_the_prior_is_a_product_and_picture_and_words_are_independent_given_the_state():
    product = [math.prod(1 / len(v) for v in shop.ATTRIBUTES.values())] * 144
    drawn = np.bincount(shop.sample_states(144_000, seed=0), minlength=144) / 144_000
    np.testing.assert_allclose(drawn, product, atol=5 * math.sqrt(1 / 144 / 144_000))
    states = np.full(4000, 77)  # of one state: what is said tells nothing of the brightness
    bright = shop.render_pictures(states, seed=1).mean((1, 2, 3))
    said = np.array(["striped" in t for t in shop.describe_products(states, seed=2)])
    difference = bright[said].mean() - bright[~said].mean()
    assert abs(difference) < 5 * bright.std() * math.sqrt(4 / 4000)


@pytest.mark.equation("5.4.2", "5.4.3")
def test_the_picture_likelihood_is_the_gaussian():
    """Inverse and determinant of σ² I + τ² m mᵀ against the closed form, of 12 looks a state."""
    picture = shop.render_pictures(np.array([50]), seed=3).astype(np.float64)
    table = shop.picture_log_likelihood(picture)[0]
    some = np.random.default_rng(4).choice(144, 11, replace=False)
    dense = []
    for state in some:
        category, colour, pattern, _ = values(state)
        m = shop.masks()[category, pattern].ravel()
        covariance = NOISE**2 * np.eye(256) + LIGHT**2 * np.outer(m, m)
        total = 0.0
        for c in range(3):
            y = 1 - picture[0, :, :, c].ravel()
            mean = (1 - RGB[colour, c]) * m
            total += formulas.gaussian_log_density(y, mean, covariance)
        dense.append(total)
    np.testing.assert_allclose(table[some] - table[some[0]], np.array(dense) - dense[0], rtol=1e-9)


@pytest.mark.equation("5.4.4")
def test_the_words_likelihood_is_the_product():
    def literal(text, state):
        words = text.split()
        *adjectives, noun = words
        category, *others = values(state)
        true = [shop.ATTRIBUTES[n][v] for n, v in zip(NAMES[1:], others, strict=True)]
        p = 0.0
        if noun == shop.CATEGORIES[category]:
            p = shop.EXACT
        elif noun == ("accessory", "furnishing")[category >= 3]:
            p = 1 - shop.EXACT
        for name, word in zip(NAMES[1:], true, strict=True):
            of_kind = [a for a in adjectives if a in shop.ATTRIBUTES[name]]
            p *= 1 - shop.SAID[name] if not of_kind else shop.SAID[name] * (of_kind == [word])
        return p

    texts = sorted(set(shop.describe_products(shop.sample_states(60, seed=5), seed=6)))[::3]
    table = np.exp(shop.words_log_likelihood(texts))
    expected = [[literal(text, state) for state in STATES] for text in texts]
    np.testing.assert_allclose(table, expected, rtol=1e-12)
    every = [" ".join(filter(None, words)) for words in _all_texts()]
    np.testing.assert_allclose(np.exp(shop.words_log_likelihood(every)).sum(0), 1, rtol=1e-12)


def _all_texts():
    optional = [[None, *shop.ATTRIBUTES[name]] for name in NAMES[1:]]
    return itertools.product(*optional, [*shop.CATEGORIES, *shop.FAMILIES])


@pytest.mark.equation("5.4.5")
def test_evidence_adds():
    states = shop.sample_states(7, seed=7)
    picture = shop.picture_log_likelihood(shop.render_pictures(states, seed=8))
    words = shop.words_log_likelihood(shop.describe_products(states, seed=9))
    p = shop.posterior(picture, words)
    for n in range(7):
        shifted = picture[n] - picture[n].max()  # a factor that is the same for all states
        joint = [math.exp(a) * math.exp(b) / 144 for a, b in zip(shifted, words[n], strict=True)]
        np.testing.assert_allclose(p[n], np.array(joint) / sum(joint), rtol=1e-10, atol=1e-300)
    with np.errstate(divide="ignore"):
        left = np.log(p)
    for n in range(7):
        there = np.isfinite(left[n])
        assert 0 < there.sum() < 144
        assert np.ptp((left[n] - picture[n])[there] - words[n][there]) < 1e-9


@pytest.mark.equation("5.4.6")
def test_gains_count_what_is_equal():
    for w, s in np.random.default_rng(10).integers(144, size=(200, 2)):
        a, b = values(w), values(s)
        grade = (a[0] == b[0]) * (1 + sum(x == y for x, y in zip(a[1:], b[1:], strict=True)))
        assert shop.grades()[w, s] == grade and shop.gains()[w, s] == 2**grade - 1


@pytest.mark.equation("5.4.10")
def test_the_expected_gain_is_the_double_sum():
    wishes, products = simplex(11, 3, 144), simplex(12, 5, 144)
    table = shop.expected_gains(wishes, products)
    for n, m in ((0, 0), (2, 4), (1, 3)):
        expected = formulas.expected_gain(wishes[n], products[m], shop.gains())
        np.testing.assert_allclose(table[n, m], expected, rtol=1e-12)


@pytest.mark.equation("5.4.11")
def test_no_order_has_a_larger_expected_dcg():
    """All 120 orders of five products, whose gains are drawn from distributions of their own."""
    possible = np.array([0.0, 1, 3, 7, 15])
    chance = simplex(13, 5, 5)
    expected = chance @ possible
    for k in (1, 3, 5):

        def value(order, k=k):
            """The left side: the mean over all 5⁵ draws of the gains."""
            return formulas.dcg([expected[i] for i in order], k)

        best = value(np.argsort(-expected))
        assert all(value(o) <= best + 1e-12 for o in itertools.permutations(range(5)))
    # The expectation of a DCG is the DCG of the expectations.
    order, total = (3, 1, 4, 0, 2), 0.0
    for draw in itertools.product(range(5), repeat=5):
        p = math.prod(chance[i, g] for i, g in enumerate(draw))
        total += p * formulas.dcg([possible[draw[i]] for i in order], 3)
    np.testing.assert_allclose(total, formulas.dcg([expected[i] for i in order], 3), rtol=1e-12)


@pytest.mark.equation("5.4.12")
def test_like_this_but_is_a_mean_over_the_other_colours():
    picture = shop.render_pictures(np.array([20, 99]), seed=14)
    table = shop.picture_log_likelihood(picture)
    table -= table.max(1, keepdims=True)
    found = np.exp(shop.but_colour(table, np.array([1, 3])))
    for n, asked in enumerate((1, 3)):
        for wish in STATES[::7]:
            category, colour, pattern, material = values(wish)
            others = [
                shop.state_of(category=category, colour=c, pattern=pattern, material=material)
                for c in range(4)
                if c != asked
            ]
            mean = sum(math.exp(table[n, s]) for s in others) / 3
            np.testing.assert_allclose(found[n, wish], (colour == asked) * mean, rtol=1e-10)


def purchase_table():
    """p(s | w) ∝ p(s) G(w, s)."""
    table, gains = np.zeros((144, 144)), shop.gains()
    for w in STATES:
        weights = [gains[w, s] / 144 for s in STATES]
        table[w] = np.array(weights) / sum(weights)
    return table


@pytest.mark.equation("5.4.13")
def test_customers_buy_in_proportion_to_the_gain():
    bought = shop.buy(np.repeat(STATES, 300), seed=15).reshape(144, 300)
    p = purchase_table()
    gain = np.take_along_axis(shop.gains(), bought, axis=1).mean(1)
    expected = (p * shop.gains()).sum(1)
    np.testing.assert_allclose(gain.mean(), expected.mean(), rtol=0.02)
    exact = (bought == STATES[:, None]).mean()
    np.testing.assert_allclose(exact, np.diag(p).mean(), atol=0.01)
    np.testing.assert_allclose(p.sum(0), 1, rtol=1e-12)  # every product is bought as often


@pytest.mark.equation("5.4.14")
@pytest.mark.parametrize("N", [2, 3])
def test_the_in_batch_loss_is_stationary_at_the_ratio(N):
    joint = simplex(16, 12).reshape(3, 4)
    ratio = joint / joint.sum(1, keepdims=True) / joint.sum(0)
    shift = np.array([[0.3], [-2.0], [1.1]])  # any c(q)
    gradient = formulas.in_batch_gradient(joint, np.log(ratio) + shift, N)
    np.testing.assert_allclose(gradient, 0, atol=1e-14)
    # The conditional probability is no such point: the batch's other products are drawn from p(o).
    wrong = formulas.in_batch_gradient(joint, np.log(joint / joint.sum(1, keepdims=True)), N)
    assert np.abs(wrong).max() > 1e-3


@pytest.mark.equation("5.4.15")
def test_the_best_in_batch_score_is_the_log_of_the_expected_gain():
    """From the joint distribution of what is observed, with p(q | w) and p(o | s) of a few signals.

    Each signal has a likelihood table of its own; nothing of the right side is used on the left.
    """
    of_query, of_product = simplex(17, 144, 5), simplex(18, 144, 7)  # p(q | w), p(o | s)
    p_w = p_s = np.full(144, 1 / 144)
    joint = np.einsum("w,wq,ws,so->qo", p_w, of_query, purchase_table(), of_product)
    left = joint / joint.sum(1, keepdims=True) / joint.sum(0)
    wish = (p_w[:, None] * of_query / (p_w @ of_query)).T
    product = (p_s[:, None] * of_product / (p_s @ of_product)).T
    right = shop.expected_gains(wish, product) / (p_s @ shop.gains()[0])
    np.testing.assert_allclose(left, right, rtol=1e-12)


@pytest.mark.equation("5.4.16")
def test_pairs_alone_do_not_ask_for_what_only_one_modality_tells():
    states = shop.sample_states(7, seed=19)
    x = shop.posterior(shop.picture_log_likelihood(shop.render_pictures(states, seed=20)))
    t = shop.posterior(shop.words_log_likelihood(shop.describe_products(states, seed=21)))
    whole = formulas.best_fit(x, t, np.full(144, 1 / 144))
    without = [p.reshape(-1, 48, 3).sum(-1) for p in (x, t)]  # the material is the fastest axis
    np.testing.assert_allclose(whole, formulas.best_fit(*without, np.full(48, 1 / 48)), rtol=1e-10)
    materials = [f"red {m} scarf" for m in shop.MATERIALS]
    t = shop.posterior(shop.words_log_likelihood(materials))
    assert np.ptp(formulas.best_fit(x, t, np.full(144, 1 / 144)), axis=1).max() < 1e-9


@pytest.mark.equation("5.4.17")
def test_the_best_tags_are_the_posterior():
    p, guess = simplex(22, 5), simplex(23, 5)
    cost = -sum(p[v] * math.log(guess[v]) for v in range(5))
    entropy = -sum(p[v] * math.log(p[v]) for v in range(5))
    divergence = sum(p[v] * math.log(p[v] / guess[v]) for v in range(5))
    np.testing.assert_allclose(cost, entropy + divergence, rtol=1e-12)
    assert divergence > 0


SOME = shop.sample_states(7, seed=24)
EXPOSURE = shop.exposures(7, seed=25)


def affinity(taste, state):
    liked = zip(values(taste), values(state), shop.LIKED.values(), strict=True)
    return math.prod(beta if a == b else 1 for a, b, beta in liked)


@pytest.mark.equation("5.4.19")
def test_a_purchase_is_exposure_times_affinity():
    assert list(shop.LIKED) == NAMES
    found = shop.purchase_probabilities(np.eye(144)[SOME], EXPOSURE)
    for taste in STATES[::17]:
        weight = [e * affinity(taste, s) for e, s in zip(EXPOSURE, SOME, strict=True)]
        np.testing.assert_allclose(found[taste], np.array(weight) / sum(weight), rtol=1e-12)


@pytest.mark.equation("5.4.20", "5.4.21")
def test_a_history_is_evidence_on_a_taste():
    p = shop.purchase_probabilities(np.eye(144)[SOME], EXPOSURE)
    histories = np.random.default_rng(26).integers(7, size=(3, 5))
    tastes, following = shop.taste_posterior(histories, p), shop.next_purchase(histories, p)
    for n, history in enumerate(histories):
        expected = formulas.taste_posterior([1 / 144] * 144, [p[:, i] for i in history])
        np.testing.assert_allclose(tastes[n], expected, rtol=1e-11)
        mixed = [sum(expected[t] * p[t, i] for t in STATES) for i in range(7)]
        np.testing.assert_allclose(following[n], mixed, rtol=1e-11)
        # The same from the joint probability of the whole row of purchases, with no posterior.
        rows = p[:, history].prod(1)
        np.testing.assert_allclose(following[n], rows @ p / rows.sum(), rtol=1e-11)
    moved = shop.taste_posterior(histories[:, ::-1], p)
    np.testing.assert_allclose(moved, tastes, rtol=1e-12)


@pytest.mark.equation("5.4.22")
def test_what_is_not_known_of_a_product_is_averaged():
    known = shop.posterior(shop.words_log_likelihood(shop.describe_products(SOME, seed=27)))
    found = shop.purchase_probabilities(known, EXPOSURE)
    for taste in (0, 71, 143):
        mean = [sum(q[s] * affinity(taste, s) for s in STATES) for q in known]
        weight = EXPOSURE * np.array(mean)
        np.testing.assert_allclose(found[taste], weight / weight.sum(), rtol=1e-11)


@pytest.mark.equation("5.4.24")
def test_popularity_has_to_be_added_back():
    """At the point where the loss is stationary, f + log p(i) is log p(i | history) + c."""
    p = shop.purchase_probabilities(np.eye(144)[SOME[:4]], EXPOSURE[:4])
    tastes = [3, 40, 99]
    joint = p[tastes] / 3  # three histories that tell a taste for sure, each as frequent
    popularity = joint.sum(0)
    f = np.log(joint / joint.sum(1, keepdims=True) / popularity)
    np.testing.assert_allclose(formulas.in_batch_gradient(joint, f, 3), 0, atol=1e-14)
    constant = f + np.log(popularity) - np.log(p[tastes])
    np.testing.assert_allclose(constant, constant[:, :1] * np.ones(4), atol=1e-12)
    without = np.exp(f) / np.exp(f).sum(1, keepdims=True)
    assert np.abs(without - p[tastes]).max() > 0.03


@pytest.mark.equation("5.4.25")
def test_no_list_earns_more_than_the_best_slate():
    rng = np.random.default_rng(28)
    p, v = simplex(29, 7), rng.choice([10.0, 20, 40], 7)
    for cost in (0.5, 2, 6):
        best = formulas.best_slate(p, v, cost)
        top = formulas.expected_profit(best, p, v, cost)
        lists = [c for n in range(8) for c in itertools.combinations(range(7), n)]
        assert len(lists) == 128
        assert max(formulas.expected_profit(c, p, v, cost) for c in lists) == pytest.approx(top)
        # The left side: the profit of each next purchase, weighted by its probability.
        each = [sum(v[i] for i in best if i == j) - cost * len(best) for j in range(7)]
        np.testing.assert_allclose(p @ each, top, rtol=1e-12)
