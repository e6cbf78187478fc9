"""Section 5.5: every equation of the page on diagnosis. Both sides in float64."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.data import patients as world
from mmjax.data.patients import picture, record
from mmjax.evaluation import attribution, calibration, decision, discrimination
from mmjax.models.diagnosis import AttentionPooling, DiagnosisConfig, DiagnosisModel
from mmjax.models.encoders import ImageEncoderConfig

PIXELS = picture.SIDE**2
TINY = DiagnosisConfig(
    picture=ImageEncoderConfig(6, 1, 3, TransformerConfig(layers=1, width=6, heads=2, hidden=5)),
    fields=3,
    record=TransformerConfig(layers=1, width=4, heads=2, hidden=7),
)


def close(left, right, **options):
    np.testing.assert_allclose(left, right, **{"rtol": 1e-9, "atol": 1e-11} | options)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.fixture(scope="module")
def covariance():
    """C as a matrix [576, 576], from the definition: grain, and a filter as a matrix."""
    g = picture.bump(picture.SMOOTHNESS)
    g = g / np.sqrt((g**2).sum())
    rows, columns = np.divmod(np.arange(PIXELS), picture.SIDE)
    apart = [(axis[:, None] - axis[None, :]) % picture.SIDE for axis in (rows, columns)]
    G = g[apart[0], apart[1]]
    return picture.GRAIN**2 * np.eye(PIXELS) + picture.TEXTURE**2 * G @ G.T


@pytest.fixture(scope="module")
def clinic():
    return world.sample_patients(3001, seed=5)


def tiny(seed=0):
    model = nnx.eval_shape(lambda: DiagnosisModel(TINY, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(seed)
    drawn = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), nnx.state(model))
    nnx.update(model, drawn)
    return model


def tiny_inputs(seed=1, number=2):
    rng = np.random.default_rng(seed)
    shapes = {"picture": (number, 6, 6, 1), "record": (number, 3, 2)}
    return {name: jnp.asarray(rng.normal(size=shape)) for name, shape in shapes.items()}


@nnx.jit
def run(model, inputs, present):
    return model(inputs, present)


def present(number=2, **missing):
    return {m: jnp.full(number, m not in missing) for m in ("picture", "record")}


# --- the patients --------------------------------------------------------------------------------


@pytest.mark.equation("5.5.1")
def test_picture_and_record_are_independent_given_the_disease(clinic):
    """Drawn apart: within a class they do not correlate, over both classes they do."""
    picture_says = world.picture_log_ratio(clinic.pictures)
    record_says = world.record_log_ratio(clinic.values, clinic.measured)
    for d in (0, 1):
        rows = clinic.disease == d
        r = np.corrcoef(picture_says[rows], record_says[rows])[0, 1]
        assert abs(r) < 4 / math.sqrt(rows.sum())
    assert np.corrcoef(picture_says, record_says)[0, 1] > 0.15


@pytest.mark.equation("5.5.2")
@pytest.mark.equation("5.5.3")
def test_log_odds_add_and_a_missing_record_is_summed_out():
    """Bayes' rule over a joint table p(d, x, r) against the sum, and against the mean over r."""
    rng = np.random.default_rng(0)
    prior, x_given, r_given = 0.3, rng.dirichlet(np.ones(3), 2), rng.dirichlet(np.ones(5), 2)
    joint = np.einsum("d,dx,dr->dxr", [1 - prior, prior], x_given, r_given)
    odds = np.log(joint[1] / joint[0])
    said = np.log(x_given[1] / x_given[0])[:, None] + np.log(r_given[1] / r_given[0])[None]
    close(odds, math.log(prior / (1 - prior)) + said)
    both = joint[1] / joint.sum(0)
    r_given_x = joint.sum(0) / joint.sum((0, 2))[:, None]
    alone = joint[1].sum(1) / joint.sum((0, 2))
    close(alone, (r_given_x * both).sum(1))
    for i in range(3):
        close(alone[i], formulas.posterior(prior, x_given[1, i] / x_given[0, i]))
        ratios = x_given[1, i] / x_given[0, i], r_given[1, 4] / r_given[0, 4]
        close(both[i, 4], formulas.posterior(prior, *ratios))


def test_the_package_adds_what_there_is(clinic):
    few = world.Patients(*(a[:7] for a in vars(clinic).values()))
    of_picture = world.picture_log_ratio(few.pictures)
    of_record = world.record_log_ratio(few.values, few.measured)
    for seen in ((), ("picture",), ("record",), ("record", "picture")):
        z = world.bayes_log_odds(few, seen, prior=0.2)
        ratios = np.exp(of_picture * ("picture" in seen)), np.exp(of_record * ("record" in seen))
        close(sigmoid(z), [formulas.posterior(0.2, *pair) for pair in zip(*ratios, strict=True)])


