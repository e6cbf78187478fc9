"""Section 2.3: every equation of the page on fusion. Both sides in float64."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.fusion import (
    AttentionFusion,
    ConcatenationFusion,
    GatedFusion,
    attention_fusion,
    concatenate,
    gated_fusion,
    modality_attention,
    modality_dropout,
    modality_gates,
)

WIDTHS = {"a": 5, "b": 3, "c": 4}
NAMES, K = tuple(WIDTHS), len(WIDTHS)
E, H = 6, 2
D, S = E // H, sum(WIDTHS.values()) + K
PRESENCES = [p for p in itertools.product([True, False], repeat=K) if any(p)]
EVERY_PRESENCE = pytest.mark.parametrize("present", PRESENCES, ids=str)


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-12)


@functools.cache
def make(kind, /, *sizes, **options):
    """A module in float64 with every parameter drawn at random."""
    build = nnx.eval_shape(lambda: kind(WIDTHS, E, *sizes, **options, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(1)
    state = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), nnx.state(build))
    nnx.update(build, state)
    return build


def draw(seed, widths=WIDTHS):
    """One example: name → [1, E_m]."""
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=(1, w))) for name, w in widths.items()}


def alike(seed):
    return draw(seed, dict.fromkeys(NAMES, E))


def mapping(present):
    return {name: jnp.array([p]) for name, p in zip(NAMES, present, strict=True)}


def rows(arrays, *shape):
    return np.stack([np.asarray(arrays[name][0]).reshape(shape) for name in NAMES])


# Compiled once, for whatever is there and what is not.
@nnx.jit
def run(module, x, present):
    return module(x, present)


@nnx.jit
def weigh(module, x, present):
    return module.with_weights(x, present)


@nnx.jit
def gradient_of_module(module, x, present, dz):
    return nnx.grad(lambda m, x: (m(x, present)[0] * dz).sum(), argnums=(0, 1))(module, x)


@functools.partial(jax.jit, static_argnums=0)
def value_and_gradients(function, arguments, present, dz):
    out, vjp = jax.vjp(lambda *xs: function(*xs, present=present)[0], *arguments)
    return out, vjp(dz)


fuse_by_attention = functools.partial(attention_fusion, heads=H)
fuse_by_gates = {k: functools.partial(gated_fusion, kind=k) for k in ("sigmoid", "softmax")}


DZ = np.random.default_rng(9).normal(size=E)


# --- concatenation -----------------------------------------------------------------------------


@pytest.mark.equation("2.3.1")
@pytest.mark.equation("2.3.2")
@EVERY_PRESENCE
def test_concatenation_is_a_sum(x64, present):
    x, module = draw(1), make(ConcatenationFusion)
    u = concatenate(x, mapping(present))[0]
    by_hand = []
    for name, p in zip(NAMES, present, strict=True):
        by_hand += [float(p) * value for value in np.asarray(x[name][0])]
    close(u, by_hand + [float(p) for p in present])
    W = np.asarray(module.output.kernel[...])
    out = run(module, x, mapping(present))[0]
    close(out, by_hand @ W[:-K] + np.asarray(present, float) @ W[-K:])
    Ws = np.split(W[:-K], np.cumsum(list(WIDTHS.values()))[:-1])
    xs = [np.asarray(x[name][0]) for name in NAMES]
    close(u @ W, formulas.concatenation_fusion(xs, Ws, W[-K:], present))


@pytest.mark.equation("2.3.3")
@EVERY_PRESENCE
def test_gradient_of_concatenation(x64, present):
    x, module = draw(2), make(ConcatenationFusion)
    d_module, d_x = gradient_of_module(module, x, mapping(present), DZ)
    W, dW = (np.asarray(m["output"]["kernel"][...]) for m in (nnx.state(module), d_module))
    start = 0
    for m, (name, width) in enumerate(WIDTHS.items()):
        part = slice(start, start + width)
        close(d_x[name][0], present[m] * DZ @ W[part].T)
        close(dW[part], present[m] * np.outer(x[name][0], DZ))
        close(dW[S - K + m], present[m] * DZ)
        start += width


# --- attention ---------------------------------------------------------------------------------


def attention_inputs():
    return jnp.asarray(np.random.default_rng(3).normal(size=E)), alike(4), alike(5)


@pytest.mark.equation("2.3.4")
@pytest.mark.equation("2.3.5")
@EVERY_PRESENCE
def test_attention_over_modalities(x64, present):
    module, x = make(AttentionFusion, H), draw(6)
    out, weights = weigh(module, x, mapping(present))
    q = np.asarray(module.query[...]).reshape(H, D)
    k, v = (
        np.stack([np.asarray(maps[name](x[name])[0]).reshape(H, D) for name in NAMES])
        for maps in (module.keys, module.values)
    )
    a = np.zeros((K, H))
    for h in range(H):
        e = [p * math.exp(q[h] @ k[m, h] / math.sqrt(D)) for m, p in enumerate(present)]
        a[:, h] = np.array(e) / sum(e)
    close(rows(weights, H), a)
    close(out[0], np.concatenate([sum(a[m, h] * v[m, h] for m in range(K)) for h in range(H)]))
    close(out[0], formulas.attention_fusion(q, k, v, present))


@pytest.mark.equation("2.3.6")
@EVERY_PRESENCE
def test_a_head_is_no_longer_than_its_longest_value(x64, present):
    q, keys, values = attention_inputs()
    z = attention_fusion(q, keys, values, heads=H, present=mapping(present))[0].reshape(H, D)
    lengths = np.linalg.norm(rows(values, H, D), axis=-1)[list(present)]
    assert (np.linalg.norm(z, axis=-1) <= lengths.max(axis=0) + 1e-12).all()


@pytest.mark.equation("2.3.7")
def test_two_modalities_compare_by_their_own_keys(x64):
    q, keys, _ = attention_inputs()
    for third in (True, False):
        a = rows(modality_attention(q, keys, heads=H, present=mapping((True, True, third))), H)
        k, query = rows(keys, H, D), np.asarray(q).reshape(H, D)
        for h in range(H):
            close(a[0, h] / a[1, h], math.exp(query[h] @ (k[0, h] - k[1, h]) / math.sqrt(D)))


@pytest.mark.equation("2.3.8")
@pytest.mark.equation("2.3.9")
@EVERY_PRESENCE
def test_gradient_of_attention(x64, present):
    q, keys, values = arguments = attention_inputs()
    z, (dq, dk, dv) = value_and_gradients(fuse_by_attention, arguments, mapping(present), DZ)
    a = rows(modality_attention(q, keys, heads=H, present=mapping(present)), H)
    k, v, query = rows(keys, H, D), rows(values, H, D), np.asarray(q).reshape(H, D)
    dz, z = DZ.reshape(H, D), np.asarray(z).reshape(H, D)
    da = np.einsum("hd,mhd->mh", dz, v)
    ds = a * (da - (a * da).sum(axis=0))
    close(ds, a * np.einsum("hd,mhd->mh", dz, v - z))
    close(rows(dv, H, D), a[..., None] * dz)
    close(rows(dk, H, D), ds[..., None] * query / math.sqrt(D))
    close(dq.reshape(H, D), np.einsum("mh,mhd->hd", ds, k) / math.sqrt(D))


# --- gate --------------------------------------------------------------------------------------

GATE = pytest.mark.parametrize("kind", ["sigmoid", "softmax"])


@pytest.mark.equation("2.3.10")
@pytest.mark.equation("2.3.11")
@pytest.mark.equation("2.3.12")
@GATE
@EVERY_PRESENCE
def test_the_gated_unit(x64, kind, present):
    module, x = make(GatedFusion, kind=kind), draw(7)
    out, gates = weigh(module, x, mapping(present))
    u = np.asarray(concatenate(x, mapping(present))[0])
    a = (u @ np.asarray(module.logits.kernel[...])).reshape(K, E)
    z = np.zeros(E)
    for m, name in enumerate(NAMES):
        V, d = (np.asarray(p[...]) for p in (module.values[name].kernel, module.values[name].bias))
        total = sum(np.exp(a[n]) for n in range(K) if present[n])
        g = 1 / (1 + np.exp(-a[m])) if kind == "sigmoid" else np.exp(a[m]) / total
        close(gates[name][0], present[m] * g)
        z += present[m] * g * np.tanh(np.asarray(x[name][0]) @ V + d)
    close(out[0], z)


@pytest.mark.equation("2.3.13")
def test_two_softmax_gates_are_one_sigmoid(x64):
    logits = {name: value for name, value in alike(8).items() if name != "c"}
    gates = modality_gates(logits, kind="softmax")
    first = 1 / (1 + np.exp(-np.asarray(logits["a"] - logits["b"])))
    close(gates["a"], first)
    close(gates["b"], 1 - first)


@pytest.mark.equation("2.3.14")
@pytest.mark.equation("2.3.15")
@GATE
@EVERY_PRESENCE
def test_gradient_of_the_gate(x64, kind, present):
    values, logits = arguments = alike(10), alike(11)
    z, (_, da) = value_and_gradients(fuse_by_gates[kind], arguments, mapping(present), DZ)
    g, v = rows(modality_gates(logits, kind=kind, present=mapping(present)), E), rows(values, E)
    there = np.asarray(present, float)[:, None]
    slope = (1 - g) * v if kind == "sigmoid" else v - np.asarray(z)
    close(rows(da, E), there * g * slope * DZ)


@pytest.mark.equation("2.3.16")
@GATE
@EVERY_PRESENCE
def test_gradient_of_the_gated_unit_by_a_modality(x64, kind, present):
    module, x = make(GatedFusion, kind=kind), draw(12)
    _, d_x = gradient_of_module(module, x, mapping(present), DZ)
    U = np.asarray(module.logits.kernel[...])
    a = (np.asarray(concatenate(x, mapping(present))[0]) @ U).reshape(K, E)
    v = np.stack([np.tanh(np.asarray(module.values[name](x[name])[0])) for name in NAMES])
    g = formulas.modality_gates(a, present, kind)
    _, da = formulas.gated_fusion_gradients(v, a, DZ, present, kind)
    start = 0
    for m, (name, width) in enumerate(WIDTHS.items()):
        V, rows_of_U = np.asarray(module.values[name].kernel[...]), U[start : start + width]
        own = (g[m] * DZ * (1 - v[m] ** 2)) @ V.T
        close(d_x[name][0], present[m] * (own + da.reshape(-1) @ rows_of_U.T))
        start += width


# --- why weights should depend on the example ---------------------------------------------------


@pytest.mark.equation("2.3.17")
def test_the_best_weights_are_a_softmax(x64):
    sigma = np.array([0.5, 1.0, 3.0])
    w = formulas.softmax(-2 * np.log(sigma))
    close(w, sigma**-2 / (sigma**-2).sum())

    def error(w):
        return (w**2 * sigma**2).sum()

    close(error(w), 1 / (sigma**-2).sum())
    rng = np.random.default_rng(13)
    for step in rng.normal(size=(100, K)):
        step -= step.mean()  # the weights still sum to 1
        assert error(w + 0.1 * step) > error(w)


@pytest.mark.equation("2.3.18")
def test_fixed_weights_lose_when_the_noise_changes(x64):
    """Over all noise levels of three sensors, each with four levels that are equally likely."""
    levels = np.array([0.1, 0.5, 1.0, 2.0])
    cases = np.array(list(itertools.product(levels, repeat=K)))
    free = np.mean(1 / (cases**-2).sum(axis=1))
    fixed_w = formulas.softmax(-np.log((cases**2).mean(axis=0)))
    fixed = np.mean((fixed_w**2 * cases**2).sum(axis=1))
    close(fixed, 1 / (1 / (cases**2).mean(axis=0)).sum())
    assert free < 0.5 * fixed
    constant = np.ones((5, K))
    close(np.mean(1 / (constant**-2).sum(axis=1)), 1 / K)  # and are as good when it does not


@pytest.mark.equation("2.3.19")
@EVERY_PRESENCE
def test_log_posterior_is_a_sum(x64, present):
    """Bayes' rule over the whole joint table p(y, x_1, x_2, x_3), and the sum of logarithms."""
    rng = np.random.default_rng(14)
    prior, tables = rng.dirichlet(np.ones(4)), [rng.dirichlet(np.ones(n), 4) for n in (2, 3, 5)]
    at, joint = (1, 2, 3), np.einsum("y,ya,yb,yc->yabc", prior, *tables)
    for m in reversed(range(K)):  # what is there is known, what is missing is summed out
        joint = joint.take(at[m], 1 + m) if present[m] else joint.sum(1 + m)
    logs = np.log(prior) + sum(present[m] * np.log(tables[m][:, at[m]]) for m in range(K))
    close(joint / joint.sum(), formulas.softmax(logs))


