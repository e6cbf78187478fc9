"""Section 6.1: losses of groups, what captions teach, the projector, scaling laws, experts."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.data import scenes as world
from mmjax.evaluation import ScalingLaw, fit_scaling_law
from mmjax.evaluation.probes import fit_probe
from mmjax.evaluation.scaling import _predict
from mmjax.losses import clip_loss, next_token_loss, sigmoid_loss
from mmjax.measure import matrix_flops
from mmjax.models.mixture import MixtureMLP
from mmjax.models.projector import Answerer, AnswererConfig
from mmjax.models.routing import balance_loss, expert_capacity, route

LAW = ScalingLaw(0.7, 11.0, 0.37, 23.0, 0.29)


def unit(seed, *shape):
    x = np.random.default_rng(seed).normal(size=shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.equation("6.1.1")
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_a_loss_of_groups_is_the_loss_of_the_batch_with_pairs_left_out(x64, loss):
    pairs, group = 15, 5
    u, v = unit(0, pairs, 7), unit(1, pairs, 7)
    negatives = formulas.group_negatives(pairs, group)
    parts = [(u[i : i + group], v[i : i + group]) for i in range(0, pairs, group)]
    if loss == "softmax":
        left = np.mean([formulas.clip_loss(a, b, 1.3) for a, b in parts])
        right = clip_loss(jnp.array(u), jnp.array(v), 1.3, negatives=jnp.array(negatives))
    else:
        left = np.mean([formulas.sigmoid_loss(a, b, 1.3, -1.1) for a, b in parts])
        kept = jnp.array(negatives)
        right = sigmoid_loss(jnp.array(u), jnp.array(v), 1.3, -1.1, negatives=kept)
    np.testing.assert_allclose(left, right, rtol=1e-12)


@pytest.mark.equation("6.1.2")
def test_only_softmax_ties_the_pairs_of_a_row_together(x64):
    n = 5
    z = jnp.array(np.random.default_rng(2).normal(size=(n, n)))
    eye = jnp.eye(n)

    def softmax_loss(z):
        return (jax.nn.logsumexp(z, axis=1) - jnp.diagonal(z)).mean()

    def by_pair(z):
        return jax.nn.softplus(-(2 * eye - 1) * z).sum() / n

    of_softmax = np.asarray(jax.hessian(softmax_loss)(z))
    of_sigmoid = np.asarray(jax.hessian(by_pair)(z))
    p = np.array([formulas.softmax(row) for row in np.asarray(z)])
    for i in range(n):
        for j in range(n):
            for k in set(range(n)) - {j}:
                np.testing.assert_allclose(of_softmax[i, j, i, k], -p[i, j] * p[i, k] / n)
                assert of_sigmoid[i, j, i, k] == 0


@pytest.mark.equation("6.1.3")
@pytest.mark.parametrize("n", [3, 8, 128])
def test_the_best_constant_logit_of_the_sigmoid_loss(n):
    z = np.linspace(-12, 3, 150_001)
    loss = np.log1p(np.exp(-z)) + (n - 1) * np.log1p(np.exp(z))
    assert z[loss.argmin()] == pytest.approx(-math.log(n - 1), abs=1e-3)
    assert loss.min() == pytest.approx(n * math.log(n) - (n - 1) * math.log(n - 1), rel=1e-7)
    same = np.tile([[0.6, 0.8]], (n, 1))
    started = formulas.sigmoid_loss(same, same, 0.0, -math.log(n - 1) - 1)  # e^0 · 1 + bias
    assert started == pytest.approx(loss.min(), rel=1e-7)


def test_the_published_bias_is_for_a_batch_of_about_22000():
    assert round(math.exp(10) + 1, -3) == 22_000


@pytest.mark.equation("6.1.4")
def test_what_a_captioner_gains_is_at_most_the_information():
    rng = np.random.default_rng(3)
    p = rng.random((5, 7)) ** 3
    p /= p.sum()
    blind, given = p.sum(0), p / p.sum(1, keepdims=True)
    H = -(blind * np.log(blind)).sum()
    information = (p * np.log(p / (p.sum(1, keepdims=True) * blind))).sum()

    def gain(model):
        return H + (p * np.log(model)).sum()

    np.testing.assert_allclose(gain(given), information, rtol=1e-12)
    for _ in range(20):
        model = rng.random((5, 7))
        model /= model.sum(1, keepdims=True)
        rest = (p * np.log(given / model)).sum()  # the mean KL of the proof
        assert rest > 0
        np.testing.assert_allclose(gain(model), information - rest, rtol=1e-9)


@pytest.mark.equation("6.1.5")
def test_the_probe_is_where_the_gradient_is_zero():
    rng = np.random.default_rng(4)
    X, labels, weight = rng.normal(size=(23, 5)), rng.integers(0, 3, 23), 0.7
    probe = fit_probe(X, labels, ridge=weight)
    phi, Y = X - X.mean(0), np.eye(3)[labels] - np.eye(3)[labels].mean(0)
    penalty = weight * X.var(0).mean()
    slope = phi.T @ (phi @ probe.weights - Y) / 23 + penalty * probe.weights
    np.testing.assert_allclose(slope, 0, atol=1e-12)
    # Another way to the same: plain least squares with √(S λ) as further rows.
    rows = np.concatenate([phi, math.sqrt(23 * penalty) * np.eye(5)])
    other = np.linalg.lstsq(rows, np.concatenate([Y, np.zeros((5, 3))]), rcond=None)[0]
    np.testing.assert_allclose(probe.weights, other, atol=1e-12)


CONFIG = AnswererConfig(5, 4, 13, 3, 2, TransformerConfig(layers=1, width=6, heads=2, hidden=7))


@pytest.fixture(scope="module")
def answerer():
    return Answerer(CONFIG, rngs=nnx.Rngs(0))


@pytest.mark.equation("6.1.6")
def test_the_decoder_reads_the_projected_tokens_question_and_answer(x64, answerer, monkeypatch):
    graph, state = nnx.split(answerer)
    model = nnx.merge(graph, jax.tree.map(lambda x: x.astype(jnp.float64), state))
    rng, seen = np.random.default_rng(5), []
    c, q, a = rng.normal(size=(2, 4, 5)), rng.integers(4, 13, (2, 3)), rng.integers(4, 13, (2, 2))
    model.transformer = lambda x, mask: seen.append(x) or x
    model(jnp.array(c), jnp.array(q), jnp.ones((2, 3), bool), jnp.array(a))
    w1, b1 = (np.asarray(x[...]) for x in (model.expand.kernel, model.expand.bias))
    w2, b2 = (np.asarray(x[...]) for x in (model.contract.kernel, model.contract.bias))
    E, positions = np.asarray(model.text.embedding[...]), np.asarray(model.text.positions[...])
    image = formulas.gelu_tanh(c @ w1 + b1) @ w2 + b2
    image = image + np.asarray(model.places[...])
    words = E[np.concatenate([q, a], axis=1)] + positions
    expected = np.concatenate([image, words], axis=1)
    np.testing.assert_allclose(seen[0], expected, atol=1e-12)


@pytest.mark.equation("6.1.7")
def test_only_the_words_of_the_answer_are_predicted(x64):
    rng = np.random.default_rng(6)
    z, targets = rng.normal(size=(3, 2, 7)), rng.integers(0, 7, (3, 2))
    counts = np.array([[True, True], [True, False], [True, True]])
    total = 0.0
    for b, t in np.argwhere(counts):
        total -= math.log(formulas.softmax(z[b, t])[targets[b, t]])
    package = next_token_loss(jnp.array(z), jnp.array(targets), jnp.array(counts))
    np.testing.assert_allclose(package, total / counts.sum(), rtol=1e-12)


@pytest.mark.equation("6.1.8")
def test_weight_decay_moves_what_has_no_gradient():
    rates, decay = [0.1, 0.3, 0.2], 0.05
    w = start = np.random.default_rng(7).normal(size=(3, 5))
    m = v = np.zeros((3, 5))
    for step, rate in enumerate(rates):
        none = np.zeros((3, 5))
        w, m, v = formulas.adamw_step(w, m, v, none, step, rate, 0.9, 0.98, 1e-8, decay)
    np.testing.assert_allclose(w, start * np.prod([1 - r * decay for r in rates]), rtol=1e-12)
    assert not np.allclose(w, start)


@pytest.mark.equation("6.1.9")
def test_the_best_answer_without_an_image():
    rng = np.random.default_rng(8)
    p = rng.random((4, 5))
    p /= p.sum()
    every = np.stack(np.meshgrid(*[range(5)] * 4), axis=-1).reshape(-1, 4)  # all ways to answer
    best = max(p[range(4), answers].sum() for answers in every)
    assert formulas.best_state_accuracy(p) == pytest.approx(best, rel=1e-12)


def test_the_blind_levels_of_the_page():
    """A third for counts and shapes, a quarter for colours, and so on, by counting."""
    asked = world.ask_questions(world.sample_scenes(20_000, seed=0), seed=1)
    levels = {"count": 1 / 3, "colour": 1 / 4, "shape": 1 / 3, "size": 1 / 2, "motion": 1 / 5}
    for kind, level in (levels | {"exists": 1 / 2}).items():
        of_kind = [q for q in asked if q.kind == kind]
        texts, answers = (sorted({getattr(q, n) for q in of_kind}) for n in ("text", "answer"))
        joint = np.zeros((len(texts), len(answers)))
        for q in of_kind:
            joint[texts.index(q.text), answers.index(q.answer)] += 1 / len(of_kind)
        assert formulas.best_state_accuracy(joint) == pytest.approx(level, abs=0.04)


@pytest.mark.equation("6.1.10")
def test_the_law_is_a_sum_of_three_terms():
    for N, D in ((1e3, 1e5), (7e4, 2e3)):
        expected = formulas.scaling_loss(0.7, 11.0, 0.37, 23.0, 0.29, N, D)
        assert LAW.loss(N, D) == pytest.approx(expected, rel=1e-14)


@pytest.mark.equation("6.1.11")
def test_the_law_in_logarithms_and_its_slope():
    x = np.log(np.random.default_rng(9).uniform(1e2, 1e6, (7, 2)))
    theta = np.array([[math.log(0.7), math.log(11), 0.37, math.log(23), 0.29]])
    value, slope = _predict(theta, x)
    np.testing.assert_allclose(value[0], np.log(LAW.loss(*np.exp(x.T))), rtol=1e-12)
    for i in range(5):
        step = np.zeros((1, 5))
        step[0, i] = 1e-6
        change = (_predict(theta + step, x)[0] - _predict(theta - step, x)[0]) / 2e-6
        np.testing.assert_allclose(slope[..., i], change, atol=1e-8)


@pytest.mark.equation("6.1.12")
def test_the_fit_minimises_the_huber_loss():
    rng = np.random.default_rng(10)
    N, D = (x.ravel() for x in np.meshgrid(10.0 ** np.arange(2, 7), 10.0 ** np.arange(3, 7)))
    losses = LAW.loss(N, D) * np.exp(0.01 * rng.normal(size=20))
    delta = 1e-3

    def cost(law):
        r = np.log(law.loss(N, D)) - np.log(losses)
        return sum(formulas.huber(x, delta) for x in r)

    found = fit_scaling_law(N, D, losses, delta=delta)
    best = cost(found)
    assert best <= cost(LAW)
    for name in ("E", "A", "alpha", "B", "beta"):
        for factor in (0.995, 1.005):
            values = vars(found) | {name: getattr(found, name) * factor}
            assert cost(ScalingLaw(**values)) > best


@pytest.mark.equation("6.1.13", "6.1.14")
def test_the_best_split_of_compute():
    C = 3e10
    N, D = LAW.best_split(C)
    assert 6 * N * D == pytest.approx(C, rel=1e-12)
    grid = np.exp(np.linspace(math.log(N) - 3, math.log(N) + 3, 60_001))
    losses = LAW.loss(grid, C / 6 / grid)
    assert grid[losses.argmin()] == pytest.approx(N, rel=1e-3)
    G = (LAW.alpha * LAW.A / (LAW.beta * LAW.B)) ** (1 / (LAW.alpha + LAW.beta))
    falls = LAW.alpha * LAW.beta / (LAW.alpha + LAW.beta)
    reducible = (LAW.A * G**-LAW.alpha + LAW.B * G**LAW.beta) * (C / 6) ** -falls
    assert losses.min() - LAW.E == pytest.approx(reducible, rel=1e-6)


@pytest.fixture(scope="module")
def layer():
    config = TransformerConfig(layers=1, width=5, heads=1, hidden=7)
    made = MixtureMLP(config, 3, 2, rngs=nnx.Rngs(1))
    rng = np.random.default_rng(11)
    graph, state = nnx.split(made)
    drawn = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), state)
    return nnx.merge(graph, drawn)


@pytest.mark.equation("6.1.15", "6.1.16", "6.1.17")
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_mixture_is_a_loop_over_tokens_and_experts(x64, layer, k):
    graph, state = nnx.split(layer)
    model = nnx.merge(graph, jax.tree.map(lambda x: x.astype(jnp.float64), state))
    model.k = k
    x = np.random.default_rng(12).normal(size=(2, 11, 5))
    y, routing = nnx.jit(lambda m, x: m(x))(model, jnp.array(x))
    w1, b1 = (np.asarray(p[...]) for p in (model.expand.kernel, model.expand.bias))
    w2, b2 = (np.asarray(p[...]) for p in (model.contract.kernel, model.contract.bias))
    experts = [lambda v, e=e: formulas.gelu(v @ w1[e] + b1[e]) @ w2[e] + b2[e] for e in range(3)]
    router = np.asarray(model.router.kernel[...])
    expected, gates = formulas.mixture_of_experts(x.reshape(22, 5), router, experts, k)
    np.testing.assert_allclose(np.asarray(y).reshape(22, 5), expected, atol=1e-12)
    np.testing.assert_allclose(routing.gates, gates, atol=1e-12)
    p = [formulas.softmax(row) for row in x.reshape(22, 5) @ router]
    np.testing.assert_allclose(routing.probabilities, p, atol=1e-12)


@pytest.mark.equation("6.1.18")
@pytest.mark.parametrize("k", [1, 2])
def test_the_balance_loss_and_its_gradient(x64, k):
    z = jnp.array(np.random.default_rng(13).normal(size=(17, 5)))
    routing = route(z, k)
    p = np.asarray(routing.probabilities)
    np.testing.assert_allclose(balance_loss(routing), formulas.load_balance(p, k), rtol=1e-12)
    share = np.asarray(routing.chosen).sum(0) / (17 * k)
    slope = jax.grad(lambda p: balance_loss(routing._replace(probabilities=p)))(jnp.array(p))
    np.testing.assert_allclose(slope.sum(0), 5 * share, rtol=1e-12)


@pytest.mark.equation("6.1.19")
def test_the_balance_loss_of_one_for_all_and_of_an_even_spread(x64):
    one = route(jnp.array(np.tile([[100.0, 0, 0, 0, 0]], (7, 1))), 1)
    assert float(balance_loss(one)) == pytest.approx(5, rel=1e-12)
    even = route(jnp.array(1e-9 * np.eye(5)), 1)
    assert float(balance_loss(even)) == pytest.approx(1, rel=1e-8)


@pytest.mark.equation("6.1.20")
def test_the_capacity():
    for tokens, experts, k, factor in ((17, 5, 1, 1.0), (17, 5, 2, 1.25), (7, 2, 2, 3.0)):
        got = expert_capacity(tokens, experts, k, factor)
        assert got == formulas.capacity(tokens, experts, k, factor)
        assert got == tokens or got >= factor * k * tokens / experts > got - 1


@pytest.mark.equation("6.1.21", "6.1.22")
def test_what_a_mixture_costs():
    M, F, X, k, T = 6, 8, 5, 2, 40
    config = TransformerConfig(layers=1, width=M, heads=1, hidden=F)
    dense = config.mlp(rngs=nnx.Rngs(0))
    # Room for exactly an even spread: X experts of k T / X tokens each.
    sparse = MixtureMLP(config, X, k, capacity_factor=1.0, rngs=nnx.Rngs(0))
    x = jnp.ones((1, T, M))
    assert matrix_flops(dense, x) == T * 4 * M * F
    assert matrix_flops(lambda x: sparse(x)[0], x) == T * (4 * k * M * F + 2 * M * X)
    sizes = [sum(p.size for p in jax.tree.leaves(nnx.state(m))) for m in (dense, sparse)]
    assert sizes == [2 * M * F + F + M, X * (2 * M * F + F + M) + M * X]


@pytest.mark.equation("6.1.23")
def test_what_a_modality_more_costs_in_attention():
    lengths, more, shared = (7, 5, 3), 11, 2
    count = formulas.multimodal_weights

    def added(kind, Z=0):
        return count(kind, (*lengths, more), Z) - count(kind, lengths, Z)

    T = sum(lengths)
    assert added("single-stream") == 2 * T * more + more**2
    assert added("bottleneck", shared) == (more + shared) ** 2
