"""Section 3.3: every equation of the page on multimodal Transformers. Both sides in float64."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig, scaled_dot_product_attention
from mmjax.measure import matrix_flops
from mmjax.models.bottleneck import BottleneckModel
from mmjax.models.multimodal import (
    SHARED,
    DualStreamModel,
    SingleStreamModel,
    attention_maps,
    through_bottleneck,
)
from mmjax.models.representation import RepresentationConfig, Tokens

M, F, H, E, Z = 4, 6, 2, 3, 1
SPECS = {"a": Tokens(5, 3), "b": Tokens(2, 7), "c": Tokens(3, 4)}
NAMES, K, T = tuple(SPECS), len(SPECS), sum(spec.length for spec in SPECS.values())
KINDS = ("single-stream", "dual-stream", "bottleneck")
DEPTH = {"single-stream": 1, "dual-stream": 1, "bottleneck": 2}  # enough to cross
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def build(kind, layers=2, shared=Z, specs=SPECS):
    """A model in float64 with every parameter drawn at random."""
    sizes = TransformerConfig(layers=layers, width=M, heads=H, hidden=F)
    config = RepresentationConfig(specs, sizes, E)
    make = {
        "single-stream": lambda: SingleStreamModel(config, rngs=nnx.Rngs(0)),
        "dual-stream": lambda: DualStreamModel(config, rngs=nnx.Rngs(0)),
        "bottleneck": lambda: BottleneckModel(config, shared, rngs=nnx.Rngs(0)),
    }
    model, rng = nnx.eval_shape(make[kind]), np.random.default_rng(1)
    drawn = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), nnx.state(model))
    nnx.update(model, drawn)
    return model


def draw(seed=0, specs=SPECS):
    """One example with one padded token in b."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for name, spec in specs.items():
        mask = np.ones((1, spec.length), bool)
        mask[0, -1] = name != "b"
        tokens = jnp.asarray(rng.normal(size=(1, spec.length, spec.features)))
        inputs[name] = tokens, jnp.asarray(mask)
    return inputs


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-11)


@nnx.jit
def run(model, inputs):
    return model(inputs)


@nnx.jit
def run_streams(model, inputs):
    return model.streams(inputs)[0]


def answers(model, inputs):
    """All vectors that a model gives, as one dictionary."""
    y = run(model, inputs)
    return y if isinstance(y, dict) else {"all": y}


@functools.cache
def jacobians(layers, shared):
    """∂ (the tokens of one modality in a bottleneck) / ∂ (the tokens of another), as matrices.

    (reader, source) → [T M, S R]. One program gives all of them, in float64, as for `maps_of`.
    """
    inputs = draw()
    graph, state = nnx.split(build("bottleneck", layers, shared))

    def tokens(u):
        moved = {k: (x, inputs[k][1]) for k, x in u.items()}
        streams, _ = nnx.merge(graph, state).streams(moved)
        return {reader: streams[reader].reshape(-1) for reader in ("a", "c")}

    u = {k: x for k, (x, _) in inputs.items()}
    found = jax.jit(jax.jacrev(tokens))(u)
    return {(r, j): np.asarray(x).reshape(len(x), -1) for r in found for j, x in found[r].items()}


@pytest.mark.equation("3.3.1")
def test_what_the_first_layer_reads(x64):
    model, inputs = build("single-stream"), draw()
    streams, _ = model.embed(inputs)
    for name, (u, mask) in inputs.items():
        part = model.inputs[name]
        for t in range(u.shape[1]):
            u_t = np.asarray(u[0, t]) * bool(mask[0, t])  # what is not real is not read
            row = u_t @ part.linear.kernel[...] + part.linear.bias[...] + part.positions[...][t]
            close(streams[name][0, t], row + model.modality_embeddings[name][...][0])