# --- what is missing -----------------------------------------------------------------------------


@pytest.mark.equation("2.3.20")
@pytest.mark.parametrize("kind", [ConcatenationFusion, AttentionFusion, GatedFusion])
@EVERY_PRESENCE
def test_what_is_missing_is_not_read(x64, kind, present):
    module, x = make(kind, *([H] if kind is AttentionFusion else [])), draw(15)
    other = {
        name: x[name] if p else jnp.full_like(x[name], np.nan)
        for name, p in zip(NAMES, present, strict=True)
    }
    close(run(module, x, mapping(present)), run(module, other, mapping(present)))
    _, d_x = gradient_of_module(module, other, mapping(present), DZ)
    for name, p in zip(NAMES, present, strict=True):
        assert bool(np.any(d_x[name])) is p
    nothing = mapping((False,) * K)
    assert not np.any(run(module, x, nothing))


@pytest.mark.equation("2.3.21")
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_how_often_a_modality_is_kept(rate, number):
    by_counting = formulas.modality_keep_probability(rate, number)
    close(1 - rate + rate**number / number, by_counting)
    present = {str(m): jnp.ones(10_000, bool) for m in range(number)}
    kept = modality_dropout(present, rate, jax.random.key(number))
    shares = [np.mean(kept[name]) for name in present]
    np.testing.assert_allclose(shares, by_counting, atol=0.025)  # five standard deviations
    mean = number * (1 - rate) + rate**number
    np.testing.assert_allclose(sum(shares), mean, atol=0.1)


