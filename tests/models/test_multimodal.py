"""Attention maps: labelled, of the right layer, and those of the forward pass itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import (
    CrossAttentionBlock,
    Transformer,
    TransformerBlock,
    TransformerConfig,
    padding_mask,
)
from mmjax.models.bottleneck import BottleneckModel, with_shared
from mmjax.models.multimodal import (
    SHARED,
    DualStreamModel,
    SingleStreamModel,
    attention_maps,
    cut_map,
    through_bottleneck,
)
from mmjax.models.representation import (
    CoordinatedModel,
    RepresentationConfig,
    Tokens,
    Words,
    what_it_reads,
)

B, E, V, Z, H, M = 2, 3, 13, 2, 2, 6
SIZES = TransformerConfig(layers=2, width=M, heads=H, hidden=7)
SPECS = {"video": Tokens(11, 4), "audio": Tokens(3, 2), "text": Words(V, 5)}
CONFIG = RepresentationConfig(SPECS, SIZES, E)
LENGTHS = {name: SPECS[name].length for name in sorted(SPECS)}
KINDS = {
    "single-stream": lambda rngs: SingleStreamModel(CONFIG, rngs=rngs),
    "dual-stream": lambda rngs: DualStreamModel(CONFIG, rngs=rngs),
    "bottleneck": lambda rngs: BottleneckModel(CONFIG, Z, rngs=rngs),
}


def randomised(make):
    graph, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    rng = np.random.default_rng(1)
    drawn = jax.tree.map(lambda p: jnp.asarray(0.4 * rng.normal(size=p.shape), p.dtype), state)
    return nnx.merge(graph, drawn)


def make_inputs(missing=()):
    rng = np.random.default_rng(0)
    inputs = {}
    for name, spec in SPECS.items():
        if name == "text":
            tokens = jnp.asarray(rng.integers(0, V, (B, 5)), jnp.int32)
        else:
            tokens = jnp.asarray(rng.normal(size=(B, spec.length, spec.features)), jnp.float32)
        mask = np.full((B, spec.length), name not in missing)
        mask[0, -1] = False
        inputs[name] = tokens, jnp.asarray(mask)
    return inputs


@pytest.fixture(scope="module")
def maps():
    """The maps of each architecture, with everything there and without sound."""
    found = {}
    for kind, make in KINDS.items():
        run = nnx.jit(attention_maps)
        model = randomised(make)
        found[kind] = run(model, make_inputs()), run(model, make_inputs(("audio",)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_labelled_by_who_reads_whom(maps, kind):
    for layer in maps[kind][0]:
        for (reader, read), block in layer.items():
            sizes = LENGTHS | {SHARED: Z}
            assert block.shape == (B, H, sizes[reader], sizes[read])
    pairs = set(maps[kind][0][0])
    if kind == "bottleneck":
        own = {(k, k) for k in SPECS}
        assert pairs == own | {(k, SHARED) for k in SPECS} | {(SHARED, k) for k in SPECS}
    else:
        assert pairs == {(k, j) for k in SPECS for j in SPECS}
    assert len(maps[kind][0]) == SIZES.layers


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_real_is_not_read(maps, kind):
    everything, without = maps[kind]
    for layer in everything:
        for (_, read), block in layer.items():
            if read != SHARED:
                assert not np.asarray(block[0, :, :, -1]).any()
                assert np.asarray(block[1, :, :, -1]).any()
    for layer in without:
        for (_, read), block in layer.items():
            assert np.asarray(block).any() is np.bool_(read != "audio")


def test_the_first_layer_is_the_formula(maps):
    """Single-stream, against the oracle: one softmax over the tokens of all modalities."""
    model, inputs = randomised(KINDS["single-stream"]), make_inputs()
    streams, masks = model.embed(inputs)
    block = jax.tree.map(lambda p: np.asarray(p[0], float), nnx.to_pure_dict(nnx.state(model)))
    block = block["transformer"]["blocks"]
    x = np.concatenate([np.asarray(x[0], float) for x in streams.values()])
    real = np.concatenate([np.asarray(mask[0]) for mask in masks.values()])
    x = formulas.layer_norm(x, block["attention_norm"]["scale"], block["attention_norm"]["bias"])
    q, k = (
        x @ block["attention"][name]["kernel"] + block["attention"][name]["bias"]
        for name in ("query", "key")
    )
    first = maps["single-stream"][0][0]
    for h, cut in enumerate(np.split(np.arange(M), H)):
        P = formulas.attention_weights(q[:, cut], k[:, cut], real[None, :])
        ours = np.block([[np.asarray(first[a, b][0, h]) for b in LENGTHS] for a in LENGTHS])
        np.testing.assert_allclose(ours, P, atol=2e-5)


@pytest.mark.parametrize("kind", ["dual-stream", "bottleneck"])
def test_the_second_layer_reads_what_the_first_has_made(maps, kind):
    """The forward pass of layer 1 through the blocks' own calls, then the weights of layer 2."""
    model, inputs = randomised(KINDS[kind]), make_inputs()
    streams, masks, *z = model.embed(inputs)
    first, second = model.layers
    if kind == "dual-stream":
        made = {k: first[k](x, **what_it_reads(k, streams, masks)) for k, x in streams.items()}
        blocks = {k: second[k].block for k in made}
    else:
        both = {}
        for k, x in streams.items():
            tokens, mask = with_shared(x, z[0], masks[k])
            both[k] = first[k](tokens, mask=mask)
        shared = sum(x[:, -Z:] for x in both.values()) / len(both)
        made = {k: jnp.concatenate([x[:, :-Z], shared], axis=1) for k, x in both.items()}
        blocks = {k: second[k] for k in made}
    for k, block in blocks.items():
        mask = jnp.pad(masks[k], ((0, 0), (0, made[k].shape[1] - LENGTHS[k])), constant_values=True)
        x = block.attention_norm(made[k])
        _, weights = block.attention.with_weights(x, mask=padding_mask(mask))
        own = weights[:, :, : LENGTHS[k], : LENGTHS[k]]
        np.testing.assert_allclose(maps[kind][0][1][k, k], own, atol=1e-5)