def block_by_hand(block, x, real):
    """A Transformer block in NumPy, one head after the other."""

    def norm(part, x):
        return formulas.layer_norm(x, np.asarray(part.scale[...]), np.asarray(part.bias[...]))

    def linear(part, x):
        return x @ np.asarray(part.kernel[...]) + np.asarray(part.bias[...])

    tokens, D, heads = norm(block.attention_norm, x), M // H, []
    maps = (block.attention.query, block.attention.key, block.attention.value)
    for h in range(H):
        q, k, v = (linear(part, tokens)[:, h * D : (h + 1) * D] for part in maps)
        heads.append(formulas.scaled_dot_product_attention(q, k, v, real[None, :]))
    x = x + linear(block.attention.output, np.concatenate(heads, axis=1))
    hidden = formulas.gelu(linear(block.mlp.expand, norm(block.mlp_norm, x)))
    return x + linear(block.mlp.contract, hidden)


@pytest.mark.equation("3.3.2")
def test_single_stream_is_a_block_over_all_tokens(x64):
    model, inputs = build("single-stream", layers=1), draw()
    streams, masks = model.embed(inputs)
    x = np.concatenate([np.asarray(streams[k][0]) for k in NAMES])
    real = np.concatenate([np.asarray(masks[k][0]) for k in NAMES])
    block = nnx.merge(*_layer(model.transformer.blocks, 0))
    x = block_by_hand(block, x, real)
    last = model.transformer.norm
    x = formulas.layer_norm(x, np.asarray(last.scale[...]), np.asarray(last.bias[...]))
    ours, _ = model.tokens(inputs)
    close(ours[0], x)


def _layer(blocks, index):
    graph, state = nnx.split(blocks)
    return graph, jax.tree.map(lambda leaf: leaf[index], state)


@functools.cache
def maps_of(kind):
    """In float64, as every test that asks has the fixture x64."""
    return nnx.jit(attention_maps)(build(kind, shared=2), draw())


@pytest.mark.equation("3.3.3")
@pytest.mark.equation("3.3.4")
def test_what_the_rows_sum_to(x64):
    for maps in maps_of("single-stream"):
        for k in NAMES:
            close(sum(maps[k, j].sum(axis=-1) for j in NAMES), 1)
    for maps in maps_of("dual-stream"):
        for k in NAMES:
            close(maps[k, k].sum(axis=-1), 1)
            close(sum(maps[k, j].sum(axis=-1) for j in NAMES if j != k), 1)


@pytest.mark.equation("3.3.5")
@pytest.mark.equation("3.3.6")
@pytest.mark.parametrize("missing", [None, "c"])
def test_a_layer_of_the_bottleneck(x64, missing):
    model, inputs = build("bottleneck", shared=2), draw()
    if missing:
        inputs[missing] = inputs[missing][0], jnp.zeros_like(inputs[missing][1])
    streams, masks, z = model.embed(inputs)
    streams, z = {k: np.asarray(x[0]) for k, x in streams.items()}, np.asarray(z[0])
    here = {k: bool(mask.any()) for k, mask in masks.items()}
    for layer in model.layers:
        shared = np.zeros_like(z)
        for k, x in streams.items():
            real = np.concatenate([np.asarray(masks[k][0]), np.ones(len(z), bool)])
            both = block_by_hand(layer[k], np.concatenate([x, z]), real)
            streams[k] = both[: len(x)]
            shared += here[k] * both[len(x) :] / sum(here.values())
        z = shared
    ours = run_streams(model, inputs)
    for k, x in streams.items():
        norm = model.norms[k]
        x = formulas.layer_norm(x, np.asarray(norm.scale[...]), np.asarray(norm.bias[...]))
        close(ours[k][0], x)


@pytest.mark.equation("3.3.7")
def test_a_cut_bottleneck_lets_nothing_through(x64):
    """Exactly zero for Z = 0 and any depth, and for any Z with one layer; not so with two."""
    for layers, shared, passes in ((2, 0, False), (1, 2, False), (2, 1, True)):
        for reader, source in (("a", "b"), ("c", "a")):
            moved = jacobians(layers, shared)[reader, source]
            assert bool((moved != 0).any()) is passes


