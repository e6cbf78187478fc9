"""Section 2.2, equations 1 to 16: what representations can know. Both sides in float64."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.losses import cross_entropy
from mmjax.models.representation import (
    CoordinatedModel,
    CrossAttentionModel,
    JointModel,
    RepresentationConfig,
    Tokens,
)
from tests.models.test_encoders import literal_attention, literal_transformer, parameters

B, M, E = 2, 6, 5
SIZES = TransformerConfig(layers=1, width=M, heads=2, hidden=7)
SPECS = {"a": Tokens(11, 4), "b": Tokens(3, 2), "c": Tokens(2, 3)}
RNG = np.random.default_rng(22)


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-11)


@functools.cache
def make(kind):
    """A model in float64 with every parameter drawn at random."""
    config = RepresentationConfig(SPECS, SIZES, E)
    graph, state = nnx.split(nnx.eval_shape(lambda: kind(config, rngs=nnx.Rngs(0))))
    rng = np.random.default_rng(1)
    return nnx.merge(
        graph, jax.tree.map(lambda p: jnp.asarray(0.5 * rng.normal(size=p.shape)), state)
    )


def make_inputs():
    rng = np.random.default_rng(2)
    inputs = {}
    for name, spec in SPECS.items():
        mask = np.ones((B, spec.length), bool)
        mask[0, -1] = False
        inputs[name] = (
            jnp.asarray(rng.normal(size=(B, spec.length, spec.features))),
            jnp.asarray(mask),
        )
    return inputs


def run(model, inputs):
    graph, state = nnx.split(model)
    return jax.jit(lambda state, inputs: nnx.merge(graph, state)(inputs))(state, inputs)


def literal_tokens(p, name, tokens):
    """x_k A_k + P_k of one example [T, features]."""
    part = p["inputs"][name]
    x = tokens @ part["linear"]["kernel"] + part["linear"]["bias"]
    return x + part["positions"][: len(tokens)]


# --- what a representation is for --------------------------------------------------------------


@pytest.mark.equation("2.2.1")
@pytest.mark.equation("2.2.2")
@pytest.mark.equation("2.2.3")
def test_cross_entropy_of_a_linear_probe(x64):
    N, C, epsilon = 7, 4, 0.2
    y, W, b = RNG.normal(size=(N, E)), RNG.normal(size=(E, C)), RNG.normal(size=C)
    labels, z = RNG.integers(0, C, N), y @ W + b
    p = np.array(
        [[math.exp(z_c) / sum(math.exp(other) for other in row) for z_c in row] for row in z]
    )
    close(formulas.softmax(z), p)
    t = (1 - epsilon) * (labels[:, None] == np.arange(C)) + epsilon / C
    loss, gradient = jax.value_and_grad(
        lambda z: cross_entropy(z, jnp.asarray(labels), label_smoothing=epsilon)
    )(jnp.asarray(z))
    close(loss, -(t * np.log(p)).sum() / N)
    close(gradient, (p - t) / N)


# --- joint -------------------------------------------------------------------------------------


@pytest.mark.equation("2.2.4")
@pytest.mark.equation("2.2.5")
def test_the_joint_model_is_the_formula_on_the_real_tokens_alone(x64):
    model, inputs = make(JointModel), make_inputs()
    p, actual = parameters(model), run(model, inputs)
    for n in range(B):
        rows = []
        for name in SPECS:
            tokens, mask = (np.asarray(array[n]) for array in inputs[name])
            rows.append((literal_tokens(p, name, tokens) + p["modality_embeddings"][name])[mask])
        x = literal_transformer(p["transformer"], np.concatenate(rows), SIZES.heads)
        close(actual[n], x.mean(axis=0) @ p["projection"]["kernel"])


@pytest.mark.equation("2.2.6")
def test_blocks_of_tokens_may_stand_in_any_order(x64):
    """The model sorts by name, so the Transformer itself is tried with every order."""
    model, inputs = make(JointModel), make_inputs()
    p, vectors = parameters(model), []
    for order in itertools.permutations(SPECS):
        tokens = [np.asarray(inputs[name][0][1]) for name in order]
        x = [
            literal_tokens(p, name, t) + p["modality_embeddings"][name]
            for name, t in zip(order, tokens, strict=True)
        ]
        x = literal_transformer(p["transformer"], np.concatenate(x), SIZES.heads)
        vectors.append(x.mean(axis=0) @ p["projection"]["kernel"])
        given = {name: inputs[name] for name in order}
        close(run(model, given)[1], vectors[-1])
    close(vectors, vectors[:1] * 6)


# --- coordinated -------------------------------------------------------------------------------


def jacobian(kind, output, source):
    model, inputs = make(kind), make_inputs()
    tokens, mask = inputs[source]
    graph, state = nnx.split(model)

    def vector(tokens):
        return nnx.merge(graph, state)(inputs | {source: (tokens, mask)})[output]

    return np.asarray(jax.jit(jax.jacrev(vector))(tokens))


@pytest.mark.equation("2.2.7")
def test_separate_networks_have_no_derivative_by_each_other(x64):
    assert not jacobian(CoordinatedModel, "a", "b").any()
    assert jacobian(CoordinatedModel, "a", "a").any()
    assert jacobian(CrossAttentionModel, "a", "b").any()


@pytest.mark.equation("2.2.8")
def test_the_loss_of_all_pairs_is_the_mean_over_both_directions_of_every_pair(x64):
    y, K, s = formulas.normalize(RNG.normal(size=(3, 7, E))), 3, math.log(5)
    pairs = [formulas.clip_loss(y[j], y[k], s) for k in range(K) for j in range(k)]
    directed = [formulas.info_nce(y[j], y[k], s) for j in range(K) for k in range(K) if j != k]
    close(2 / (K * (K - 1)) * sum(pairs), np.mean(directed))


def world(states=4, values=(3, 5)):
    """p(s), p(a|s), p(b|s) and from them p(a, b), of a small discrete world."""
    p_s = RNG.dirichlet(np.ones(states))
    p_a, p_b = (RNG.dirichlet(np.ones(v), size=states) for v in values)
    return p_s, p_a, p_b, np.einsum("s,sa,sb->ab", p_s, p_a, p_b)


@pytest.mark.equation("2.2.9")
def test_the_right_candidate_and_the_smallest_loss():
    """Three candidates, all 5³ of them enumerated; then the logits are moved: the loss rises."""
    *_, joint = world()
    p_a, p_b, N = joint.sum(1), joint.sum(0), 3
    fit = np.log(joint / np.outer(p_a, p_b))
    candidates = list(itertools.product(range(5), repeat=N))

    def expected_loss(logits):
        total = 0.0
        for a, b in itertools.product(range(3), candidates):
            drawn = [
                joint[a, b[n]] * np.prod([p_b[b[m]] for m in range(N) if m != n]) for n in range(N)
            ]
            q = formulas.softmax(logits[a, list(b)])
            if logits is fit:
                close(np.array(drawn) / sum(drawn), q)
            total -= sum(w / N * math.log(q[n]) for n, w in enumerate(drawn))
        return total

    best = expected_loss(fit)
    for _ in range(5):
        assert expected_loss(fit + 0.1 * RNG.normal(size=fit.shape)) > best + 1e-6
    close(expected_loss(fit + RNG.normal(size=(3, 1))), best)


@pytest.mark.equation("2.2.10")
def test_the_best_fit_is_an_inner_product_of_posteriors():
    p_s, p_a, p_b, joint = world()
    fit = joint / np.outer(joint.sum(1), joint.sum(0))
    post_a = (p_s[:, None] * p_a).T / joint.sum(1)[:, None]  # p(s|a) [values of a, states]
    post_b = (p_s[:, None] * p_b).T / joint.sum(0)[:, None]
    close(formulas.best_fit(post_a, post_b, p_s), fit)
    close((post_a / np.sqrt(p_s)) @ (post_b / np.sqrt(p_s)).T, fit)


@pytest.mark.equation("2.2.11")
def test_what_is_not_shared_does_not_enter_the_fit():
    """u depends on a' but says nothing more of s."""
    *_, joint = world()
    p_u = RNG.dirichlet(np.ones(2), size=3)  # p(u | a')
    both = joint[:, None, :] * p_u[:, :, None]  # p(a', u, b)
    fit = both / (both.sum(2)[..., None] * both.sum((0, 1)))
    for u in range(2):
        close(fit[:, u], joint / np.outer(joint.sum(1), joint.sum(0)))