def test_with_weights_gives_the_same_output():
    rng = np.random.default_rng(2)
    x, context = (jnp.asarray(rng.normal(size=(B, t, M)), jnp.float32) for t in (4, 3))
    mask = jnp.asarray([[True, True, False, True]])[:, None, None]
    near = {"atol": 1e-5}
    for kind in (TransformerBlock, Transformer):
        module = randomised(lambda rngs, kind=kind: kind(SIZES, rngs=rngs))
        out, weights = module.with_weights(x, mask=mask)
        np.testing.assert_allclose(out, module(x, mask=mask), **near)
        assert weights.shape[-4:] == (B, H, 4, 4)
        np.testing.assert_allclose(weights.sum(axis=-1), 1, **near)
    block = randomised(lambda rngs: CrossAttentionBlock(SIZES, rngs=rngs))
    out, own, across = block.with_weights(x, context, mask=mask)
    np.testing.assert_allclose(out, block(x, context, mask=mask), **near)
    assert own.shape == (B, H, 4, 4) and across.shape == (B, H, 4, 3)
    assert not np.asarray(own[..., 2]).any()


def test_the_number_of_modalities_may_differ_between_examples(maps):
    layers = maps["bottleneck"][0]
    both = through_bottleneck(*layers, "text", "video", jnp.array([3, 2]))
    np.testing.assert_allclose(both[0], through_bottleneck(*layers, "text", "video", 3)[0])
    np.testing.assert_allclose(both[1], through_bottleneck(*layers, "text", "video", 2)[1])


def test_nothing_there_counts_as_one_modality_as_in_the_model(maps):
    layers = maps["bottleneck"][0]
    none = through_bottleneck(*layers, "text", "video", jnp.array([0, 1]))
    np.testing.assert_array_equal(none, through_bottleneck(*layers, "text", "video", 1))


def test_a_path_that_is_not_there_is_named(maps):
    layers = maps["bottleneck"][0]
    for arguments, match in (
        (("smell", "video", 3), "'reader': expected one of 'audio', 'text', 'video', got 'smell'"),
        (("text", "smell", 3), "'read': expected one of 'audio', 'text', 'video', got 'smell'"),
        (("text", "video", jnp.array([3])), r"'present': expected a number or \[2\], got int32"),
    ):
        with pytest.raises(ValueError, match=f"through_bottleneck: argument {match}"):
            through_bottleneck(*layers, *arguments)


def test_wrong_arguments_are_named():
    other = randomised(lambda rngs: CoordinatedModel(CONFIG, rngs=rngs))
    with pytest.raises(TypeError, match="argument 'model'.*CoordinatedModel"):
        attention_maps(other, make_inputs())
    with pytest.raises(ValueError, match="argument 'inputs'"):
        attention_maps(randomised(KINDS["dual-stream"]), {"smell": make_inputs()["audio"]})
    with pytest.raises(ValueError, match="argument 'keys'"):
        cut_map(jnp.zeros((4, 5)), {"a": 4}, {"a": 4})