@pytest.mark.equation("3.3.8")
def test_little_passes_through_the_bottleneck(x64):
    def rank(layers):
        moved = jacobians(layers, Z)["c", "b"]
        sizes = np.linalg.svd(moved, compute_uv=False)
        return min(moved.shape), int((sizes > 1e-9 * sizes[0]).sum())

    room, two = rank(2)
    assert room > 2 * Z * M  # the bound says something
    assert 1 <= two <= Z * M
    assert two < rank(3)[1] <= 2 * Z * M


@pytest.mark.equation("3.3.9")
@EVERY_KIND
def test_patches_move_together_with_their_positions(x64, kind):
    model, inputs, order = build(kind, DEPTH[kind]), draw(), np.array([3, 0, 6, 1, 5, 2, 4])
    before = answers(model, inputs)
    tokens, mask = inputs["b"]
    moved = inputs | {"b": (tokens[:, order], mask[:, order])}
    without = answers(model, moved)
    positions = model.inputs["b"].positions
    positions[...] = positions[...][order]
    after = answers(model, moved)
    for name, y in before.items():
        close(after[name], y)
        assert np.abs(without[name] - y).max() > 1e-3


@pytest.mark.equation("3.3.10")
@EVERY_KIND
def test_padding_changes_nothing(x64, kind):
    model, inputs = build(kind, DEPTH[kind]), draw()
    tokens, mask = inputs["b"]  # its last token is padding
    cut = answers(model, inputs | {"b": (tokens[:, :-1], mask[:, :-1])})
    other = answers(model, inputs | {"b": (tokens.at[:, -1].set(jnp.nan), mask)})
    for name, y in answers(model, inputs).items():
        close(cut[name], y)
        np.testing.assert_array_equal(other[name], y)


LENGTHS = tuple(spec.length for spec in SPECS.values())


@pytest.mark.equation("3.3.11")
@pytest.mark.equation("3.3.12")
@pytest.mark.equation("3.3.13")
def test_number_of_weights(x64):
    """Counted in the maps that the models return, and one by one in the oracle."""
    closed = {
        "single-stream": T**2,
        "dual-stream": sum(t**2 + t * (T - t) for t in LENGTHS),
        "bottleneck": sum((t + 2) ** 2 for t in LENGTHS),
    }
    assert closed["dual-stream"] == T**2
    for kind in KINDS:
        blocks = maps_of(kind)[0].values()
        seen = sum(block.shape[-2] * block.shape[-1] for block in blocks)
        seen += K * 2**2 * (kind == "bottleneck")  # shared tokens that read shared tokens
        assert closed[kind] == seen == formulas.multimodal_weights(kind, LENGTHS, 2)


@pytest.mark.equation("3.3.14")
def test_when_the_bottleneck_has_fewer_weights():
    for k, t, shared in itertools.product((2, 3, 4, 9), (3, 8, 20), range(30)):
        lengths = (t,) * k
        fewer = formulas.multimodal_weights("bottleneck", lengths, shared) < (k * t) ** 2
        assert fewer == (shared < (math.sqrt(k) - 1) / k * k * t)
    assert (math.sqrt(4) - 1) / 4 == 1 / 4  # the quarter of the text


@pytest.mark.equation("3.3.15")
@pytest.mark.equation("3.3.16")
@pytest.mark.equation("3.3.17")
def test_operations():
    L, shared = 2, 2
    linear = 8 * M**2 + 4 * M * F
    weights = {kind: formulas.multimodal_weights(kind, LENGTHS, shared) for kind in KINDS}
    closed = {
        "single-stream": L * (T * linear + 4 * M * weights["single-stream"]) + 2 * M * E,
        "dual-stream": L
        * ((12 + 4 * (K - 1)) * T * M**2 + 4 * T * M * F + 4 * M * weights["dual-stream"])
        + 2 * K * M * E,
        "bottleneck": L * ((T + K * shared) * linear + 4 * M * weights["bottleneck"])
        + 2 * K * M * E,
    }
    inputs = {k: (jnp.zeros((1, s.length, s.features)), None) for k, s in SPECS.items()}
    of_inputs = sum(2 * s.length * s.features * M for s in SPECS.values())
    for kind in KINDS:
        graph, state = nnx.split(build(kind, L, shared))
        state = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), state)
        counted = matrix_flops(lambda s, x, g=graph: nnx.merge(g, s)(x), state, inputs)
        assert closed[kind] == counted - of_inputs
        assert closed[kind] == formulas.multimodal_operations(kind, LENGTHS, L, M, F, E, shared)