def literal_block(p, x, context=None):
    """A cross-attention block by the formula; without a context the empty row gives the bias."""
    inner = p["block"]
    x = x + literal_attention(
        inner["attention"], formulas.layer_norm(x, **inner["attention_norm"]), SIZES.heads, None
    )
    read = p["context_attention"]
    if context is None:
        x = x + read["output"]["bias"]
    else:
        normed = formulas.layer_norm(x, **p["context_norm"])
        heads = []
        for h in range(SIZES.heads):
            part = slice(h * M // SIZES.heads, (h + 1) * M // SIZES.heads)
            q, k, v = (
                z @ read[name]["kernel"][:, part] + read[name]["bias"][part]
                for name, z in (("query", normed), ("key", context), ("value", context))
            )
            heads.append(formulas.scaled_dot_product_attention(q, k, v))
        x = x + np.concatenate(heads, axis=1) @ read["output"]["kernel"] + read["output"]["bias"]
    y = formulas.layer_norm(x, **inner["mlp_norm"])
    y = formulas.gelu(y @ inner["mlp"]["expand"]["kernel"] + inner["mlp"]["expand"]["bias"])
    return x + y @ inner["mlp"]["contract"]["kernel"] + inner["mlp"]["contract"]["bias"]


@pytest.mark.equation("2.2.12")
@pytest.mark.equation("2.2.13")
@pytest.mark.parametrize("here", ["abc", "ab", "a"])
def test_streams_read_each_other_and_alone_nobody(x64, here):
    model, inputs = make(CrossAttentionModel), make_inputs()
    given = {
        name: (tokens, mask if name in here else jnp.zeros_like(mask))
        for name, (tokens, mask) in inputs.items()
    }
    p, actual = parameters(model), run(model, given)
    n = 1  # the row without padding
    x = {name: literal_tokens(p, name, np.asarray(inputs[name][0][n])) for name in here}
    layer = p["layers"][0]
    for name in here:
        others = [x[k] for k in here if k != name]
        z = literal_block(layer[name], x[name], np.concatenate(others) if others else None)
        z = formulas.layer_norm(z, **p["norms"][name]).mean(axis=0)
        close(actual[name][n], z @ p["projections"][name]["kernel"])


# --- missing -----------------------------------------------------------------------------------


@pytest.mark.equation("2.2.14")
def test_a_missing_modality_leaves_its_factor_out():
    p_s, p_a, p_b, _ = world()
    for a, b in itertools.product(range(3), range(5)):
        alone_a, alone_b = p_s * p_a[:, a], p_s * p_b[:, b]
        alone_a, alone_b = alone_a / alone_a.sum(), alone_b / alone_b.sum()
        for h in itertools.product((0, 1), repeat=2):
            truth = p_s * p_a[:, a] ** h[0] * p_b[:, b] ** h[1]
            ours = p_s * (alone_a / p_s) ** h[0] * (alone_b / p_s) ** h[1]
            close(truth / truth.sum(), ours / ours.sum())


@pytest.mark.equation("2.2.15")
def test_the_mean_of_what_is_here(x64):
    """A missing modality has the vector zero, so the sum needs no mask; the divisor does."""
    model, inputs = make(CoordinatedModel), make_inputs()
    tokens, mask = inputs["b"]
    hidden = run(model, inputs | {"b": (tokens, jnp.zeros_like(mask))})
    full = run(model, inputs)
    close(sum(hidden.values()) / 2, (full["a"] + full["c"]) / 2)


@pytest.mark.equation("2.2.16")
def test_the_probability_of_each_combination_when_parts_are_hidden():
    K, r = 3, 0.4
    probability = dict.fromkeys(itertools.product((0, 1), repeat=K), 0.0)
    for kept in probability:
        weight = math.prod(1 - r if h else r for h in kept)
        if any(kept):
            probability[kept] += weight
        else:
            for k in range(K):
                back = tuple(int(j == k) for j in range(K))
                probability[back] += weight / K
    for kept, p in probability.items():
        size = sum(kept)
        expected = (1 - r) ** size * r ** (K - size) + (size == 1) * r**K / K
        close(p, expected if size else 0)
    close(sum(probability.values()), 1)
