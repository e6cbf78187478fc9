"""The Transformer: the formula layer by layer, torch, and every way of running the same numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

from mmjax import formulas
from mmjax.attention import (
    MLP,
    CrossAttentionBlock,
    Transformer,
    TransformerBlock,
    TransformerConfig,
    causal_mask,
)

B, T, S, L, H, D, F = 2, 5, 11, 3, 3, 10, 13
M = H * D


def config(**changes):
    return TransformerConfig(**{"layers": L, "width": M, "heads": H, "hidden": F, **changes})


def randomise(make, dtype=np.float32, seed=0):
    """Random norms and biases too: they start at one and zero, where they could hide.

    Only the shapes are taken from the module as made, which spares compiling its initialisation.
    """
    module = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(seed)

    def fill(leaf):
        return jnp.asarray(rng.normal(size=leaf.shape) / leaf.shape[-1] ** 0.5, dtype)

    nnx.update(module, jax.tree.map(fill, nnx.state(module)))
    return module


def build(dtype=np.float32, **changes):
    return randomise(functools.partial(Transformer, config(**changes)), dtype)


def draw(seed, *shapes, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def layer(model, index):
    """One block of the stack as a block of its own."""
    definition, state = nnx.split(model.blocks)
    return nnx.merge(definition, jax.tree.map(lambda leaf: leaf[index], state))


@nnx.jit
def run(model, x, **options):
    return model(x, **options)


@nnx.jit
def value_and_gradient(model, x, **options):
    return nnx.value_and_grad(lambda m: (m(x, **options) ** 2).sum())(model)


def assert_same(ours, other, atol):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-5)


def numbers(module):
    return nnx.to_pure_dict(nnx.state(jax.tree.map(lambda leaf: np.asarray(leaf, float), module)))


def norm_by_hand(x, p):
    return formulas.layer_norm(x, p["scale"], p["bias"])


def attention_by_hand(x, context, p, mask=None):
    """Heads as slices of the columns; biases, which the oracle of the paper lacks, added here."""
    maps = [(x, p["query"]), (context, p["key"]), (context, p["value"])]
    query, key, value = (a @ q["kernel"] + q["bias"] for a, q in maps)
    heads = []
    for h in range(H):
        cut = slice(h * D, (h + 1) * D)
        heads.append(
            formulas.scaled_dot_product_attention(query[:, cut], key[:, cut], value[:, cut], mask)
        )
    return np.concatenate(heads, axis=1) @ p["output"]["kernel"] + p["output"]["bias"]


def mlp_by_hand(x, p):
    hidden = formulas.gelu(x @ p["expand"]["kernel"] + p["expand"]["bias"])
    return hidden @ p["contract"]["kernel"] + p["contract"]["bias"]


def block_by_hand(x, p, mask=None):
    normed = norm_by_hand(x, p["attention_norm"])
    x = x + attention_by_hand(normed, normed, p["attention"], mask)
    return x + mlp_by_hand(norm_by_hand(x, p["mlp_norm"]), p["mlp"])


def test_mlp_is_the_formula(x64):
    mlp = randomise(functools.partial(MLP, M, F), np.float64)
    (x,) = draw(0, (B, T, M), dtype=np.float64)
    np.testing.assert_allclose(mlp(x), mlp_by_hand(np.asarray(x), numbers(mlp)), atol=1e-12)


@pytest.mark.parametrize("unroll", [1, 7])
def test_stack_is_the_formula(x64, unroll):
    model = build(np.float64, unroll=unroll)
    (x,) = draw(1, (B, T, M), dtype=np.float64)
    mask = causal_mask(T)
    out = run(model, x, mask=mask)
    assert out.dtype == jnp.float64
    layers, norm = [numbers(layer(model, i)) for i in range(L)], numbers(model.norm)
    for b in range(B):
        hidden = np.asarray(x[b])
        for parameters in layers:
            hidden = block_by_hand(hidden, parameters, mask)
        np.testing.assert_allclose(out[b], norm_by_hand(hidden, norm), atol=1e-11)


def test_cross_attention_block_is_the_formula(x64):
    block = randomise(functools.partial(CrossAttentionBlock, config()), np.float64)
    x, context = draw(2, (B, T, M), (B, S, M), dtype=np.float64)
    mask, context_mask = causal_mask(T), jnp.arange(S)[None, :] % 3 != jnp.arange(T)[:, None] % 3
    out = nnx.jit(lambda b, *a: b(*a, mask=mask, context_mask=context_mask))(block, x, context)
    p = numbers(block)
    for b in range(B):
        h, inner = np.asarray(x[b]), p["block"]
        normed = norm_by_hand(h, inner["attention_norm"])
        h = h + attention_by_hand(normed, normed, inner["attention"], mask)
        normed = norm_by_hand(h, p["context_norm"])
        other = np.asarray(context[b])
        h = h + attention_by_hand(normed, other, p["context_attention"], context_mask)
        h = h + mlp_by_hand(norm_by_hand(h, inner["mlp_norm"]), inner["mlp"])
        np.testing.assert_allclose(out[b], h, atol=1e-11)


def test_block_agrees_with_torch():
    """torch.nn.TransformerEncoderLayer with norm_first and our weights (transposed there)."""
    torch = pytest.importorskip("torch")
    block = randomise(functools.partial(TransformerBlock, config()))
    p = numbers(block)
    twin = torch.nn.TransformerEncoderLayer(
        M, H, F, dropout=0.0, activation="gelu", norm_first=True, batch_first=True
    )
    inputs = [p["attention"][name] for name in ("query", "key", "value")]
    state = {
        "self_attn.in_proj_weight": np.concatenate([q["kernel"].T for q in inputs]),
        "self_attn.in_proj_bias": np.concatenate([q["bias"] for q in inputs]),
    }
    maps = {
        "self_attn.out_proj": p["attention"]["output"],
        "linear1": p["mlp"]["expand"],
        "linear2": p["mlp"]["contract"],
    }
    for name, q in maps.items():
        state |= {f"{name}.weight": q["kernel"].T, f"{name}.bias": q["bias"]}
    for name, q in (("norm1", p["attention_norm"]), ("norm2", p["mlp_norm"])):
        state |= {f"{name}.weight": q["scale"], f"{name}.bias": q["bias"]}
    twin.load_state_dict({k: torch.tensor(np.asarray(v, np.float32)) for k, v in state.items()})
    (x,) = draw(3, (B, T, M))
    forbidden = torch.tensor(~np.asarray(causal_mask(T)))
    expected = twin(torch.tensor(np.asarray(x)), src_mask=forbidden).detach()
    np.testing.assert_allclose(run(block, x, mask=causal_mask(T)), expected, atol=2e-5)


def test_scan_is_a_python_loop_over_the_layers(x64):
    model = build(np.float64, rotary_positions=True, query_key_norm=True, key_value_heads=1)
    (x,) = draw(4, (B, T, M), dtype=np.float64)
    looped = x
    for index in range(L):
        looped = run(layer(model, index), looped, mask=causal_mask(T))
    np.testing.assert_allclose(run(model, x, mask=causal_mask(T)), model.norm(looped), atol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"remat": True},
        {"unroll": 2},
        {"unroll": L, "remat": True, "implementation": "blockwise"},
    ],
    ids=str,
)
def test_every_way_of_running_gives_the_same_numbers(changes):
    """Value and gradient, with dropout on: the keys belong to the layers, not to the way."""
    assert_same(with_dropout(**changes), with_dropout(), 1e-4)


@functools.cache
def with_dropout(**changes):
    (x,) = draw(5, (B, T, M))
    options = {"mask": causal_mask(T), "dropout_key": jax.random.key(0)}
    return value_and_gradient(build(dropout=0.3, **changes), x, **options)


def test_graph_mode_is_tree_mode():
    """NNX runs with or without shared references; nothing here needs them."""
    (x,) = draw(6, (B, T, M))
    results = []
    for graph in (True, False):
        with nnx.set_graph_mode(graph), nnx.set_graph_updates(graph):
            model = build(remat=True)
            step = nnx.jit(nnx.value_and_grad(lambda m, x: (m(x) ** 2).sum()))
            results.append(step(model, x))
    assert_same(*results, 1e-6)


def test_layers_start_different():
    """Each layer has its own random key; one key for all would make them copies."""
    model = Transformer(config(), rngs=nnx.Rngs(0))
    for kernel in (model.blocks.attention.query.kernel[...], model.blocks.mlp.expand.kernel[...]):
        assert kernel.shape[0] == L
        assert np.abs(kernel[0] - kernel[1]).min() > 0


def test_dropout_needs_a_key_and_draws_anew_with_each():
    model = build(dropout=0.5)
    (x,) = draw(7, (B, T, M))
    evaluated = run(model, x)
    np.testing.assert_array_equal(evaluated, run(build(), x))
    first, again, other = (run(model, x, dropout_key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1 and np.abs(first - evaluated).max() > 0.1


def test_dropout_masks_differ_between_branches_and_layers():
    """With branches that give ones only, each layer adds its own pattern of 0 and 1/(1 − rate)."""
    model = build(dropout=0.5)
    state = jax.tree.map(jnp.zeros_like, nnx.state(model.blocks))
    nnx.update(model.blocks, state)
    for branch in (model.blocks.attention.output, model.blocks.mlp.contract):
        branch.bias[...] = jnp.ones_like(branch.bias[...])
    model.norm = lambda x: x
    out = model(jnp.zeros((1, 499, M)), dropout_key=jax.random.key(1))
    kept = np.asarray(out) / 2
    share = [float((kept == count).mean()) for count in range(2 * L + 1)]
    binomial = np.array([1, 6, 15, 20, 15, 6, 1]) / 64
    np.testing.assert_allclose(share, binomial, atol=5 * 0.5 / kept.size**0.5)


def test_causal_prefix_property():
    model = build(rotary_positions=True)
    (x,) = draw(8, (B, T, M))
    out = run(model, x, mask=causal_mask(T))
    prefix = run(model, x[:, :3], mask=causal_mask(3))
    np.testing.assert_allclose(out[:, :3], prefix, atol=1e-5)


def test_permutation_equivariance(x64):
    model = build(np.float64)
    (x,) = draw(9, (B, T, M), dtype=np.float64)
    order = np.random.default_rng(9).permutation(T)
    np.testing.assert_allclose(run(model, x[:, order]), run(model, x)[:, order], atol=1e-12)


def test_bfloat16_is_close_to_float32():
    (x,) = draw(10, (B, T, M))
    narrow = run(build(jnp.bfloat16), x.astype(jnp.bfloat16), mask=causal_mask(T))
    assert narrow.dtype == jnp.bfloat16
    wide = run(build(), x, mask=causal_mask(T))
    np.testing.assert_allclose(narrow.astype(np.float32), wide, atol=0.1)


def test_hidden_width_is_four_times_the_width_by_default():
    block = TransformerBlock(config(hidden=None), rngs=nnx.Rngs(0))
    assert block.mlp.expand.kernel.shape == (M, 4 * M)


def gradient_program(length=64, **changes):
    model = nnx.eval_shape(lambda: Transformer(config(**changes), rngs=nnx.Rngs(0)))
    definition, state = nnx.split(model)

    def loss(state, x):
        return (nnx.merge(definition, state)(x) ** 2).sum()

    return jax.jit(jax.grad(loss)).lower(state, jax.ShapeDtypeStruct((8, length, M), jnp.float32))


def test_remat_saves_memory():
    memory = [
        gradient_program(layers=12, remat=remat).compile().memory_analysis().temp_size_in_bytes
        for remat in (False, True)
    ]
    assert memory[1] < memory[0] / 2


def test_the_program_does_not_grow_with_depth():
    """The loop over the layers is in the program once; unrolled it is there L times."""
    sizes = [len(gradient_program(layers=layers).as_text()) for layers in (2, 24)]
    assert sizes[1] < 1.1 * sizes[0]


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
def test_exports_for_every_platform(implementation):
    model = build(implementation=implementation, remat=True, dropout=0.1)
    definition, state = nnx.split(model)
    leaves, tree = jax.tree.flatten(state)
    (x,) = draw(11, (B, T, M))

    def loss(leaves, x):
        model = nnx.merge(definition, jax.tree.unflatten(tree, leaves))
        return (model(x, mask=causal_mask(T), dropout_key=jax.random.key(0)) ** 2).sum()

    every = ("cpu", "cuda", "tpu")
    exported = export.export(jax.jit(jax.value_and_grad(loss)), platforms=every)(leaves, x)
    assert exported.platforms == every


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: config(layers=0), "'layers': expected at least 1, got 0"),
        (lambda: config(width=0), "'width': expected at least 1, got 0"),
        (lambda: config(heads=0), "'heads': expected at least 1, got 0"),
        (lambda: config(unroll=0), "'unroll': expected at least 1, got 0"),
        (lambda: config(hidden=0), "'hidden': expected None or at least 1, got 0"),
        (lambda: config(dropout=1.0), "'dropout': expected 0 <= dropout < 1, got 1.0"),
        (lambda: build(heads=4), "'heads': expected a divisor of the width 30, got 4"),
        (lambda: build(implementation="flash"), "'implementation': expected one of .*'flash'"),
        (lambda: build(rotary_positions=True, width=9), "'rotary_positions': .*even head width"),
        (lambda: build()(jnp.ones((T, M))), r"'x': expected rank 3 .*got float32\[5, 30\]"),
        (lambda: build()(jnp.ones((B, T, M + 1))), r"'scale': expected \[31\], got float32\[30\]"),
        (lambda: build()(jnp.ones((0, T, M))), r"expected no empty axis, got float32\[0, 3, 5, 10"),
        (lambda: build()(jnp.ones((B, T, M)), mask=causal_mask(3)), r"'mask': .*bool\[3, 3\]"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
