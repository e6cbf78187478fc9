"""Fusion: the oracle forward and backward, what is missing, the order, dtypes, exports, errors."""

import functools

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

WIDTHS = {"audio": 5, "text": 3, "video": 4}
NAMES = tuple(WIDTHS)
B, E, H = 4, 6, 2
D, K = E // H, len(NAMES)
KINDS = {
    "concatenation": functools.partial(ConcatenationFusion, WIDTHS, E),
    "attention": functools.partial(AttentionFusion, WIDTHS, E, H),
    "sigmoid": functools.partial(GatedFusion, WIDTHS, E, kind="sigmoid"),
    "softmax": functools.partial(GatedFusion, WIDTHS, E, kind="softmax"),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
GATE = pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
# Row 0 has everything, row 3 nothing.
THERE = {
    "audio": jnp.array([True, False, True, False]),
    "text": jnp.array([True, True, False, False]),
    "video": jnp.array([True, True, False, False]),
}


def build(kind, dtype=np.float32):
    """A module with every parameter random, also those that start at zero."""
    module = nnx.eval_shape(lambda: KINDS[kind](rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(7)

    def fill(leaf):
        return jnp.asarray(rng.normal(size=leaf.shape), dtype)

    nnx.update(module, jax.tree.map(fill, nnx.state(module)))
    return module


def draw(seed, widths=WIDTHS, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return {name: jnp.asarray(rng.normal(size=(B, w)), dtype) for name, w in widths.items()}


def alike(seed, dtype=np.float64):
    return draw(seed, dict.fromkeys(NAMES, E), dtype)


def table(arrays, b, *shape):
    """Example b as [K, …] in the order of the names."""
    return np.stack([np.asarray(arrays[name][b], np.float64).reshape(shape) for name in NAMES])


def there(b):
    return [bool(THERE[name][b]) for name in NAMES]


@nnx.jit
def run(module, features, present):
    return module(features, present)


def literal(kind, module, xs, present):
    """The formula for one example, from the parameters of the module."""
    state = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64), nnx.to_pure_dict(nnx.state(module, nnx.Param))
    )
    if kind == "concatenation":
        kernel = state["output"]["kernel"]
        Ws = np.split(kernel[:-K], np.cumsum(list(WIDTHS.values()))[:-1])
        return formulas.concatenation_fusion(xs, Ws, kernel[-K:], present)
    values = [state["values"][name] for name in NAMES]
    if kind == "attention":
        keys = [state["keys"][name] for name in NAMES]
        k, v = (
            np.stack(
                [(x @ p["kernel"] + p["bias"]).reshape(H, D) for x, p in zip(xs, maps, strict=True)]
            )
            for maps in (keys, values)
        )
        return formulas.attention_fusion(state["query"].reshape(H, D), k, v, present)
    Vs, ds = [p["kernel"] for p in values], [p["bias"] for p in values]
    return formulas.gated_unit(xs, Vs, ds, state["logits"]["kernel"], present, kind)


@EVERY_KIND
def test_modules_are_the_formula(x64, kind):
    module, features = build(kind, np.float64), draw(1, dtype=np.float64)
    out = run(module, features, THERE)
    assert out.shape == (B, E) and out.dtype == jnp.float64
    for b in range(B):
        xs = [np.asarray(features[name][b]) for name in NAMES]
        np.testing.assert_allclose(out[b], literal(kind, module, xs, there(b)), atol=1e-12)


@EVERY_KIND
def test_gradient_by_the_features_is_the_formula(x64, kind):
    """Central differences of the oracle along a random direction."""
    module, features = build(kind, np.float64), draw(2, dtype=np.float64)
    turn, dz = draw(3, dtype=np.float64), np.random.default_rng(4).normal(size=(B, E))
    gradient = nnx.jit(nnx.grad(lambda m, x: (m(x, THERE) * dz).sum(), argnums=1))
    d_features = gradient(module, features)
    for b in range(B):

        def objective(step, b=b):
            xs = [np.asarray(features[n][b] + step * turn[n][b]) for n in NAMES]
            return dz[b] @ literal(kind, module, xs, there(b))

        expected = (objective(1e-6) - objective(-1e-6)) / 2e-6
        ours = sum(float(d_features[n][b] @ turn[n][b]) for n in NAMES)
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-8)


def test_attention_and_its_gradient_are_the_formula(x64):
    keys, values, (dz,) = alike(5), alike(6), draw(7, {"z": E}, np.float64).values()
    query = jnp.asarray(np.random.default_rng(8).normal(size=E))

    def objective(query, keys, values):
        return (attention_fusion(query, keys, values, heads=H, present=THERE) * dz).sum()

    d_query, d_keys, d_values = jax.jit(jax.grad(objective, (0, 1, 2)))(query, keys, values)
    out = attention_fusion(query, keys, values, heads=H, present=THERE)
    weights = modality_attention(query, keys, heads=H, present=THERE)
    total = np.zeros((H, D))
    for b in range(B):
        q, k, v = query.reshape(H, D), table(keys, b, H, D), table(values, b, H, D)
        close = functools.partial(np.testing.assert_allclose, atol=1e-12)
        close(out[b], formulas.attention_fusion(q, k, v, there(b)))
        close(table(weights, b, H), formulas.fusion_attention_weights(q, k, there(b)))
        dq, dk, dv = formulas.attention_fusion_gradients(q, k, v, dz[b], there(b))
        close(table(d_keys, b, H, D), dk)
        close(table(d_values, b, H, D), dv)
        total += dq
    np.testing.assert_allclose(d_query.reshape(H, D), total, atol=1e-12)


@GATE
def test_the_gate_and_its_gradient_are_the_formula(x64, kind):
    values, logits, (dz,) = alike(9), alike(10), draw(11, {"z": E}, np.float64).values()

    def objective(values, logits):
        return (gated_fusion(values, logits, kind=kind, present=THERE) * dz).sum()

    d_values, d_logits = jax.jit(jax.grad(objective, (0, 1)))(values, logits)
    out = gated_fusion(values, logits, kind=kind, present=THERE)
    gates = modality_gates(logits, kind=kind, present=THERE)
    for b in range(B):
        v, a = table(values, b, E), table(logits, b, E)
        close = functools.partial(np.testing.assert_allclose, atol=1e-12)
        close(out[b], formulas.gated_fusion(v, a, there(b), kind))
        close(table(gates, b, E), formulas.modality_gates(a, there(b), kind))
        dv, da = formulas.gated_fusion_gradients(v, a, dz[b], there(b), kind)
        close(table(d_values, b, E), dv)
        close(table(d_logits, b, E), da)


@EVERY_KIND
@pytest.mark.parametrize("garbage", [1e6, np.nan, np.inf])
def test_what_is_missing_has_no_influence_and_no_gradient(kind, garbage):
    module, features = build(kind), draw(12)
    present = {name: jnp.full(B, name != "audio") for name in NAMES}
    other = features | {"audio": jnp.full((B, WIDTHS["audio"]), garbage, jnp.float32)}
    np.testing.assert_array_equal(run(module, features, present), run(module, other, present))
    gradients = nnx.jit(nnx.grad(lambda m, x: (m(x, present) ** 2).sum(), argnums=(0, 1)))
    d_module, d_features = gradients(module, other)
    assert not d_features["audio"].any()
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((d_module, d_features)))
    assert any(leaf.any() for leaf in jax.tree.leaves(d_module))
    for part in ("keys", "values"):
        if part in d_module:
            assert not any(leaf.any() for leaf in jax.tree.leaves(d_module[part]["audio"]))