@pytest.mark.equation("5.5.4")
def test_the_ratio_of_a_record(clinic):
    """Densities written out anew, field by field, from the page and not from the module."""

    def normal(x, mean, deviation):
        return math.exp(-(((x - mean) / deviation) ** 2) / 2) / deviation / math.sqrt(2 * math.pi)

    def density(values, measured, d):
        age, sex, history, marker, inflammation = values
        p = normal(age, 52 + 7 * d, 12)
        female, family, asked = 0.55 - 0.10 * d, 0.10 + 0.15 * d, 0.40 + 0.25 * d
        p *= female if sex else 1 - female
        p *= family if history else 1 - family
        p *= 0.8 * normal(marker, 1 + 0.02 * (age - 55) + 0.6 * d, 0.8) if measured[3] else 0.2
        if measured[4]:
            return p * asked * normal(inflammation, 0.5 + 0.5 * d, 0.6 + 0.2 * d)
        return p * (1 - asked)

    some = slice(0, 60)
    values, measured = clinic.values[some], clinic.measured[some]
    assert len({tuple(row[3:]) for row in measured.tolist()}) == 4  # all cases of what is missing
    pairs = [[density(*row, d) for d in (0, 1)] for row in zip(values, measured, strict=True)]
    left = world.record_log_ratio(values, measured)
    close(left, [math.log(ill / healthy) for healthy, ill in pairs])


# --- the picture ---------------------------------------------------------------------------------


@pytest.mark.equation("5.5.5")
def test_the_fourier_transform_makes_the_covariance_diagonal(covariance):
    """C of a function on the picture is a product with λ after the transform."""
    function = np.random.default_rng(1).normal(size=(picture.SIDE, picture.SIDE))
    left = (covariance @ function.reshape(-1)).reshape(function.shape)
    right = np.fft.ifft2(picture.noise_spectrum() * np.fft.fft2(function)).real
    close(left, right)
    close(np.diag(covariance), picture.GRAIN**2 + picture.TEXTURE**2)


def test_noise_has_the_covariance(covariance):
    n = picture.draw_noise(4000, np.random.default_rng(2)).reshape(4000, -1)
    some = [0, 1, 24, 25, 300, 575]
    np.testing.assert_allclose(
        n[:, some].T @ n[:, some] / 4000, covariance[np.ix_(some, some)], atol=0.13
    )


@pytest.mark.equation("5.5.6")
def test_the_inverse_covariance_by_transforms(covariance):
    b, x = np.random.default_rng(3).normal(size=(2, picture.SIDE, picture.SIDE))
    left = b.reshape(-1) @ np.linalg.solve(covariance, x.reshape(-1))
    hats = np.fft.fft2(b).conj() * np.fft.fft2(x) / picture.noise_spectrum()
    close(left, hats.sum().real / PIXELS)


@pytest.mark.equation("5.5.7")
def test_a_spot_at_a_known_place(covariance, clinic):
    ratios = picture.place_log_ratios(clinic.pictures[:2])
    for row, column in ((3, 3), (3, 20), (11, 8)):
        s = picture.spots(np.array([[row, column]]))[0].reshape(-1)
        for x, ratio in zip(clinic.pictures, ratios, strict=False):
            expected = formulas.spot_log_ratio(x.reshape(-1), covariance, s)
            close(ratio[row - picture.MARGIN, column - picture.MARGIN], expected)
    close(picture.detectability() ** 2, s @ np.linalg.solve(covariance, s))
    assert round(picture.detectability(), 1) == 4.9


@pytest.mark.equation("5.5.8")
@pytest.mark.equation("5.5.9")
def test_a_spot_at_an_unknown_place(clinic):
    """Against the mixture of 324 densities, with and without the logarithms."""
    few = clinic.pictures[:5]
    for log_ratio, ratios in zip(
        world.picture_log_ratio(few), picture.place_log_ratios(few).reshape(5, -1), strict=True
    ):
        mean = formulas.place_mean_ratio(ratios)
        ill, healthy = (1 - q + sum(q / 324 * math.exp(r) for r in ratios) for q in (0.85, 0.10))
        close(math.exp(log_ratio), ill / healthy)
        close(formulas.picture_ratio(mean, world.SPOT_CHANCE), ill / healthy)


