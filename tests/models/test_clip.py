"""CLIP: unit vectors, a literal loss, every way to compile it, every platform, every precision."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.losses import clip_loss
from mmjax.models.clip import CLIP, CLIPConfig
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig


def outputs(model, batch):
    return model(batch["images"], batch["tokens"], batch["real"])


def run(model, batch, function=outputs):
    """function(model, batch) as one program."""
    graph, state = nnx.split(model)
    return jax.jit(lambda state, batch: function(nnx.merge(graph, state), batch))(state, batch)


def loss_of(model, batch):
    return clip_loss(*outputs(model, batch))


def test_embeddings_have_length_one_and_the_common_width(model, batch):
    out = run(model, batch)
    for embeddings in (out.image_embeddings, out.text_embeddings):
        assert embeddings.shape == (16, 9) and embeddings.dtype == jnp.float32
        np.testing.assert_allclose(jnp.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    assert out.logit_scale.shape == ()
    np.testing.assert_array_equal(out.logit_scale, model.logit_scale[...])


def test_embeddings_are_the_normalised_projections_and_the_loss_the_literal_one(wide):
    model, batch = wide

    def parts(model, batch):
        image_features = model.image_encoder(batch["images"])
        text_features = model.text_encoder(batch["tokens"], batch["real"])
        return image_features, text_features, outputs(model, batch), loss_of(model, batch)

    images, texts, out, loss = run(model, batch, parts)
    expected = []
    for features, map in ((images, model.image_projection), (texts, model.text_projection)):
        projected = np.asarray(features) @ np.asarray(map.kernel[...])
        expected.append(projected / np.linalg.norm(projected, axis=1, keepdims=True))
    np.testing.assert_allclose(out.image_embeddings, expected[0], atol=1e-11)
    np.testing.assert_allclose(out.text_embeddings, expected[1], atol=1e-11)
    scale = float(model.logit_scale[...])
    np.testing.assert_allclose(loss, formulas.clip_loss(*expected, scale), rtol=1e-10)


def test_the_order_of_the_pairs_changes_nothing(wide):
    model, batch = wide
    order = np.random.default_rng(1).permutation(16)
    moved = jax.tree.map(lambda array: array[order], batch)
    both = lambda model, batch: (outputs(model, batch), loss_of(model, batch))  # noqa: E731
    (ours, loss), (others, other_loss) = run(model, batch, both), run(model, moved, both)
    np.testing.assert_allclose(others[0], ours[0][order], atol=1e-12)
    np.testing.assert_allclose(others[1], ours[1][order], atol=1e-12)
    np.testing.assert_allclose(other_loss, loss, rtol=1e-12)
    torn_apart = run(model, batch | {"images": moved["images"]}, loss_of)
    assert abs(torn_apart - loss) > 1e-3


def test_every_way_to_compile_gives_the_same(model, batch):
    expected = outputs(model, batch)
    ways = {
        "jax.jit closing over the model": lambda: jax.jit(lambda b: outputs(model, b))(batch),
        "nnx.jit": lambda: nnx.jit(outputs)(model, batch),
        "nnx.jit, tree mode": lambda: nnx.jit(outputs, graph=False)(model, batch),
        "split and merge": lambda: run(model, batch),
    }
    for way, compiled in ways.items():
        for ours, plain in zip(compiled(), expected, strict=True):
            np.testing.assert_allclose(ours, plain, atol=2e-6, err_msg=way)


def test_gradients_reach_every_parameter(model, batch):
    graph, state = nnx.split(model)
    gradient = jax.jit(jax.grad(lambda state: loss_of(nnx.merge(graph, state), batch)))(state)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(leaf).all(), name
        # Softmax does not see what all keys have in common, so their bias moves nothing.
        assert np.any(leaf) or "'key'].bias" in name, name


def test_bfloat16_is_close_to_float32(model, batch):
    def narrow(x):
        return x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x

    graph, state = nnx.split(model)
    ours = run(nnx.merge(graph, jax.tree.map(narrow, state)), jax.tree.map(narrow, batch))
    expected = run(model, batch)
    for name in ("image_embeddings", "text_embeddings"):
        embeddings, plain = getattr(ours, name), getattr(expected, name)
        assert embeddings.dtype == jnp.float32, "unit vectors and logits are float32"
        assert (embeddings * plain).sum(axis=1).min() > 0.99, name


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
@pytest.mark.parametrize("entry", ["encode_image", "encode_text"])
def test_encoders_export(model, batch, platform, entry):
    graph, state = nnx.split(model)

    def encode(state, *arguments):
        return getattr(nnx.merge(graph, state), entry)(*arguments)

    names = ("images",) if entry == "encode_image" else ("tokens", "real")
    arguments = [batch[name] for name in names]
    exported = jax.export.export(jax.jit(encode), platforms=[platform])(state, *arguments)
    assert exported.platforms == (platform,)
    assert exported.out_avals[0].shape == (16, 9)


WIDTH = TransformerConfig(layers=2, width=64, heads=4)
FRESH = CLIPConfig(
    image=ImageEncoderConfig(image_size=32, patch_size=16, transformer=WIDTH),
    text=TextEncoderConfig(vocabulary=50, length=5, transformer=WIDTH),
    embedding=64,
)


def test_a_new_model_guesses():
    """The loss starts near ln N: pictures and texts have nothing to do with each other yet."""
    model = CLIP(FRESH, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(jnp.exp(model.logit_scale[...]), 1 / 0.07, rtol=1e-5)
    rng = np.random.default_rng(0)
    batch = {
        "images": jnp.asarray(rng.random((128, 32, 32, 1), np.float32)),
        "tokens": jnp.asarray(rng.integers(0, 50, (128, 5))),
        "real": jnp.ones((128, 5), bool),
    }
    out = run(model, batch)
    blurred = clip_loss(out.image_embeddings, out.text_embeddings, jnp.zeros(()))
    np.testing.assert_allclose(blurred, math.log(128), atol=0.05)
    # Cosines scatter around zero with a variance of 1/E: at 1/0.07 the guess is over-confident.
    assert math.log(128) < clip_loss(*out) < math.log(128) + 1


def test_the_seed_decides_and_no_key_is_used_twice():
    def kernels(seed):
        model = CLIP(FRESH, rngs=nnx.Rngs(seed))
        leaves = jax.tree_util.tree_leaves_with_path(nnx.state(model))
        drawn = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
        return {name: leaf for name, leaf in drawn.items() if leaf.std() > 1e-3}

    ours, again, other = kernels(0), kernels(0), kernels(1)
    assert len(ours) == 18
    for name, kernel in ours.items():
        np.testing.assert_array_equal(kernel, again[name])
        assert not np.any(kernel == other[name]), name
    first = [kernel.ravel()[:20] / kernel.std() for kernel in ours.values()]
    first += [kernel[1].ravel()[:20] / kernel.std() for kernel in ours.values() if kernel.ndim == 3]
    assert np.abs(np.corrcoef(first) - np.eye(len(first))).max() < 0.95


def test_every_parameter_is_float32_also_under_x64(model, x64):
    shapes = nnx.eval_shape(lambda: CLIP(model.config, rngs=nnx.Rngs(params=0)))
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(nnx.state(shapes))}
    assert dtypes == {jnp.dtype("float32")}


@pytest.mark.parametrize("temperature", [0.0, 0.009, -1.0])
def test_a_temperature_whose_inverse_is_beyond_the_cap_is_refused(model, temperature):
    with pytest.raises(ValueError, match="CLIPConfig.*'initial_temperature'.*0.01"):
        dataclasses.replace(model.config, initial_temperature=temperature)