@EVERY_KIND
def test_the_order_of_the_modalities_means_nothing(kind):
    features, backwards = draw(13), dict(reversed(draw(13).items()))
    module = build(kind)
    present = dict(reversed(THERE.items()))
    np.testing.assert_array_equal(run(module, features, THERE), run(module, backwards, present))
    named = dict(KINDS[kind].keywords)
    rest = KINDS[kind].args[1:]
    first, second = (
        KINDS[kind].func(widths, *rest, **named, rngs=nnx.Rngs(0))
        for widths in (WIDTHS, dict(reversed(WIDTHS.items())))
    )
    for a, b in zip(*(jax.tree.leaves(nnx.state(m)) for m in (first, second)), strict=True):
        np.testing.assert_array_equal(a, b)


@EVERY_KIND
def test_where_nothing_is_there_the_result_is_zero(kind):
    module, features = build(kind), draw(14)
    nothing = {name: jnp.zeros(B, bool) for name in NAMES}
    assert not run(module, features, nothing).any()
    gradients = nnx.grad(lambda m, x: m(x, nothing).sum(), argnums=(0, 1))(module, features)
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradients))


@EVERY_KIND
def test_all_are_there_by_default(kind):
    module, features = build(kind), draw(15)
    everything = {name: jnp.ones(B, bool) for name in NAMES}
    ours, theirs = run(module, features, None), run(module, features, everything)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@EVERY_KIND