@pytest.mark.equation("3.3.18")
def test_parameters():
    inputs = sum((s.features + 1 + s.length) * M for s in SPECS.values())
    layer = 4 * M**2 + 2 * M * F + 9 * M + F
    for kind in KINDS:
        state = nnx.state(build(kind, 2, 2))
        counted = sum(leaf.size for leaf in jax.tree.leaves(state))
        assert counted - inputs == formulas.multimodal_parameters(kind, LENGTHS, 2, M, F, E, 2)
    assert counted == inputs + 2 * M + K * (2 * layer + 2 * M + M * E)


@pytest.mark.equation("3.3.19")
def test_a_path_through_the_bottleneck(x64):
    maps = maps_of("bottleneck")
    ours = through_bottleneck(maps[0], maps[1], "a", "b", K)
    to_shared, of_shared = maps[1]["a", SHARED][0], maps[0][SHARED, "b"][0]
    by_loops = formulas.through_bottleneck(np.asarray(to_shared), np.asarray(of_shared), K)
    close(ours[0], by_loops)
    assert np.linalg.matrix_rank(ours[0]) <= 2 < min(ours[0].shape)
    assert not ours[0, :, -1].any()  # the padded token of b


@pytest.mark.equation("3.3.20")
def test_what_taking_a_key_away_does(x64):
    rng = np.random.default_rng(3)
    q, k, v = rng.normal(size=(5, 4)), rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    for s in range(6):
        mask = np.tile(np.arange(6) != s, (5, 1))
        without = scaled_dot_product_attention(*map(jnp.asarray, (q, k, v)), mask=jnp.asarray(mask))
        out = formulas.scaled_dot_product_attention(q, k, v)
        P = formulas.attention_weights(q, k)[:, [s]]
        close(without - out, P / (1 - P) * (out - v[s]))


@pytest.mark.equation("3.3.21")
@EVERY_KIND
def test_taking_a_token_away_at_the_input(x64, kind):
    """Masking a token is the same as the example that never had it."""
    model, inputs = build(kind, DEPTH[kind]), draw()
    tokens, mask = inputs["b"]  # as long without one token as in the test of padding
    hidden = answers(model, inputs | {"b": (tokens, mask.at[:, 4].set(False))})
    order = np.array([0, 1, 2, 3, 5, 6, 4])
    kept = order[:-1]
    positions = model.inputs["b"].positions
    before = answers(model, inputs)
    positions[...] = positions[...][order]
    shorter = answers(model, inputs | {"b": (tokens[:, kept], mask[:, kept])})
    for name, y in hidden.items():
        close(jax.nn.softmax(y), jax.nn.softmax(shorter[name]))
        assert np.abs(jax.nn.softmax(y) - jax.nn.softmax(before[name])).max() > 1e-6


@pytest.mark.equation("3.3.22")
def test_the_best_answer():
    """The closed form against the sum over all scenes, written out in the oracle."""
    tables = np.random.default_rng(4).random((3, 3, 4))
    marginal = tables.sum(axis=2)
    for g in range(3):
        chance = np.zeros(4)
        for order in itertools.permutations(range(3)):
            lane = order.index(g)
            others = [marginal[a, order[a]] for a in range(3) if a != lane]
            chance += tables[lane, g] * math.prod(others)
        close(chance / chance.sum(), formulas.asked_attribute(tables, g))