@pytest.mark.equation("5.5.10")
def test_what_a_picture_can_say_has_an_end(clinic):
    ratio = np.exp(world.picture_log_ratio(clinic.pictures))
    low, high = (1 - 0.85) / (1 - 0.10), 0.85 / 0.10
    assert low <= ratio.min() < 1.05 * low and 0.95 * high < ratio.max() <= high
    close([low, high], [1 / 6, 8.5])
    extreme = [formulas.picture_ratio(mean, (0.10, 0.85)) for mean in (0.0, 1e15)]
    close(extreme, [low, high])


@pytest.mark.equation("5.5.11")
def test_a_likelihood_ratio_moves_the_healthy_to_the_ill(clinic):
    """Monte Carlo: within five standard errors of each other, for two functions of the picture."""
    ratio, ill = np.exp(world.picture_log_ratio(clinic.pictures)), clinic.disease == 1
    brightest = clinic.pictures.max(axis=(1, 2))
    for f in (np.ones(len(ratio)), np.tanh(brightest - 4.0)):
        left, right = (ratio * f)[~ill], f[ill]
        error = math.sqrt(left.var() / len(left) + right.var() / len(right))
        assert abs(left.mean() - right.mean()) < 5 * error < 0.35


@pytest.mark.equation("5.5.12")
def test_where_the_spot_is(clinic):
    few = clinic.pictures[:3]
    maps = world.place_posterior(few)
    close(maps.sum(axis=(1, 2)), np.ones(3))
    for x, ratios in zip(maps, picture.place_log_ratios(few), strict=True):
        total = sum(math.exp(r) for r in ratios.reshape(-1))
        close(x[3:21, 3:21], np.exp(ratios) / total)
        assert not x[:3].any() and not x[:, 21:].any()


# --- the model -----------------------------------------------------------------------------------


@pytest.mark.equation("5.5.13")
@pytest.mark.parametrize("missing", ["", "picture", "record"])
def test_the_model_is_a_sum_over_what_is_there(x64, missing):
    model, inputs, here = tiny(), tiny_inputs(), present(**{missing: True})
    z, kernel = run(model, inputs, here), np.asarray(model.fusion.output.kernel[...])[:, 0]
    features = {m: np.asarray(reader(inputs[m])) for m, reader in model.readers.items()}
    w = {"picture": kernel[:6], "record": kernel[6:10]}
    b = {"picture": kernel[10], "record": kernel[11]}
    total = np.asarray(model.bias[...])
    for m in w:
        total = total + bool(here[m][0]) * (features[m] @ w[m] + b[m])
    close(z, total)
    nothing = run(model, inputs, present(picture=True, record=True))
    close(nothing, np.full(2, model.bias[...]))


@pytest.mark.equation("5.5.14")
def test_attention_pooling(x64):
    rng = np.random.default_rng(4)
    pooling = AttentionPooling(5, rngs=nnx.Rngs(0))
    drawn = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), nnx.state(pooling))
    nnx.update(pooling, drawn)
    x = rng.normal(size=(2, 7, 5))
    f, weights = pooling(jnp.asarray(x)), pooling.weights(jnp.asarray(x))
    K, V, v = (
        np.asarray(p[...]) for p in (pooling.key.kernel, pooling.value.kernel, pooling.value.bias)
    )
    for n in range(2):
        scores = np.asarray(pooling.query[...]) @ (x[n] @ K).T / math.sqrt(5)
        close(weights[n], formulas.softmax(scores))
        close(f[n], formulas.softmax(scores) @ (x[n] @ V + v))


# --- discrimination ------------------------------------------------------------------------------


def forecasts(seed, number=211, steps=20):
    """Probabilities with ties, and labels drawn from others: not calibrated."""
    rng = np.random.default_rng(seed)
    p = rng.integers(0, steps + 1, number) / steps
    return p, (rng.random(number) < 0.1 + 0.6 * p).astype(int)


@pytest.mark.equation("5.5.15")
@pytest.mark.parametrize("steps", [1, 7, 10**6])
def test_area_and_pairs(steps):
    p, y = forecasts(6, 101, steps)
    pairs = formulas.auc_of_pairs(p, y)
    curve = discrimination.roc_curve(p, y)
    points = np.stack([curve.false_positive_rate, curve.true_positive_rate], 1)
    close(points, formulas.roc_points(p, y))
    close([formulas.area_under(points), discrimination.auc(p, y)], [pairs, pairs])
    close(discrimination.auc(np.exp(3 * p), y), pairs)


