"""The bottleneck: all that passes between modalities passes through it, and nothing else does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.models.bottleneck import BottleneckModel, mean_of_present
from mmjax.models.representation import RepresentationConfig, Tokens, Words

B, E, V, Z = 3, 5, 13, 2
SIZES = TransformerConfig(layers=2, width=6, heads=2, hidden=7)
SPECS = {"video": Tokens(11, 4), "audio": Tokens(3, 2), "text": Words(V, 5)}
CONFIG = RepresentationConfig(SPECS, SIZES, E)


def make(bottleneck=Z, config=CONFIG):
    rng = np.random.default_rng(1)
    model = nnx.eval_shape(lambda: BottleneckModel(config, bottleneck, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(model)
    drawn = jax.tree.map(lambda p: jnp.asarray(0.5 * rng.normal(size=p.shape), p.dtype), state)
    return nnx.merge(graph, drawn)


def compiled(model):
    graph, state = nnx.split(model)
    run = jax.jit(lambda state, inputs: nnx.merge(graph, state)(inputs))
    return lambda inputs: run(state, inputs)


def make_inputs(seed=0):
    rng = np.random.default_rng(seed)
    inputs = {
        name: jnp.asarray(rng.normal(size=(B, spec.length, spec.features)), jnp.float32)
        for name, spec in SPECS.items()
        if isinstance(spec, Tokens)
    }
    inputs["text"] = jnp.asarray(rng.integers(0, V, (B, 5)), jnp.int32)
    masks = {name: np.ones(tokens.shape[:2], bool) for name, tokens in inputs.items()}
    masks["text"][0, 3:] = False
    return {name: (tokens, jnp.asarray(masks[name])) for name, tokens in inputs.items()}


def cross_gradient(bottleneck):
    """The gradient of everything that the text's stream says, by the tokens of the video."""
    model, inputs = make(bottleneck), make_inputs()

    @jax.jit
    def gradient(video):
        def text(video):
            changed = inputs | {"video": (video, inputs["video"][1])}
            return (model.streams(changed)[0]["text"] ** 2).sum()

        return jax.grad(text)(video)

    return np.asarray(gradient(inputs["video"][0]))


def test_cutting_the_bottleneck_cuts_every_gradient_between_modalities():
    assert (cross_gradient(0) == 0).all()
    assert np.abs(cross_gradient(1)).max() > 1e-6


def test_one_layer_alone_lets_nothing_through():
    """z carries what it has read to the others in the next layer, so it takes two."""
    one = RepresentationConfig(SPECS, TransformerConfig(layers=1, width=6, heads=2), E)
    model, inputs = make(Z, one), make_inputs()
    moved = inputs | {"video": (inputs["video"][0] + 1.0, inputs["video"][1])}
    streams = jax.jit(lambda inputs: model.streams(inputs)[0])
    before, after = streams(inputs), streams(moved)
    np.testing.assert_array_equal(before["text"], after["text"])
    assert np.abs(np.subtract(before["video"], after["video"])).max() > 1e-3


def test_what_is_missing_has_no_influence():
    model, inputs = make(), make_inputs()
    tokens, mask = inputs["audio"]
    hidden = inputs | {"audio": (jnp.full_like(tokens, jnp.nan), jnp.zeros_like(mask))}
    left_out = {k: v for k, v in inputs.items() if k != "audio"}
    run = compiled(model)
    np.testing.assert_allclose(run(hidden), run(left_out), atol=1e-6)
    assert np.abs(np.subtract(run(hidden), run(inputs))).max() > 1e-3


def test_exchange_and_output_are_means_over_what_is_there():
    parts = [jnp.full((2, 3), value) for value in (1.0, 4.0, 10.0)]
    here = [jnp.array([True, True]), jnp.array([True, False]), jnp.array([True, False])]
    np.testing.assert_allclose(mean_of_present(parts, here), [[5.0] * 3, [1.0] * 3])
    nobody = [jnp.zeros(2, bool)] * 3
    np.testing.assert_array_equal(mean_of_present(parts, nobody), np.zeros((2, 3)))


def test_padding_has_no_influence():
    model, inputs = make(), make_inputs()
    tokens, mask = inputs["text"]
    other = inputs | {"text": (tokens.at[0, 3:].set(V - 1), mask)}
    run = compiled(model)
    np.testing.assert_array_equal(run(inputs), run(other))


def test_nothing_at_all_gives_zeros_and_no_nan():
    model, inputs = make(), make_inputs()
    empty = {k: (tokens, jnp.zeros_like(mask)) for k, (tokens, mask) in inputs.items()}
    np.testing.assert_array_equal(compiled(model)(empty), np.zeros((B, E)))
    graph, state = nnx.split(model)
    loss = lambda state: (nnx.merge(graph, state)(empty) ** 2).sum()  # noqa: E731
    gradient = jax.jit(jax.grad(loss))(state)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_the_order_of_the_mapping_means_nothing():
    model, inputs = make(), make_inputs()
    turned = dict(reversed(inputs.items()))
    # As arguments of a compiled function both would arrive sorted by name.
    out, other = (jax.jit(lambda given=given: model(given))() for given in (inputs, turned))
    np.testing.assert_array_equal(out, other)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_exports(platform):
    graph, state = nnx.split(make())
    step = jax.jit(
        jax.grad(lambda state, inputs: (nnx.merge(graph, state)(inputs) ** 2).sum(), argnums=0)
    )
    exported = jax.export.export(step, platforms=[platform])(state, make_inputs())
    assert exported.platforms == (platform,)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="argument 'bottleneck'"):
        make(-1)
    with pytest.raises(ValueError, match="argument 'inputs'"):
        make()({"smell": make_inputs()["audio"]})