def test_bfloat16(kind):
    """The dtype stays, and the result is as near to the float32 one as eight bits allow."""
    rounded = jax.tree.map(lambda x: x.astype(jnp.bfloat16), draw(16))
    out = run(build(kind, jnp.bfloat16), rounded, THERE)
    assert out.dtype == jnp.bfloat16
    exact = build(kind)
    state = jax.tree.map(lambda x: x.astype(jnp.bfloat16).astype(np.float32), nnx.state(exact))
    nnx.update(exact, state)
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), rounded)
    np.testing.assert_allclose(out.astype(jnp.float32), run(exact, wide, THERE), atol=0.1)


@pytest.mark.parametrize("kind", ["attention", "sigmoid", "softmax"])
def test_with_weights(kind):
    module, features = build(kind), draw(17)
    out, weights = module.with_weights(features, THERE)
    np.testing.assert_allclose(out, module(features, THERE), atol=1e-6)
    assert set(weights) == set(NAMES)
    total = sum(weights.values())
    if kind == "sigmoid":
        assert all((w >= 0).all() and (w <= 1).all() for w in weights.values())
    else:
        np.testing.assert_allclose(total[:3], 1, atol=1e-6)
    for name in NAMES:
        assert not weights[name][~np.asarray(THERE[name])].any()


@GATE
def test_a_new_gate_is_half_open_or_evenly_shared(kind):
    module = KINDS[kind](rngs=nnx.Rngs(0))
    _, gates = module.with_weights(draw(18))
    for gate in gates.values():
        np.testing.assert_allclose(gate, 1 / 2 if kind == "sigmoid" else 1 / K, atol=1e-7)


@EVERY_KIND
@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_exports(kind, platform):
    graph, state = nnx.split(build(kind))

    def step(state, features, present):
        return jax.value_and_grad(lambda s: nnx.merge(graph, s)(features, present).sum())(state)

    leaves, structure = jax.tree.flatten(state)
    compiled = jax.jit(
        lambda leaves, *rest: jax.tree.leaves(step(structure.unflatten(leaves), *rest))
    )
    exported = jax.export.export(compiled, platforms=[platform])(leaves, draw(19), THERE)
    assert exported.platforms == (platform,)


def test_modality_dropout_never_drops_all_and_keeps_as_often_as_it_says():
    present = {name: jnp.ones(20_000, bool) for name in NAMES}
    kept = modality_dropout(present, 0.6, jax.random.key(0))
    table = np.stack([kept[name] for name in NAMES])
    assert table.any(axis=0).all()
    expected = formulas.modality_keep_probability(0.6, K)
    np.testing.assert_allclose(table.mean(axis=1), expected, atol=4 * 0.5 / 20_000**0.5)


