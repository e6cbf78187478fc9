"""The convolutional tower and ALIGN: pure functions of their inputs, of the stated size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.formulas.convolution import mbconv_operations, mbconv_parameters
from mmjax.measure import matrix_flops
from mmjax.models.align import ALIGN, ALIGNConfig
from mmjax.models.efficientnet import (
    ConvolutionalEncoder,
    ConvolutionalEncoderConfig,
    MBConv,
    Stage,
)
from mmjax.models.encoders import TextEncoderConfig
from mmjax.training import adamw, contrastive_loss, init_state, make_train_step

STAGES = (Stage(8, 2), Stage(12, 1, stride=2, expansion=3, kernel=5))
CONFIG = ConvolutionalEncoderConfig(image_size=12, stem=8, stages=STAGES)
TEXT = TextEncoderConfig(11, 5, TransformerConfig(1, 8, 2))
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def encoder():
    return ConvolutionalEncoder(CONFIG, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def model():
    return ALIGN(ALIGNConfig(CONFIG, TEXT, embedding=6), rngs=nnx.Rngs(0))


def count(module):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def test_shapes_and_that_a_picture_does_not_depend_on_the_rest_of_the_batch(encoder):
    images = jnp.asarray(RNG.random((3, 12, 12, 1)), jnp.float32)
    features = nnx.jit(lambda encoder, images: encoder.features(images))
    maps = features(encoder, images)
    assert maps.shape == (3, 3, 3, 12)
    assert [block.residual for block in encoder.blocks] == [True, True, False]
    changed = features(encoder, images.at[0].set(1.0).at[2].set(0.5))
    np.testing.assert_allclose(changed[1], maps[1], atol=1e-6)
    assert jnp.abs(changed[0] - maps[0]).max() > 0.1


def test_a_depthwise_block_reads_only_its_window():
    """With squeeze-and-excitation held still, nothing else of the picture has an influence."""
    block = MBConv(3, 3, 1, 2, 3, rngs=nnx.Rngs(0))
    block.excite.kernel[...] = jnp.zeros_like(block.excite.kernel[...])
    x = jnp.asarray(RNG.normal(size=(1, 9, 9, 3)), jnp.float32)
    run = nnx.jit(lambda block, x: block(x))
    moved = np.abs(run(block, x.at[0, 4, 4, 0].add(1.0)) - run(block, x)).sum(-1)[0] > 1e-6
    assert moved[3:6, 3:6].all() and moved.sum() == 9


@pytest.mark.parametrize("outputs, stride, kernel", [(4, 1, 3), (7, 2, 5)])
def test_parameters_and_operations_of_a_block_are_the_formula(outputs, stride, kernel):
    block = MBConv(4, outputs, stride, 3, kernel, rngs=nnx.Rngs(0))
    assert count(block) == mbconv_parameters(kernel, 4, outputs, 12, 1)
    x = jax.ShapeDtypeStruct((2, 9, 11, 4), jnp.float32)
    by_formula = mbconv_operations(9, 11, stride, kernel, 4, outputs, 12, 1)
    high, wide = -(-9 // stride), -(-11 // stride)
    depthwise = 2 * high * wide * kernel**2 * 12  # sums of shifted pictures, no matrix product
    assert matrix_flops(block, x) == 2 * (by_formula - depthwise)


def test_a_training_step_moves_every_parameter(model):
    batch = {
        "image": RNG.integers(0, 255, (4, 12, 12)).astype(np.uint8),
        "tokens": RNG.integers(0, 11, (4, 5)).astype(np.int32),
        "real": np.ones((4, 5), bool),
        "label": np.arange(4, dtype=np.int32),
    }
    optimizer = adamw(1e-2, 10, warmup=0)
    step, state = (
        make_train_step(model, contrastive_loss(), optimizer),
        init_state(model, optimizer),
    )
    before = jax.tree.map(np.asarray, state.parameters)
    state, metrics = step(state, batch, jax.random.key(0))
    moved = jax.tree.map(lambda a, b: bool((a != np.asarray(b)).any()), before, state.parameters)
    assert all(jax.tree.leaves(moved)) and np.isfinite(metrics["loss"])


def test_outputs_are_unit_vectors_and_the_text_tower_reads_both_ways(model):
    @nnx.jit
    def run(model, images, tokens, real):
        out = model(images, tokens, real)
        pooled = model.image_projection(model.image_encoder.features(images).mean((1, 2)))
        return out, pooled, model.text_encoder.tokens(tokens, real)

    images = jnp.asarray(RNG.random((3, 12, 12, 1)), jnp.float32)
    tokens, real = jnp.asarray(RNG.integers(0, 11, (3, 5)), jnp.int32), jnp.ones((3, 5), bool)
    out, pooled, before = run(model, images, tokens, real)
    u = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(out.image_embeddings, u, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(out.text_embeddings, axis=1), 1, atol=1e-5)
    after = run(model, images, tokens.at[:, -1].set((tokens[:, -1] + 1) % 11), real)[2]
    moved = np.abs(after - before).max(-1)
    assert (moved[:, 0] > 1e-6).all()  # the first token has seen the last one


WRONG = {
    "kernel": lambda: Stage(8, kernel=4),
    "stages": lambda: ConvolutionalEncoderConfig(stages=()),
    "stem": lambda: ConvolutionalEncoderConfig(stem=0),
    "embedding": lambda: ALIGNConfig(CONFIG, TEXT, embedding=0),
    "initial_temperature": lambda: ALIGNConfig(CONFIG, TEXT, initial_temperature=0.001),
}


@pytest.mark.parametrize("argument", WRONG)
def test_wrong_sizes_are_named(argument):
    with pytest.raises(ValueError, match=f"argument '{argument}'"):
        WRONG[argument]()


def test_wrong_images_are_named(encoder):
    with pytest.raises(ValueError, match="argument 'images'"):
        encoder(jnp.zeros((2, 12, 11, 1)))
    with pytest.raises(TypeError, match="argument 'images'"):
        encoder(jnp.zeros((2, 12, 12, 1), jnp.int32))