@pytest.mark.equation("5.5.16")
def test_the_curve_of_the_likelihood_ratio_is_the_best_one():
    """Slopes are the ratios, and no set of outcomes to call positive lies above the curve."""
    rng = np.random.default_rng(7)
    healthy, ill = rng.dirichlet(np.ones(9), 2)
    ratio = ill / healthy
    order = np.argsort(-ratio)
    false, true = (np.append(0, p[order].cumsum()) for p in (healthy, ill))
    close(np.diff(true) / np.diff(false), ratio[order])
    for chosen in itertools.product([False, True], repeat=9):
        chosen = np.array(chosen)
        assert ill[chosen].sum() <= np.interp(healthy[chosen].sum(), false, true) + 1e-12


@pytest.mark.equation("5.5.17")
@pytest.mark.parametrize(("successes", "trials"), [(9, 10), (0, 7), (7, 7), (300, 997)])
def test_wilson(successes, trials):
    left = discrimination.wilson_interval(successes, trials, z=1.7)
    close(left, formulas.wilson(successes, trials, 1.7))
    for p in left:
        close((successes / trials - p) ** 2, 1.7**2 * p * (1 - p) / trials)


# --- calibration ---------------------------------------------------------------------------------


@pytest.mark.equation("5.5.18")
@pytest.mark.parametrize("eta", [0.02, 0.3, 0.5, 0.97])
def test_to_lie_does_not_pay(eta):
    def entropy(a):
        return -a * math.log(a) - (1 - a) * math.log(1 - a)

    for p in (0.01, 0.3, 0.8):
        expected = [
            sum(chance * formula([p], [y]) for y, chance in ((1, eta), (0, 1 - eta)))
            for formula in (formulas.binary_log_loss, formulas.brier)
        ]
        apart = eta * math.log(eta / p) + (1 - eta) * math.log((1 - eta) / (1 - p))
        close(expected, [entropy(eta) + apart, eta * (1 - eta) + (p - eta) ** 2])
        assert apart >= 0


@pytest.mark.equation("5.5.19")
@pytest.mark.parametrize("bins", [1, 3, 10])
def test_calibration_error(bins):
    p, y = forecasts(8)
    left = calibration.expected_calibration_error(p, y, bins=bins)
    close(left, formulas.calibration_error(p, y, bins))
    everybody = np.full(len(y), y.mean())
    close(calibration.expected_calibration_error(everybody, y, bins=bins), 0)


@pytest.mark.equation("5.5.20")
@pytest.mark.parametrize("score", ["brier", "log"])
@pytest.mark.parametrize("bins", [3, 10])
def test_the_parts_of_a_score(score, bins):
    p, y = forecasts(9)
    p = 0.01 + 0.98 * p
    whole = formulas.brier(p, y) if score == "brier" else formulas.binary_log_loss(p, y)
    parts = calibration.score_parts(p, y, score=score, bins=bins)
    close(parts.calibration - parts.resolution + parts.uncertainty + parts.within, whole)

    def d(a, b):
        if score == "brier":
            return (a - b) ** 2
        return sum(x * math.log(x / z) for x, z in ((a, b), (1 - a, 1 - b)) if x > 0)

    cells = [np.array(cell) for cell in formulas.calibration_bins(p, y, bins)]
    shares = [len(cell) / len(p) for cell in cells]
    of = [(cell[:, 0].mean(), cell[:, 1].mean()) for cell in cells]
    close(parts.calibration, sum(w * d(b, a) for w, (a, b) in zip(shares, of, strict=True)))
    close(parts.resolution, sum(w * d(b, y.mean()) for w, (_, b) in zip(shares, of, strict=True)))
    m = y.mean()
    uncertainty = m * (1 - m) if score == "brier" else -m * np.log(m) - (1 - m) * np.log(1 - m)
    close(parts.uncertainty, uncertainty)


@pytest.mark.equation("5.5.21")
def test_the_slope_of_the_loss_in_the_inverse_temperature():
    rng = np.random.default_rng(10)
    z = 3 * rng.normal(size=301)
    y = (rng.random(301) < sigmoid(z / 2.5)).astype(int)

    def loss(beta):
        return formulas.binary_log_loss(sigmoid(beta * z), y)

    def slope(beta):
        return ((sigmoid(beta * z) - y) * z).mean()

    for beta in (0.2, 0.5, 1.0):
        close((loss(beta + 1e-5) - loss(beta - 1e-5)) / 2e-5, slope(beta), rtol=1e-6, atol=1e-8)
    rising = [slope(beta) for beta in (0.1, 0.3, 0.6, 1.5)]
    assert rising == sorted(rising)
    T = calibration.fit_temperature(z, y)
    assert abs(slope(1 / T)) < 1e-9 and 1.8 < T < 3.5
    assert loss(1 / T) < min(loss(1.02 / T), loss(0.98 / T))


