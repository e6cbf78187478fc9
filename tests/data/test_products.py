"""The shop: what is drawn is what the model says, and its best answers are Bayes' rule."""

import numpy as np
import pytest

from mmjax.data import products as shop
from mmjax.data.products.pictures import LIGHT, NOISE, RGB
from mmjax.evaluation import ndcg_at_k

STATES = np.arange(shop.STATES)


def test_a_state_is_its_attributes():
    seen = shop.attributes_of(STATES)
    np.testing.assert_array_equal(shop.state_of(**seen), STATES)
    assert [int(v.max()) + 1 for v in seen.values()] == [6, 4, 2, 3]
    same = shop.grades()
    assert (np.diag(same) == 4).all() and (same == same.T).all()
    assert np.bincount(same[17], minlength=5).tolist() == [120, 6, 11, 6, 1]
    assert shop.gains()[17, 17] == 15 and np.unique(shop.gains()).tolist() == [0, 1, 3, 7, 15]


def test_the_same_seed_gives_the_same_and_another_another():
    draws = [
        lambda seed: shop.sample_states(101, seed=seed),
        lambda seed: shop.render_pictures(STATES, seed=seed),
        lambda seed: shop.describe_products(STATES, seed=seed),
        lambda seed: shop.buy(STATES, seed=seed),
        lambda seed: shop.recoloured(STATES, seed=seed),
        lambda seed: shop.exposures(101, seed=seed),
        lambda seed: shop.sample_purchases(STATES, STATES, np.ones(144), 3, seed=seed),
    ]
    for draw in draws:
        first, again, other = (np.asarray(draw(seed)) for seed in (0, 0, 1))
        assert (first == again).all() and (first != other).any()


@pytest.mark.equation("5.4.2")
def test_pictures_have_the_mean_and_the_covariance_of_the_model():
    """One state 3,000 times: mean a m, variance σ² + τ² m², and light common to all pixels."""
    state = int(shop.state_of(category=3, colour=1, pattern=1, material=0))
    x = shop.render_pictures(np.full(3000, state), seed=0).astype(np.float64)
    m, ink = shop.masks()[3, 1], 1 - RGB[1]
    np.testing.assert_allclose(1 - x.mean(0), m[..., None] * ink, atol=5 * 0.3 / 3000**0.5)
    variance = np.broadcast_to((NOISE**2 + LIGHT**2 * m**2)[..., None], x.shape[1:])
    np.testing.assert_allclose(x.var(0), variance, rtol=0.15)
    y = (1 - x).reshape(3000, 256, 3) * m.reshape(1, 256, 1)
    total = y.sum(1).var(0)  # of m·y: σ² m·m + τ² (m·m)²
    mm = (m**2).sum()
    np.testing.assert_allclose(total, NOISE**2 * mm + LIGHT**2 * mm**2, rtol=0.15)
    clean = shop.render_pictures(STATES)
    assert clean.min() >= 0 and clean.max() <= 1 and clean.dtype == np.float32
    np.testing.assert_array_equal(clean[0::3], clean[1::3])  # the material is not seen


def test_twins_differ_in_faint_pixels_only():
    masks = shop.masks()
    for first in range(3):
        difference = np.abs(masks[first] - masks[first + 3])
        assert 0 < difference.max() <= 0.2 and (difference > 0).sum() == 16
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert (np.abs(masks[first] - masks[second]) > 0.5).sum() > 30


def test_words_are_said_as_often_as_stated():
    texts = shop.describe_products(np.zeros(4000, int), seed=0)  # a red plain cotton dress
    for word, share in (("red", 0.5), ("plain", 0.5), ("cotton", 0.8), ("dress", 0.6)):
        assert abs(np.mean([word in text.split() for text in texts]) - share) < 0.03
    assert all(text.split()[-1] in ("dress", "accessory") for text in texts)
    assert shop.describe_products(np.array([0, 143])) == [
        "red plain cotton dress",
        "violet striped silk towel",
    ]
    assert {w for text in texts for w in text.split()} <= set(shop.ALL_WORDS)


def test_likelihoods_find_the_state_where_nothing_is_hidden():
    table = shop.words_log_likelihood(shop.describe_products(STATES))
    np.testing.assert_array_equal(table.argmax(1), STATES)
    pictures = shop.render_pictures(STATES)
    best = shop.picture_log_likelihood(pictures, noise=0.01, light=0.01).argmax(1)
    np.testing.assert_array_equal(best, STATES // 3 * 3)  # the first of three materials


def test_the_posterior_is_calibrated_and_both_know_more():
    """Of the guesses that claim to be right in p of the cases, p are right."""
    states = shop.sample_states(2000, seed=1)
    picture = shop.picture_log_likelihood(shop.render_pictures(states, seed=2))
    words = shop.words_log_likelihood(shop.describe_products(states, seed=3))
    claimed = {}
    for name, tables in {"picture": [picture], "words": [words], "both": [picture, words]}.items():
        p = shop.posterior(*tables)
        np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)
        claimed[name] = p.max(1).mean()
        # Ties between states are broken by chance in the truth, so probabilities are compared.
        assert abs(p[np.arange(2000), states].mean() - (p**2).sum(1).mean()) < 0.03
        assert shop.best_accuracy(p, states, "pattern") >= 0.7
    assert claimed["both"] > 2 * max(claimed["picture"], claimed["words"])


