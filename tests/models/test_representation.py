"""Joint and coordinated models: what is missing has no influence, order means nothing, counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.measure import matrix_flops
from mmjax.models.representation import (
    CoordinatedModel,
    CrossAttentionModel,
    JointModel,
    RepresentationConfig,
    Tokens,
    Words,
)

B, E, V = 3, 5, 13
SIZES = TransformerConfig(layers=2, width=6, heads=2, hidden=7)
SPECS = {"video": Tokens(11, 4), "audio": Tokens(3, 2), "text": Words(V, 5)}
CONFIG = RepresentationConfig(SPECS, SIZES, E)
KINDS = (JointModel, CoordinatedModel, CrossAttentionModel)
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind, dtype=np.float32, config=CONFIG):
    """A model with parameters drawn at random, biases and scales too."""
    rng = np.random.default_rng(1)

    def draw(p):
        return jnp.asarray(0.5 * rng.normal(size=p.shape), dtype)

    graph, state = nnx.split(nnx.eval_shape(lambda: kind(config, rngs=nnx.Rngs(0))))
    return nnx.merge(graph, jax.tree.map(draw, state))


def make_inputs(dtype=np.float32, seed=0):
    """Every modality has one padded token in row 0; the other rows are full."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for name, spec in SPECS.items():
        if isinstance(spec, Words):
            tokens = jnp.asarray(rng.integers(0, V, (B, spec.length)), jnp.int32)
        else:
            tokens = jnp.asarray(rng.normal(size=(B, spec.length, spec.features)), dtype)
        mask = np.ones((B, spec.length), bool)
        mask[0, -1] = False
        inputs[name] = tokens, jnp.asarray(mask)
    return inputs


def hide(inputs, *names, filling=None):
    """The same inputs with the masks of these modalities all False, and other tokens there."""
    hidden = dict(inputs)
    for name in names:
        tokens, mask = inputs[name]
        if filling is not None:
            is_text = jnp.issubdtype(tokens.dtype, jnp.integer)
            tokens = V - 1 - tokens if is_text else jnp.full_like(tokens, filling)
        hidden[name] = tokens, jnp.zeros_like(mask)
    return hidden


def compiled(model):
    graph, state = nnx.split(model)
    run = jax.jit(lambda state, inputs: nnx.merge(graph, state)(inputs))
    return lambda inputs: run(state, inputs)


def as_dict(out):
    return out if isinstance(out, dict) else {"joint": out}


@every_kind
def test_shapes(kind):
    out = as_dict(compiled(make(kind))(make_inputs()))
    assert all(vector.shape == (B, E) for vector in out.values())
    assert set(out) == ({"joint"} if kind is JointModel else set(SPECS))


@every_kind
def test_what_is_missing_has_no_influence(kind):
    """Values and gradients are the same to the last bit, even with NaN behind the mask."""
    graph, state = nnx.split(make(kind))

    def total(state, inputs):
        out = as_dict(nnx.merge(graph, state)(inputs))
        return sum((vector**2).sum() for vector in out.values()), out

    run = jax.jit(jax.grad(total, has_aux=True))
    inputs = make_inputs()
    for missing in SPECS:
        gradient, out = run(state, hide(inputs, missing))
        other_gradient, other = run(state, hide(inputs, missing, filling=jnp.nan))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, out)))
        jax.tree.map(np.testing.assert_array_equal, out, other)
        jax.tree.map(np.testing.assert_array_equal, gradient, other_gradient)
        unused = jax.tree.leaves(gradient["inputs"][missing])
        assert not any(np.asarray(leaf).any() for leaf in unused)
        if kind is not JointModel:
            assert not out[missing].any()


@every_kind
def test_hidden_and_not_given_are_the_same(x64, kind):
    run, inputs = compiled(make(kind, np.float64)), make_inputs(np.float64)
    hidden = as_dict(run(hide(inputs, "audio")))
    left_out = as_dict(run({name: inputs[name] for name in ("text", "video")}))
    for name, vector in left_out.items():
        np.testing.assert_allclose(vector, hidden[name], atol=1e-13)


@every_kind
def test_nothing_at_all_gives_zeros(kind):
    out = as_dict(compiled(make(kind))(hide(make_inputs(), *SPECS)))
    assert not any(np.asarray(vector).any() for vector in out.values())


@every_kind
def test_one_modality_alone_is_finite_and_not_zero(kind):
    inputs = make_inputs()
    for name in SPECS:
        out = as_dict(compiled(make(kind))({name: inputs[name]}))
        assert list(out) == [name if kind is not JointModel else "joint"]
        (vector,) = out.values()
        assert np.isfinite(vector).all() and np.asarray(vector).any()


@every_kind
def test_the_order_of_the_modalities_means_nothing(kind):
    inputs = make_inputs()
    reversed_config = RepresentationConfig(dict(reversed(SPECS.items())), SIZES, E)
    out = compiled(make(kind))(inputs)
    other = compiled(make(kind, config=reversed_config))(dict(reversed(inputs.items())))
    jax.tree.map(np.testing.assert_array_equal, out, other)
    same, again = (kind(c, rngs=nnx.Rngs(0)) for c in (CONFIG, reversed_config))
    jax.tree.map(np.testing.assert_array_equal, nnx.state(same), nnx.state(again))


@every_kind
def test_padding_has_no_influence(x64, kind):
    """Row 0 has one padded token in every modality: cut it off, and nothing changes."""
    run, inputs = compiled(make(kind, np.float64)), make_inputs(np.float64)
    cut = {name: (tokens[:1, :-1], mask[:1, :-1]) for name, (tokens, mask) in inputs.items()}
    whole, short = as_dict(run(inputs)), as_dict(run(cut))
    for name, vector in short.items():
        np.testing.assert_allclose(vector, whole[name][:1], atol=1e-13)


