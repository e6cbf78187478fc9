"""The Transformer over time: what is missing has no influence, and clear errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.models.over_time import CausalModel, steps_mask
from mmjax.models.representation import RepresentationConfig, Tokens

B, T = 2, 5


@pytest.fixture(scope="module")
def model():
    config = RepresentationConfig(
        {"a": Tokens(3, T), "b": Tokens(7, T)}, TransformerConfig(2, 8, 2, 12), 3
    )
    return CausalModel(config, rngs=nnx.Rngs(0))


def draw(seed=0, length=T):
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=(B, length, f)).astype(np.float32) for k, f in (("a", 3), ("b", 7))}


@nnx.jit
def run(model, tokens, masks):
    return model({k: (x, masks[k]) for k, x in tokens.items()})


ALL = {k: jnp.ones((B, T), bool) for k in "ab"}


def test_what_was_not_observed_has_no_influence(model):
    tokens, masks = draw(), {"a": ALL["a"].at[0, 1].set(False), "b": ALL["b"]}
    other = {k: x.copy() for k, x in tokens.items()}
    other["a"][0, 1] = np.nan
    np.testing.assert_array_equal(run(model, tokens, masks), run(model, other, masks))
    assert not np.allclose(run(model, tokens, masks)[0, 1:], run(model, tokens, ALL)[0, 1:])


def test_a_step_without_anything_gives_zeros_and_the_rest_stays_finite(model):
    masks = {k: m.at[1, 2].set(False) for k, m in ALL.items()}
    out = np.asarray(run(model, draw(), masks))
    assert (out[1, 2] == 0).all() and np.isfinite(out).all() and (out[1, 3] != 0).all()


def test_a_shorter_session_gives_the_beginning_of_a_longer_one(model):
    tokens = draw()
    short = {k: x[:, :3] for k, x in tokens.items()}
    first = run(model, short, {k: m[:, :3] for k, m in ALL.items()})
    np.testing.assert_allclose(first, run(model, tokens, ALL)[:, :3], atol=1e-5)


def test_a_missing_modality_may_be_left_out(model):
    tokens = draw()
    left_out = run(model, {"b": tokens["b"]}, {"b": ALL["b"]})
    hidden = run(model, tokens, {"a": ~ALL["a"], "b": ALL["b"]})
    np.testing.assert_allclose(left_out, hidden, atol=1e-5)


def test_every_parameter_has_a_gradient(model):
    graph, state = nnx.split(model)
    grads = jax.jit(jax.grad(lambda s: (run(nnx.merge(graph, s), draw(), ALL) ** 2).sum()))(state)
    for path, value in nnx.to_flat_state(grads):
        # A bias of the keys moves every score of a query alike, so softmax does not see it.
        assert np.abs(np.asarray(value[...])).max() > 0 or "key" in str(path), path


def test_bad_input_raises_one_clear_error(model):
    tokens = draw()
    uneven = {"a": (tokens["a"], None), "b": (tokens["b"][:, :3], None)}
    with pytest.raises(ValueError, match="'inputs': expected as many steps in all modalities"):
        model(uneven)
    with pytest.raises(ValueError, match="'modalities': expected at least 1, got 0"):
        steps_mask(0, 3)