@pytest.mark.parametrize("rate", [0, 0.5, 1, 1.0])
def test_modality_dropout_brings_nothing_back(rate):
    present = {name: jnp.tile(THERE[name], 50) for name in NAMES}
    kept = modality_dropout(present, rate, jax.random.key(1))
    before, after = (np.stack([x[name] for name in NAMES]) for x in (present, kept))
    assert not (after & ~before).any()
    np.testing.assert_array_equal(after.any(axis=0), before.any(axis=0))
    if rate == 0:
        np.testing.assert_array_equal(after, before)
    if rate == 1:
        np.testing.assert_array_equal(after.sum(axis=0), before.any(axis=0))


def test_modality_dropout_is_reproducible_and_ignores_the_order():
    present = {name: jnp.ones(64, bool) for name in NAMES}
    one = modality_dropout(present, 0.5, jax.random.key(2))
    two = modality_dropout(dict(reversed(present.items())), 0.5, jax.random.key(2))
    for name in NAMES:
        np.testing.assert_array_equal(one[name], two[name])


X = draw(20)
SAME = alike(21, np.float32)
Q = jnp.ones(E)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: concatenate({}), ValueError, "concatenate: argument 'features'"),
        (lambda: concatenate([Q]), TypeError, "a mapping"),
        (lambda: concatenate({"a": jnp.ones((2, 3), int)}), TypeError, r"features\['a'\]"),
        (lambda: concatenate({"a": jnp.ones(3)}), ValueError, r"\[B, E_m\]"),
        (
            lambda: concatenate({"a": jnp.ones((2, 3)), "b": jnp.ones((4, 3))}),
            ValueError,
            "batch of 2",
        ),
        (lambda: concatenate(X, {"audio": THERE["audio"]}), ValueError, "the names"),
        (lambda: concatenate(X, THERE | {"text": jnp.ones(B)}), TypeError, r"present\['text'\]"),
        (lambda: concatenate(X, THERE | {"text": jnp.ones(3, bool)}), ValueError, r"bool \[4\]"),
        (
            lambda: concatenate(X | {"text": X["text"].astype(jnp.bfloat16)}),
            TypeError,
            "dtype float32",
        ),
        (lambda: attention_fusion(Q, SAME, SAME, heads=4), ValueError, "a divisor of the width 6"),
        (lambda: attention_fusion(Q[:5], SAME, SAME, heads=2), ValueError, "'query'"),
        (lambda: attention_fusion(Q, SAME, X, heads=2), ValueError, r"values\['audio'\]"),
        (lambda: gated_fusion(SAME, SAME, kind="tanh"), ValueError, "'sigmoid', 'softmax'"),
        (lambda: gated_fusion(SAME, X, kind="sigmoid"), ValueError, r"logits\['audio'\]"),
        (lambda: modality_dropout(THERE, 1.5, jax.random.key(0)), ValueError, "0 <= rate <= 1"),
        (lambda: modality_dropout({}, 0.5, jax.random.key(0)), ValueError, "at least one"),
        (
            lambda: modality_dropout({"a": jnp.array(True)}, 0.5, jax.random.key(0)),
            ValueError,
            "bool",
        ),
        (lambda: KINDS["attention"](rngs=nnx.Rngs(0))({"a": Q}), ValueError, "the names"),
        (lambda: AttentionFusion(WIDTHS, 5, 2, rngs=nnx.Rngs(0)), ValueError, "a divisor"),
        (lambda: GatedFusion(WIDTHS, 5, kind="no", rngs=nnx.Rngs(0)), ValueError, "'kind'"),
        (lambda: ConcatenationFusion({}, 5, rngs=nnx.Rngs(0)), ValueError, "'widths'"),
    ],
)
def test_errors_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()
