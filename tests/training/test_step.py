"""The compiled step: a literal step, K steps in one call, keys, donation, devices, platforms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from mmjax.attention import Linear, TransformerConfig
from mmjax.losses import clip_loss
from mmjax.models.clip import CLIP, CLIPConfig
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig
from mmjax.training import (
    adamw,
    init_state,
    make_train_step,
    make_train_steps,
    with_parameters,
)

RATE = 0.1


def line():
    return Linear(3, 2, rngs=nnx.Rngs(0))


def squared_error(model, batch, key):
    return ((model(batch["x"]) - batch["y"]) ** 2).mean()


def noisy_error(model, batch, key):
    """Depends on the key, so that a key used twice shows."""
    return squared_error(model, batch, key) + jax.random.normal(key)


def draw(seed, *leading):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(*leading, 5, n)).astype(np.float32) for n in (3, 2))
    return {"x": jnp.asarray(x), "y": jnp.asarray(y)}


def test_a_step_is_the_literal_one():
    model, batch = line(), draw(0)
    kernel, bias = np.asarray(model.kernel[...]), np.asarray(model.bias[...])
    x, y = np.asarray(batch["x"]), np.asarray(batch["y"])
    residual = x @ kernel + bias - y
    d_kernel, d_bias = x.T @ residual / 5, residual.sum(axis=0) / 5
    step = make_train_step(model, squared_error, optax.sgd(RATE))
    state, metrics = step(init_state(model, optax.sgd(RATE)), batch, jax.random.key(0))
    np.testing.assert_allclose(state.parameters["kernel"], kernel - RATE * d_kernel, rtol=1e-5)
    np.testing.assert_allclose(state.parameters["bias"], bias - RATE * d_bias, rtol=1e-5)
    assert state.step == 1
    assert metrics.keys() == {"loss", "gradient_norm"}
    np.testing.assert_allclose(metrics["loss"], (residual**2).mean(), rtol=1e-5)
    norm = np.sqrt((d_kernel**2).sum() + (d_bias**2).sum())
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-5)


def test_steps_in_one_call_are_single_steps():
    optimizer = adamw(RATE, 10, warmup=2)
    model, batches, key = line(), draw(0, 4), jax.random.key(0)
    together = make_train_steps(model, noisy_error, optimizer)
    state, metrics = together(init_state(model, optimizer), batches, key)
    step = make_train_step(model, noisy_error, optimizer)
    single, singles = init_state(model, optimizer), []
    for k in range(4):
        single, metric = step(single, jax.tree.map(lambda b, k=k: b[k], batches), key)
        singles.append(metric)
    for ours, other in zip(jax.tree.leaves(state), jax.tree.leaves(single), strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-6, atol=1e-7)
    assert state.step == 4
    for name in metrics:
        expected = [metric[name] for metric in singles]
        np.testing.assert_allclose(metrics[name], expected, rtol=1e-6)


def test_a_loss_may_record_other_numbers_which_change_no_gradient():
    def and_more(model, batch, key):
        value = squared_error(model, batch, key)
        return value, {"largest": jnp.abs(model.kernel[...]).max(), "half": value / 2}

    model, batches, optimizer = line(), draw(0, 4), optax.sgd(RATE)
    run = make_train_steps(model, and_more, optimizer)
    state, metrics = run(init_state(model, optimizer), batches, jax.random.key(0))
    plain = make_train_steps(model, squared_error, optimizer)
    other, _ = plain(init_state(model, optimizer), batches, jax.random.key(0))
    np.testing.assert_array_equal(state.parameters["kernel"], other.parameters["kernel"])
    assert metrics.keys() == {"loss", "gradient_norm", "largest", "half"}
    np.testing.assert_allclose(metrics["half"], metrics["loss"] / 2, rtol=1e-6)
    np.testing.assert_allclose(metrics["largest"][0], np.abs(model.kernel[...]).max(), rtol=1e-6)


@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
def test_a_recorded_number_may_not_hide_one_of_ours(name):
    def hides(model, batch, key):
        value = squared_error(model, batch, key)
        return value, {name: value}

    model, optimizer = line(), optax.sgd(RATE)
    step = make_train_step(model, hides, optimizer)
    with pytest.raises(ValueError, match=rf"argument 'loss'.*got \['{name}'\]"):
        step(init_state(model, optimizer), draw(0), jax.random.key(0))


def test_each_step_has_a_key_of_its_own():
    model, optimizer = line(), optax.sgd(0.0)
    steps = make_train_steps(model, lambda model, batch, key: jax.random.normal(key), optimizer)
    state, first = steps(init_state(model, optimizer), draw(0, 7), jax.random.key(0))
    _, then = steps(state, draw(0, 7), jax.random.key(0))
    drawn = np.concatenate([first["loss"], then["loss"]])
    assert len(np.unique(drawn)) == 14
    _, again = steps(init_state(model, optimizer), draw(0, 7), jax.random.key(0))
    np.testing.assert_array_equal(again["loss"], first["loss"])
    _, other = steps(init_state(model, optimizer), draw(0, 7), jax.random.key(1))
    assert not np.isin(other["loss"], drawn).any()


def test_the_state_is_used_up_and_the_model_is_not():
    model, optimizer, key = line(), adamw(RATE, 10, warmup=2), jax.random.key(0)
    before = jax.tree.map(np.array, nnx.to_pure_dict(nnx.state(model)))
    state = init_state(model, optimizer)
    step = make_train_step(model, squared_error, optimizer)
    new, _ = step(state, draw(0), key)
    new, _ = step(new, draw(0), key)
    assert state.parameters["kernel"].is_deleted()
    for name, parameter in before.items():
        np.testing.assert_array_equal(getattr(model, name)[...], parameter)
    trained = with_parameters(model, new.parameters)
    np.testing.assert_array_equal(trained.kernel[...], new.parameters["kernel"])
    assert not np.array_equal(trained.kernel[...], model.kernel[...])


TINY = TransformerConfig(layers=2, width=8, heads=2)
CONFIG = CLIPConfig(
    image=ImageEncoderConfig(image_size=6, patch_size=3, transformer=TINY),
    text=TextEncoderConfig(vocabulary=13, length=4, transformer=TINY),
    embedding=9,
)
OPTIMIZER = adamw(1e-3, 10, warmup=0)


def contrastive_loss(model, batch, key):
    return clip_loss(*model(batch["images"], batch["tokens"], batch["real"]))


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    batch = {
        "images": jnp.asarray(rng.random((2, 16, 6, 6, 1), np.float32)),
        "tokens": jnp.asarray(rng.integers(1, 13, (2, 16, 4)), jnp.int32),
        "real": jnp.asarray(rng.random((2, 16, 4)) < 0.8).at[:, :, 0].set(True),
    }
    return CLIP(CONFIG, rngs=nnx.Rngs(0)), batch


def test_eight_devices_train_clip_like_one(clip):
    """The batch lies on eight devices, two pairs each, and every pair still meets all 16 texts."""
    model, batches = clip
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split = NamedSharding(mesh, PartitionSpec(None, "data"))
    whole = NamedSharding(mesh, PartitionSpec())
    # AdamW divides by the size of the gradient and so would blow up the rounding where it is zero.
    optimizer = optax.sgd(RATE)
    steps = make_train_steps(model, contrastive_loss, optimizer)
    state, metrics = steps(init_state(model, optimizer), batches, jax.random.key(0))
    placed = jax.device_put(batches, split)
    assert {shard.data.shape[1] for shard in placed["images"].addressable_shards} == {2}
    sharded, sharded_metrics = steps(
        jax.device_put(init_state(model, optimizer), whole), placed, jax.random.key(0)
    )
    np.testing.assert_allclose(sharded_metrics["loss"], metrics["loss"], rtol=1e-5)
    np.testing.assert_allclose(
        sharded_metrics["gradient_norm"], metrics["gradient_norm"], rtol=1e-4
    )
    for ours, other in zip(jax.tree.leaves(sharded), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-5)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_train_steps_export(clip, platform):
    model, batches = clip
    state, key = init_state(model, OPTIMIZER), jax.random.key(0)
    first = jax.tree.map(lambda b: b[0], batches)
    for make, batch in ((make_train_step, first), (make_train_steps, batches)):
        compiled = make(model, contrastive_loss, OPTIMIZER)
        exported = jax.export.export(compiled, platforms=[platform])(state, batch, key)
        assert exported.platforms == (platform,)


@pytest.mark.parametrize("make", [make_train_step, make_train_steps])
def test_a_weakly_typed_parameter_does_not_compile_the_step_twice(make):
    model, optimizer = line(), adamw(RATE, 100)
    model.extra = nnx.Param(jnp.asarray(1.0))  # weakly typed, as Python numbers make it
    step, state = make(model, squared_error, optimizer), init_state(model, optimizer)
    batch = draw(0, 7) if make is make_train_step else draw(0, 2, 7)
    for _ in range(3):
        state, _ = step(state, batch, jax.random.key(0))
    assert step._cache_size() == 1


def test_a_snapshot_survives_the_next_step():
    model, optimizer = line(), adamw(RATE, 100)
    step, state = make_train_step(model, squared_error, optimizer), init_state(model, optimizer)
    snapshot = with_parameters(model, state.parameters)
    state, _ = step(state, draw(0, 7), jax.random.key(0))
    np.testing.assert_array_equal(snapshot.kernel[...], model.kernel[...])


def test_variables_that_nothing_would_update_are_refused():
    with pytest.raises(ValueError, match="init_state.*'model'.*only nnx.Param.*BatchStat"):
        init_state(nnx.BatchNorm(3, rngs=nnx.Rngs(0)), adamw(RATE, 100))