@pytest.mark.equation("2.3.22")
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("number", [2, 3])
def test_how_often_all_are_there(rate, number):
    outcomes = itertools.product([True, False], repeat=number)
    chance = sum(
        math.prod(rate if hidden else 1 - rate for hidden in outcome)
        for outcome in outcomes
        if not any(outcome)
    )
    close((1 - rate) ** number, chance)
    present = {str(m): jnp.ones(10_000, bool) for m in range(number)}
    kept = modality_dropout(present, rate, jax.random.key(17))
    share = np.mean(np.all([kept[name] for name in present], axis=0))
    np.testing.assert_allclose(share, chance, atol=0.025)


@pytest.mark.equation("2.3.23")
def test_parameters():
    def count(kind, *sizes):
        module = nnx.eval_shape(lambda: kind(WIDTHS, E, *sizes, rngs=nnx.Rngs(0)))
        return sum(math.prod(p.shape) for p in jax.tree.leaves(nnx.state(module, nnx.Param)))

    assert count(ConcatenationFusion) == S * E
    assert count(AttentionFusion, H) == 2 * S * E + E
    assert count(GatedFusion) == (K + 1) * S * E


def test_the_numbers_in_the_text():
    assert round(100 * formulas.modality_keep_probability(0.3, 3)) == 71
    assert round(100 * 0.7**3) == 34
