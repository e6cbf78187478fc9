"""Section 5.6: every equation of the page on learners. Both sides in float64."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig, causal_mask
from mmjax.data import learners as world
from mmjax.data.learners import bayes, signals
from mmjax.data.learners import world as tables
from mmjax.data.voices import without_voice_mean
from mmjax.evaluation.groups import (
    accuracy_gap,
    confusion_rates,
    equalised_odds_gap,
    group_accuracy,
)
from mmjax.evaluation.probes import fit_probe, without_session_mean
from mmjax.models.over_time import CausalModel, steps_mask
from mmjax.models.representation import RepresentationConfig, Tokens
from mmjax.training.balanced import balanced_batches, group_weights

SUBSETS = [("face",), ("voice",), ("text",), ("face", "text"), world.MODALITIES]
STAYS = list(itertools.product(range(2), range(5), range(5)))
"""All values of what stays: group, face baseline, voice baseline."""


def close(left, right, rtol=1e-9):
    np.testing.assert_allclose(left, right, rtol=rtol, atol=1e-12)


@functools.cache
def sessions(number=3, steps=4, seed=5, rare_share=0.5):
    people = world.draw_learners(number, seed=seed, rare_share=rare_share)
    return world.run_sessions(people, steps, seed=seed)


def part(name, x, g, f, s):
    """p(pixels of a part | group g, baseline f, state s), literally; x float64."""
    chances, templates = tables.POSITION[name][g, f, s], signals.TEMPLATE[name]
    return formulas.part_likelihood(x[signals.ROWS[name]], templates, chances, tables.FACE_NOISE)


def likelihoods(one, n, t, reads):
    """p(what is read at step t of session n | u, s) by (5.6.3) to (5.6.5): [50, 4]."""
    out = np.ones((len(STAYS), 4))
    face, voice = one.faces[n, t].astype(np.float64), one.voices[n, t].astype(np.float64)
    if "face" in reads:
        for (g, f), s in itertools.product(itertools.product(range(2), range(5)), range(4)):
            rows = [i for i, u in enumerate(STAYS) if u[:2] == (g, f)]
            for name in signals.ROWS:
                out[rows, s] *= part(name, face, g, f, s)
    if "voice" in reads:
        for c, s in itertools.product(range(5), range(4)):
            rows = [i for i, u in enumerate(STAYS) if u[2] == c]
            chance = np.outer(tables.POSITION["pitch"][c, s], tables.POSITION["melody"][c, s])
            templates = signals.TEMPLATE["voice"].reshape(-1, 8, 12)
            out[rows, s] *= formulas.part_likelihood(
                voice, templates, chance.ravel(), tables.VOICE_NOISE
            )
    if "text" in reads:
        for s in range(4):
            right = tables.CORRECT[s, one.exercises[n, t]]
            out[:, s] *= right if one.correct[n, t] else 1 - right
            for word in one.words[n, t]:
                out[:, s] *= tables.WORD[s, word]
    return out


def whole_prior(rare_share=0.5):
    """p(u) p(s_0), [50, 4]."""
    group = np.array([1 - rare_share, rare_share])
    return np.array([group[g] / 25 * tables.START for g, _, _ in STAYS])


@pytest.mark.equation("5.6.1")
def test_the_state_moves_by_the_table_of_its_exercise():
    many = world.run_sessions(world.draw_learners(20_000, seed=1), 2, seed=2)
    for a, s in itertools.product(range(3), range(4)):
        after = many.states[:, 1][(many.states[:, 0] == s) & (many.exercises[:, 1] == a)]
        share = np.bincount(after, minlength=4) / len(after)
        assert np.abs(share - tables.TRANSITION[a, s]).max() < 4.5 * 0.5 / np.sqrt(len(after))
    close(tables.TRANSITION.sum(axis=2), np.ones((3, 4)))


@pytest.mark.equation("5.6.2")
def test_a_session_is_a_product():
    """log p(session) less that of another path of states is what the tables say."""
    one, n = sessions(), 1
    like = np.array([likelihoods(one, n, t, world.MODALITIES) for t in range(4)])
    fast = bayes.log_likelihoods(one, world.MODALITIES)[n].reshape(4, -1, 4)
    for first, second in (((0, 1, 2, 3), (1, 1, 0, 2)), ((3, 3, 3, 3), (2, 0, 2, 1))):
        for u, w in ((0, 31), (17, 49)):
            slow = sum(np.log(like[t, u, first[t]] / like[t, w, second[t]]) for t in range(4))
            close(slow, sum(fast[t, u, first[t]] - fast[t, w, second[t]] for t in range(4)), 1e-7)


@pytest.mark.equation("5.6.3", "5.6.4", "5.6.5")
@pytest.mark.parametrize("reads", SUBSETS[:3])
def test_the_likelihood_of_one_signal(reads):
    one, shape = sessions(), (2, 5, 5, 4)
    for n, t in ((0, 0), (2, 3)):
        slow = np.log(likelihoods(one, n, t, reads)).reshape(shape)
        fast = np.broadcast_to(bayes.log_likelihoods(one, reads)[n, t], shape)
        close(slow - slow[0, 0, 0, 0], fast - fast[0, 0, 0, 0], 1e-7)


@pytest.mark.equation("5.6.3", "5.6.4", "5.6.5")
def test_signals_have_the_mean_and_the_spread_that_the_formulas_say():
    rng, n = np.random.default_rng(3), 40_000
    faces = signals.draw_faces(rng, *(np.full(n, i) for i in (0, 1, 3)), np.zeros((n, 3, 16)))
    for name, rows in signals.ROWS.items():
        chance, template = tables.POSITION[name][1, 3, 0], signals.TEMPLATE[name]
        mean = np.tensordot(chance, template, 1)
        square = np.tensordot(chance, template**2, 1) + tables.FACE_NOISE**2
        assert np.abs(faces[:, rows].mean(0) - mean).max() < 6 * 0.5 / np.sqrt(n)
        assert np.abs((faces[:, rows] ** 2).mean(0) - square).max() < 6 * 1.0 / np.sqrt(n)
    voices = signals.draw_voices(rng, np.full(n, 2), np.full(n, 4))
    chance = np.outer(tables.POSITION["pitch"][4, 2], tables.POSITION["melody"][4, 2])
    mean = np.tensordot(chance, signals.TEMPLATE["voice"], 2)
    assert np.abs(voices.mean(0) - mean).max() < 6 * 1.1 / np.sqrt(n)
    correct, words = signals.draw_answers(rng, np.full(n, 1), np.full(n, 2))
    assert abs(correct.mean() - tables.CORRECT[1, 2]) < 6 * 0.5 / np.sqrt(n)
    share = np.bincount(words.ravel(), minlength=10) / words.size
    assert np.abs(share - tables.WORD[1]).max() < 6 * 0.5 / np.sqrt(n)


@pytest.mark.equation("5.6.6", "5.6.7", "5.6.8")
@pytest.mark.parametrize("reads", SUBSETS)
def test_the_filter_is_the_sum_over_all_paths(reads):
    one, n = sessions(), 2
    like = np.array([likelihoods(one, n, t, reads) for t in range(4)])
    like = like / like.max(axis=(1, 2), keepdims=True)
    move = tables.TRANSITION[one.exercises[n]]
    steps = formulas.forward_posterior(whole_prior(), move, like)
    fast = bayes.filter_sessions(one, reads, rare_share=0.5)
    fine = np.array(np.broadcast_shapes(fast.shape, (3, 4, 2, 5, 5, 4)))
    spread = np.prod(fine[2:5]) / np.prod(fast.shape[2:5])  # an axis not read is even, or a prior
    for t in (0, 2):
        paths = formulas.path_posterior(whole_prior(), move[: t + 1], like[: t + 1])
        close(steps[t], paths)
        close(bayes.of_state(fast)[n, t], paths.sum(axis=0), 1e-7)
        if reads == world.MODALITIES:
            assert spread == 1
            close(fast[n, t].reshape(-1, 4), paths, 1e-6)


@pytest.mark.equation("5.6.9")
def test_the_belief_says_what_was_learned_about_the_learner():
    one = sessions(40, 8, 7)
    belief = bayes.filter_sessions(one, rare_share=0.5)
    close(belief.sum(axis=(2, 3, 4, 5)), np.ones((40, 8)))
    close(bayes.of_state(belief), belief.sum(axis=(2, 3, 4)))
    of_learner = belief.sum(axis=5)
    rows, who = np.arange(40), one.learners
    truth = of_learner[rows, :, who.group, who.face_baseline, who.voice_baseline]
    assert truth[:, -1].mean() > 2 * truth[:, 0].mean()
    known = bayes.of_known_baseline(one)
    right = [(p.argmax(-1) == one.states).mean() for p in (known, bayes.of_state(belief))]
    assert right[0] > right[1]
    # The hair says nothing of the state, whatever it looks like.
    other = one.faces.copy()
    other[:, :, signals.HAIR] = 9.0
    changed = bayes.filter_sessions(dataclasses.replace(one, faces=other), rare_share=0.5)
    close(changed, belief)


@pytest.mark.equation("5.6.10")
def test_no_answer_is_right_more_often_than_the_most_probable_one():
    """One step, read as text only, after an exercise of medium difficulty: all 200 answers."""
    came = tables.START @ tables.TRANSITION[1]
    joint = []
    for y, first, second in itertools.product((0, 1), range(10), range(10)):
        right = tables.CORRECT[:, 1] if y else 1 - tables.CORRECT[:, 1]
        joint.append(came * right * tables.WORD[:, first] * tables.WORD[:, second])
    joint = np.array(joint)
    close(joint.sum(), 1)
    best = formulas.best_state_accuracy(joint)
    rng, row = np.random.default_rng(0), np.arange(len(joint))
    close(best, joint[row, joint.argmax(axis=1)].sum())
    for _ in range(50):
        assert joint[row, rng.integers(4, size=len(joint))].sum() < best
    people = world.draw_learners(20_000, seed=3)
    many = world.run_sessions(people, 1, seed=4, choose=lambda t, past: np.ones(20_000, int))
    said = bayes.of_state(bayes.filter_sessions(many, ("text",))).argmax(-1)
    assert abs((said == many.states).mean() - best) < 4.5 * 0.5 / np.sqrt(20_000)


@pytest.mark.equation("5.6.11")
@pytest.mark.parametrize("reads", [("text",), world.MODALITIES])
def test_the_belief_of_one_step_alone(reads):
    one, n = sessions(), 1
    came = tables.START
    fast = bayes.of_one_step(one, reads, rare_share=0.5)
    close(fast[:, 0], bayes.of_state(bayes.filter_sessions(one, reads, rare_share=0.5))[:, 0])
    for t in range(3):
        like = likelihoods(one, n, t, reads)
        weights = whole_prior().sum(axis=1)
        predicted = came @ tables.TRANSITION[one.exercises[n, t]]
        slow = (weights[:, None] * like * predicted).sum(axis=0)
        close(fast[n, t], slow / slow.sum(), 1e-7)
        came = sum(came @ A for A in tables.TRANSITION) / 3


SIZES = {"a": Tokens(5, 3), "b": Tokens(2, 3), "c": Tokens(3, 3)}


def causal_model(seed=0):
    """A small model in float64 with every parameter drawn at random."""
    config = RepresentationConfig(SIZES, TransformerConfig(2, 4, 2, 6), 4)
    model = nnx.eval_shape(lambda: CausalModel(config, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(seed)
    nnx.update(
        model, jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), nnx.state(model))
    )
    return model


def observed(seed=1, batch=2):
    rng = np.random.default_rng(seed)
    return {k: jnp.asarray(rng.normal(size=(batch, 3, v.features))) for k, v in SIZES.items()}


@jax.jit
def run(model, tokens):
    return model({k: (x, None) for k, x in tokens.items()})


@pytest.mark.equation("5.6.12")
def test_the_mask_is_causal_over_steps_and_open_over_modalities():
    for K, T in ((1, 5), (2, 3), (3, 7)):
        np.testing.assert_array_equal(steps_mask(K, T), formulas.causal_steps_mask(K, T))
    np.testing.assert_array_equal(steps_mask(1, 5), causal_mask(5))
    assert not np.array_equal(steps_mask(2, 3), causal_mask(6))


@pytest.mark.equation("5.6.13")
def test_a_step_is_a_mean_of_its_tokens_and_knows_nothing_of_the_future(x64):
    model, tokens = causal_model(), observed(batch=1)
    y, jacobian = jax.jit(lambda m, x: (run(m, x), jax.jacrev(run, argnums=1)(m, x)))(model, tokens)
    assert y.shape == (1, 3, 4)
    for table in jacobian.values():  # [1, t, E, 1, t', features]
        size = np.abs(np.asarray(table)).max(axis=(0, 2, 3, 5))
        assert (size[np.triu_indices(3, 1)] == 0).all()
        assert (size[np.tril_indices(3)] > 1e-6).all()
    streams, _ = model.embed({k: (x, None) for k, x in tokens.items()})
    x = jnp.concatenate(list(streams.values()), axis=1)
    h = np.asarray(model.transformer(x, mask=jnp.asarray(formulas.causal_steps_mask(3, 3))))
    W = np.asarray(model.projection.kernel[...])
    for t in range(3):
        close(y[0, t], np.mean([h[0, 3 * k + t] for k in range(3)], axis=0) @ W)


@pytest.mark.equation("5.6.14")
def test_cross_entropy_is_uncertainty_plus_what_the_model_lacks():
    rng = np.random.default_rng(0)
    b, logits = rng.dirichlet(np.ones(4), size=7), rng.normal(size=(7, 4))
    q = np.array([formulas.softmax(z) for z in logits])
    cross = [-sum(b[i, s] * np.log(q[i, s]) for s in range(4)) for i in range(7)]
    entropy, lacks = -(b * np.log(b)).sum(1), (b * np.log(b / q)).sum(1)
    close(cross, entropy + lacks)
    assert (lacks > 0).all()
    # And on data: the mean surprise about the true states is the mean entropy, but for chance.
    many = sessions(2000, 3, 9, 0.1)
    p = bayes.of_state(bayes.filter_sessions(many, ("text",)))
    surprise = -np.log(np.take_along_axis(p, many.states[..., None], 2))[..., 0]
    uncertainty = -(p * np.log(p)).sum(-1)
    assert abs((surprise - uncertainty).mean()) < 4.5 * surprise.std() / np.sqrt(2000)


@pytest.mark.equation("5.6.15", "5.6.16")
def test_the_value_of_an_exercise_is_that_of_the_best_plan():
    q = world.exercise_values(3)
    for h in (1, 2, 3):
        close(q[h - 1], formulas.exercise_values(h, tables.GAIN, tables.TRANSITION))
    # Every plan of three exercises that may depend on the state: 3 · 81 · 81 of them, by hand.
    plans = list(itertools.product(range(3), repeat=4))
    one = {p: np.array([tables.GAIN[s, p[s]] for s in range(4)]) for p in plans}
    last = np.max(list(one.values()), axis=0)
    middle = [
        gain + np.array([tables.TRANSITION[p[s], s] @ last for s in range(4)])
        for p, gain in one.items()
    ]
    best = np.max(middle, axis=0)
    for s, a in itertools.product(range(4), range(3)):
        close(q[2][s, a], tables.GAIN[s, a] + tables.TRANSITION[a, s] @ best)


@pytest.mark.equation("5.6.17")
def test_the_choice_is_the_best_in_the_mean():
    rng, q = np.random.default_rng(0), world.exercise_values(5)
    belief = rng.dirichlet(np.ones(4), size=11)
    for h in (0, 4):
        mean = [[sum(b[s] * q[h][s, a] for s in range(4)) for a in range(3)] for b in belief]
        np.testing.assert_array_equal(world.choose_exercise(belief, q[h]), np.argmax(mean, axis=1))
    np.testing.assert_array_equal(world.choose_exercise(np.eye(4), q[4]), q[4].argmax(axis=1))


@pytest.mark.equation("5.6.18")
def test_nobody_gains_more_than_the_oracle():
    steps, n = 3, 4000
    people = world.draw_learners(n, seed=1)
    bound = tables.START @ world.exercise_values(steps)[-1].max(axis=1)
    state = {}

    def oracle(t, past):  # s_0 is not shown to a policy: run once to know it
        now = state["before"] if past is None else past.states[:, -1]
        return world.exercise_values(steps)[steps - t - 1][now].argmax(axis=1)

    state["before"] = world.run_sessions(people, 1, seed=2).before
    known = world.run_sessions(people, steps, seed=2, choose=oracle)
    np.testing.assert_array_equal(known.before, state["before"])
    gain = known.gains.sum(axis=1)
    error = gain.std() / np.sqrt(n)
    assert abs(gain.mean() - bound) < 4.5 * error
    by_text = world.belief_policy(
        lambda past: bayes.of_state(bayes.filter_sessions(past, ("text",)))[:, -1], n, steps
    )
    less = world.run_sessions(people, steps, seed=2, choose=by_text).gains.sum(axis=1)
    random = world.run_sessions(people, steps, seed=2).gains.sum(axis=1)
    assert random.mean() + 4 * error < less.mean() < bound - 4 * error


def answers(seed=0, n=13, T=5):
    rng = np.random.default_rng(seed)
    groups = (np.arange(n) % 3 == 0).astype(int)
    return rng.integers(4, size=(n, T)), rng.integers(4, size=(n, T)), groups


@pytest.mark.equation("5.6.19")
def test_the_accuracy_gap_by_counting():
    said, truth, groups = answers()
    acc = []
    for g in (0, 1):
        own = [np.mean(said[n] == truth[n]) for n in range(13) if groups[n] == g]
        acc.append(sum(own) / len(own))
    close(group_accuracy(said == truth, groups)[0], acc)
    close(accuracy_gap(said == truth, groups), acc[0] - acc[1])


@pytest.mark.equation("5.6.20")
def test_equalised_odds_by_counting():
    said, truth, groups = answers(1)
    rates = confusion_rates(said, truth, groups, 4)
    close(equalised_odds_gap(rates), formulas.equalised_odds_gap(said, truth, groups, 4))
    close(equalised_odds_gap(np.stack([rates[0], rates[0]])), 0)


@pytest.mark.equation("5.6.21")
def test_the_variance_of_a_mean_of_answers_that_belong_together():
    rng, n, T = np.random.default_rng(0), 7, 5
    spread = rng.uniform(0.5, 0.9, T)
    spread = spread / np.sqrt((spread**2).mean())  # mean variance 1
    mixing = rng.normal(size=(T, T))
    covariance = mixing @ mixing.T
    scale = np.sqrt(np.trace(covariance) / T)
    covariance = covariance / scale**2
    slow = np.ones(T) @ covariance @ np.ones(T) / T**2 / n
    correlation = (covariance.sum() - T) / (T * (T - 1))  # the mean of those off the diagonal
    close(formulas.variance_of_mean(1.0, correlation, n, T), slow)
    # The standard error over persons is that, estimated: without bias.
    root = np.linalg.cholesky(covariance)
    drawn = np.einsum("ts,rns->rnt", root, rng.normal(size=(4000, n, T)))
    own = drawn.mean(axis=2)
    assert abs((own.var(axis=1, ddof=1) / n).mean() / slow - 1) < 0.06
    # And `group_accuracy` computes it.
    said, truth, groups = answers(2)
    right = said == truth
    mine = right[groups == 1].mean(axis=1)
    error = np.sqrt(sum((r - mine.mean()) ** 2 for r in mine) / (len(mine) - 1) / len(mine))
    close(group_accuracy(right, groups)[1][1], error)


@pytest.mark.equation("5.6.22")
def test_a_gap_is_that_of_the_signals_and_that_of_the_model():
    said, truth, groups = answers(3)
    best = answers(4)[0]
    acc, limit = (group_accuracy(x == truth, groups)[0] for x in (said, best))
    signals_part = limit[0] - limit[1]
    model_part = (limit[1] - acc[1]) - (limit[0] - acc[0])
    close(accuracy_gap(said == truth, groups), signals_part + model_part)


@pytest.mark.equation("5.6.23")
def test_balanced_batches_are_weights_in_the_loss():
    rng = np.random.default_rng(0)
    groups, loss = np.array([0] * 11 + [1] * 2 + [2] * 5), rng.normal(size=18)
    left = np.mean([loss[groups == g].mean() for g in range(3)])
    close(left, np.mean(group_weights(groups) * loss))
    rows = np.concatenate(list(itertools.islice(balanced_batches(groups, 1000, seed=0), 60)))
    assert abs(loss[rows].mean() - left) < 4.5 * loss.std() / np.sqrt(len(rows))
    share = np.bincount(rows, minlength=18) / len(rows)
    assert np.abs(share - group_weights(groups) / 18).max() < 4.5 * 0.4 / np.sqrt(len(rows))


@pytest.mark.equation("5.6.24")
def test_the_probe_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(29, 5)) * [1, 2, 3, 0.1, 1], rng.integers(3, size=29)
    probe = fit_probe(x, labels, ridge=0.3)
    close(probe.weights, formulas.probe_weights(x, labels, 3, 0.3), 1e-8)

    def cost(W):
        inside, target = x - x.mean(0), np.eye(3)[labels] - np.eye(3)[labels].mean(0)
        return ((inside @ W - target) ** 2).sum() / 29 + 0.3 * x.var(axis=0).mean() * (W**2).sum()

    for _ in range(20):
        assert cost(probe.weights + 1e-3 * rng.normal(size=(5, 3))) > cost(probe.weights)
    close(probe(x), (x - x.mean(0)) @ probe.weights + np.eye(3)[labels].mean(0))


@pytest.mark.equation("5.6.25")
def test_without_its_mean_a_session_says_nothing_linear_on_average():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(3, 7, 5)) + 10 * rng.normal(size=(3, 1, 5))
    for W in rng.normal(size=(4, 5, 2)):
        close((without_session_mean(h) @ W).mean(axis=1), np.zeros((3, 2)))
    close(without_session_mean(h)[1, 2], h[1, 2] - sum(h[1, t] for t in range(7)) / 7)


@pytest.mark.equation("5.6.26")
def test_what_filters_a_voice_goes_with_the_mean_of_its_logarithm():
    rng = np.random.default_rng(0)
    spectrum, throat = (
        rng.normal(size=s) + 1j * rng.normal(size=s) for s in ((2, 7, 5), (2, 1, 5))
    )
    left = without_voice_mean(np.log(np.abs(throat * spectrum) ** 2))
    right = np.log(np.abs(spectrum) ** 2)
    close(left, right - right.mean(axis=1, keepdims=True))


@pytest.mark.equation("5.6.2")
def test_sessions_are_drawn_from_the_product():
    """Two steps, states and answers: 4 · 4 · 4 · 2 · 2 cells, each counted against its product."""
    n, A = 20_000, tables.TRANSITION
    many = world.run_sessions(world.draw_learners(n, seed=1), 2, seed=2)
    right = tables.CORRECT.T  # [a, s]
    answer = np.stack([1 - right, right], axis=-1)
    # The exercises a and b are drawn evenly of three each.
    product = np.einsum("i,aij,ajy,bjk,bkz->ijykz", tables.START, A, answer, A, answer) / 9
    counted = np.zeros(product.shape)
    (s1, s2), (y1, y2) = many.states.T, many.correct.T.astype(int)
    np.add.at(counted, (many.before, s1, y1, s2, y2), 1 / n)
    assert (np.abs(counted - product) / np.sqrt(product / n + 1 / n**2)).max() < 5