def test_no_order_beats_expected_gains():
    states, wishes = shop.sample_states(500, seed=4), shop.sample_states(150, seed=5)
    products = shop.posterior(shop.words_log_likelihood(shop.describe_products(states, seed=6)))
    asked = shop.posterior(shop.words_log_likelihood(shop.describe_products(wishes, seed=7)))
    best, gains = shop.expected_gains(asked, products), shop.gains()[wishes][:, states]
    value = ndcg_at_k(best, gains, 10).mean()
    log_odds = np.log(asked + 1e-3) @ np.log(products + 1e-3).T
    for other in (asked @ products.T, log_odds, np.random.default_rng(8).random(best.shape)):
        assert ndcg_at_k(other, gains, 10).mean() < value


def test_like_this_but_in_another_colour():
    wishes = shop.sample_states(400, seed=9)
    other = shop.recoloured(wishes, seed=10)
    for name in ("category", "pattern", "material"):
        first, second = (shop.attributes_of(s)[name] for s in (wishes, other))
        np.testing.assert_array_equal(first, second)
    colour = shop.attributes_of(wishes)["colour"]
    step = (shop.attributes_of(other)["colour"] - colour) % 4
    assert (step == 0).sum() == 0 and np.bincount(step)[1:].min() > 100
    table = shop.picture_log_likelihood(shop.render_pictures(other, seed=11))
    p = shop.posterior(shop.but_colour(table, colour))
    assert shop.best_accuracy(p, wishes, "colour") == 1
    assert shop.best_accuracy(p, wishes, "pattern") > 0.99


def test_purchases_are_drawn_from_their_probabilities():
    states, exposure = shop.sample_states(7, seed=12), shop.exposures(7, seed=13)
    assert exposure.mean() == pytest.approx(1)
    exposure[3] = 0
    p = shop.purchase_probabilities(np.eye(144)[states], exposure)
    bought = shop.sample_purchases(np.full(4000, 20), states, exposure, 2, seed=14)
    np.testing.assert_allclose(np.bincount(bought.ravel(), minlength=7) / 8000, p[20], atol=0.02)
    assert p[:, 3].max() == 0 and 3 not in bought


def test_customers_buy_what_they_wish_in_proportion_to_the_gain():
    bought = shop.buy(np.full(9600, 50), seed=15)
    share = np.bincount(bought, minlength=144) / 9600
    np.testing.assert_allclose(share, shop.gains()[50] / 96, atol=0.02)


ONE = np.zeros((1, 144))
WRONG = {
    "count": lambda: shop.sample_states(0, seed=0),
    "states": lambda: shop.attributes_of(np.array([144])),
    "colour": lambda: shop.state_of(category=0, colour=4, pattern=0, material=0),
    "attributes": lambda: shop.state_of(category=0),
    "wishes": lambda: shop.buy(np.array([-1]), seed=0),
    "noise": lambda: shop.render_pictures(STATES, seed=0, noise=-1),
    "pictures": lambda: shop.picture_log_likelihood(np.zeros((1, 16, 15, 3))),
    "light": lambda: shop.picture_log_likelihood(np.zeros((1, 16, 16, 3)), light=-1),
    "texts": lambda: shop.words_log_likelihood(["red wool"]),
    "said": lambda: shop.describe_products(STATES, seed=0, said={"colour": 1}),
    "exact": lambda: shop.words_log_likelihood(["dress"], exact=1.5),
    "log_likelihoods": lambda: shop.posterior(ONE, np.zeros((2, 144))),
    "colours": lambda: shop.but_colour(ONE, np.array([4])),
    "wish_posteriors": lambda: shop.expected_gains(np.zeros((1, 3)), ONE),
    "attribute": lambda: shop.best_accuracy(ONE, np.array([0]), "size"),
    "posteriors": lambda: shop.best_accuracy(np.ones((0, 144)), np.zeros(0, int), "colour"),
    "exponent": lambda: shop.exposures(3, seed=0, exponent=-1),
    "exposure": lambda: shop.purchase_probabilities(ONE, np.zeros(1)),
    "product_posteriors": lambda: shop.purchase_probabilities(np.zeros((1, 3)), np.ones(1)),
    "number": lambda: shop.sample_purchases(STATES, STATES, np.ones(144), 0, seed=0),
    "histories": lambda: shop.taste_posterior(np.array([[0]]), np.zeros((144, 1))),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    with pytest.raises(ValueError, match=f"argument '{name}'"):
        WRONG[name]()


def test_an_accuracy_needs_as_many_states_as_posteriors():
    with pytest.raises(ValueError, match=r"best_accuracy: argument 'states': expected \[2\]"):
        shop.best_accuracy(np.ones((2, 144)), np.array([0]), "colour")


def test_numbers_of_states_are_whole():
    with pytest.raises(TypeError, match="attributes_of: argument 'states': expected whole numbers"):
        shop.attributes_of(np.zeros(3))


def test_signals_that_contradict_each_other_have_no_posterior():
    tables = [shop.words_log_likelihood([text]) for text in ("dress", "lamp")]
    with pytest.raises(ValueError, match="some state allows"):
        shop.posterior(*tables)