@every_kind
def test_no_mask_means_that_all_tokens_are_real(kind):
    inputs = {name: (tokens, None) for name, (tokens, _) in make_inputs().items()}
    full = {k: (t, jnp.ones_like(m)) for k, (t, m) in make_inputs().items()}
    run = compiled(make(kind))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), run(inputs), run(full))


def influence(kind, output, source):
    """Whether tokens of `source` change the vector of `output`."""
    model, inputs = make(kind), make_inputs()
    tokens, mask = inputs[source]

    def total(tokens):
        out = compiled(model)(inputs | {source: (tokens, mask)})
        return (out[output] ** 2).sum()

    return bool(np.asarray(jax.grad(total)(tokens)).any())


def test_who_depends_on_whom():
    """Tied by a loss: nobody reads another. Tied by attention: everybody reads everybody."""
    assert influence(CoordinatedModel, "audio", "audio")
    assert not influence(CoordinatedModel, "audio", "video")
    assert not influence(CoordinatedModel, "text", "video")
    for output, source in (("audio", "video"), ("text", "video"), ("video", "video")):
        assert influence(CrossAttentionModel, output, source)


def test_coordinated_vectors_have_length_one():
    out = compiled(make(CoordinatedModel))(make_inputs())
    for vector in out.values():
        np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1, atol=1e-5)


@every_kind
def test_one_loss_reaches_every_parameter(kind):
    graph, state = nnx.split(make(kind))

    def total(state):
        out = as_dict(nnx.merge(graph, state)(make_inputs()))
        return sum((vector[:, :2] ** 2).sum() for vector in out.values())

    gradient = jax.jit(jax.grad(total))(state)
    for path, leaf in nnx.to_flat_state(gradient):
        reached = np.asarray(leaf[...]).any() or path[-1] == "logit_scale"
        assert reached or path[-2:] == ("key", "bias"), path  # (4.2.17): it does nothing


@every_kind
def test_parameters_and_operations_are_the_formulas(kind):
    name = kind.__name__.removesuffix("Model").lower()
    lengths = [spec.length for spec in SPECS.values()]
    rows = [s.vocabulary if isinstance(s, Words) else s.features + 1 for s in SPECS.values()]
    features = [0 if isinstance(s, Words) else s.features for s in SPECS.values()]
    sizes = SIZES.layers, SIZES.width, SIZES.hidden, E
    model = make(kind)
    counted = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert counted == formulas.representation_parameters(name, rows, lengths, *sizes)
    graph, state = nnx.split(model)
    flops = matrix_flops(lambda s, x: nnx.merge(graph, s)(x), state, make_inputs())
    assert flops == B * formulas.representation_operations(name, features, lengths, *sizes)


@every_kind
def test_dropout_needs_a_key_and_depends_on_it(kind):
    sizes = TransformerConfig(layers=2, width=6, heads=2, dropout=0.5)
    model = make(kind, config=RepresentationConfig(SPECS, sizes, E))
    run = jax.jit(lambda key: model(make_inputs(), dropout_key=key))
    first, second = (jax.tree.leaves(run(jax.random.key(i))) for i in (0, 1))
    again = jax.tree.leaves(run(jax.random.key(0)))
    assert all((a != b).any() for a, b in zip(first, second, strict=True))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


@every_kind
def test_exports(kind):
    graph, state = nnx.split(make(kind))

    def loss(state, inputs):
        return sum(jax.tree.leaves(jax.tree.map(jnp.sum, nnx.merge(graph, state)(inputs))))

    step = jax.jit(jax.value_and_grad(loss))
    exported = jax.export.export(step, platforms=["cpu", "cuda", "tpu"])(state, make_inputs())
    assert exported.platforms == ("cpu", "cuda", "tpu")


@every_kind
def test_wrong_inputs_are_named(kind):
    model, inputs = make(kind), make_inputs()
    with pytest.raises(ValueError, match="'inputs'.*one of 'audio', 'text', 'video'"):
        model({"smell": inputs["audio"]})
    with pytest.raises(ValueError, match="'inputs'.*at least one modality"):
        model({})
    one_row = tuple(array[:1] for array in inputs["audio"])
    with pytest.raises(ValueError, match="'inputs'.*one batch size for all modalities"):
        model(inputs | {"audio": one_row})
    tokens, mask = inputs["audio"]
    with pytest.raises(ValueError, match=r"'tokens'.*\[B, T, 3\]"):
        model(inputs | {"audio": (tokens[..., :2], mask)})


def test_wrong_configurations_are_named():
    with pytest.raises(ValueError, match="'modalities'.*at least one"):
        RepresentationConfig({}, SIZES, E)
    with pytest.raises(TypeError, match="'modalities'.*Tokens or Words only, got 7"):
        RepresentationConfig({"audio": 7}, SIZES, E)
    with pytest.raises(ValueError, match="'embedding'.*at least 1"):
        RepresentationConfig(SPECS, SIZES, 0)
    with pytest.raises(ValueError, match="'features'.*at least 1"):
        Tokens(0, 3)
    with pytest.raises(ValueError, match="'vocabulary'.*at least 1"):
        Words(0, 3)
    alone = RepresentationConfig({"audio": Tokens(3, 2)}, SIZES, E)
    with pytest.raises(ValueError, match="'config'.*at least two modalities"):
        CrossAttentionModel(alone, rngs=nnx.Rngs(0))