# --- a decision with a price ---------------------------------------------------------------------


@pytest.mark.equation("5.5.22")
@pytest.mark.parametrize("costs", [(1.0, 1.0), (1.0, 9.0), (3.0, 0.5)])
def test_the_threshold_of_a_price(costs):
    false_positive, false_negative = costs
    t = decision.cost_threshold(*costs)
    for p in np.linspace(0, 1, 41):
        cheaper = (1 - p) * false_positive <= p * false_negative + 1e-12
        assert cheaper == (p >= t - 1e-12)


@pytest.mark.equation("5.5.23")
@pytest.mark.parametrize("costs", [(1.0, 1.0), (1.0, 9.0), (3.0, 0.5)])
def test_the_least_possible_cost(costs):
    """Over all rules on a table of outcomes; and the rule of the threshold is one of the best."""
    rng = np.random.default_rng(11)
    chance, p = rng.dirichlet(np.ones(8)), rng.random(8)
    of = {False: costs[1] * p, True: costs[0] * (1 - p)}
    rules = itertools.product([False, True], repeat=8)
    least = min(
        sum(c * of[r][i] for i, (c, r) in enumerate(zip(chance, rule, strict=True)))
        for rule in rules
    )
    close(least, (chance * np.minimum(of[False], of[True])).sum())
    close(formulas.bayes_cost(p, *costs), np.minimum(of[False], of[True]).mean())
    rule = p >= decision.cost_threshold(*costs)
    close((chance * np.where(rule, of[True], of[False])).sum(), least)


@pytest.mark.equation("5.5.24")
def test_another_clinic(clinic):
    few = world.Patients(*(a[:11] for a in vars(clinic).values()))
    there = world.bayes_log_odds(few, prior=0.04)
    close(calibration.shift_prior(world.bayes_log_odds(few), world.PRIOR, 0.04), there)
    other = math.log(0.04 / 0.96) - math.log(world.PRIOR / (1 - world.PRIOR))
    close(there - world.bayes_log_odds(few), np.full(11, other))


# --- what the model looked at --------------------------------------------------------------------


@pytest.mark.equation("5.5.25")
def test_occlusion_of_a_sum_does_not_depend_on_the_record(x64):
    model, inputs = tiny(), tiny_inputs()

    def z_with(record_of):
        return lambda x: run(model, {"picture": jnp.asarray(x), "record": record_of}, present())

    pictures = np.asarray(inputs["picture"])
    maps = attribution.occlusion_map(z_with(inputs["record"]), pictures, 3, fill=0.5)
    painted = pictures.copy()
    painted[:, 0:3, 3:6] = 0.5
    by_hand = z_with(inputs["record"])(pictures) - z_with(inputs["record"])(painted)
    close(maps[:, 0, 1], by_hand)
    close(maps, attribution.occlusion_map(z_with(-2 * inputs["record"]), pictures, 3, fill=0.5))


@pytest.mark.equation("5.5.26")
def test_no_map_points_better_than_the_posterior(clinic):
    """Hits that the posterior expects of itself against hits counted, and against a shifted map."""
    rows = clinic.spots[:, 0] >= 0
    maps = attribution.sum_over_patches(world.place_posterior(clinic.pictures[rows]), 4)
    right = clinic.spots[rows] // 4
    hits = attribution.pointing_game(maps, right)
    limit = maps.max(axis=(1, 2)).mean()
    assert abs(hits.mean() - limit) < 4 * math.sqrt(hits.var() / len(hits))
    worse = attribution.pointing_game(np.roll(maps, 1, axis=2), right)
    assert worse.mean() < hits.mean()
    blind = np.bincount(right[:, 0] * 6 + right[:, 1], minlength=36)
    assert abs(blind.max() / blind.sum() - 16 / 324) < 0.03
    patches = picture.places() // 4
    assert np.bincount(patches[:, 0] * 6 + patches[:, 1]).max() == 16 and len(patches) == 324


def test_the_numbers_in_the_text():
    assert round(math.log(324), 1) == 5.8
    low, high = discrimination.wilson_interval(9, 10)
    assert (round(low, 2), round(high, 2)) == (0.60, 0.98)
    close(decision.cost_threshold(1, 9), 0.1)
    assert record.FIELDS == ("age", "sex", "history", "marker", "inflammation")
