"""One tiny CLIP for all tests of models: every size another number, so no transposition hides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.models.clip import CLIP, CLIPConfig
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig

CONFIG = CLIPConfig(
    image=ImageEncoderConfig(
        image_size=6,
        channels=2,
        patch_size=3,
        transformer=TransformerConfig(layers=2, width=8, heads=2, hidden=11),
    ),
    text=TextEncoderConfig(
        vocabulary=13,
        length=5,
        transformer=TransformerConfig(layers=3, width=10, heads=2, hidden=7),
    ),
    embedding=9,
)


@pytest.fixture(scope="session")
def model():
    """Its parameters are drawn at random, biases and scales too, so that none hides a mistake."""
    rng = np.random.default_rng(0)
    graph, shapes = nnx.split(nnx.eval_shape(lambda: CLIP(CONFIG, rngs=nnx.Rngs(0))))

    def draw(p):
        return jnp.asarray(0.4 * rng.normal(size=p.shape), jnp.float32)

    return nnx.merge(graph, jax.tree.map(draw, shapes))


@pytest.fixture(scope="session")
def batch():
    """16 pairs with 1 to 5 real tokens each; token 0 stands where there is no token."""
    rng = np.random.default_rng(0)
    real = np.arange(5)[None, :] < rng.integers(1, 6, 16)[:, None]
    return {
        "images": jnp.asarray(rng.random((16, 6, 6, 2), np.float32)),
        "tokens": jnp.asarray(np.where(real, rng.integers(1, 13, (16, 5)), 0), jnp.int32),
        "real": jnp.asarray(real),
    }


@pytest.fixture
def wide(x64, model, batch):
    """The same model and batch in float64."""

    def widen(x):
        return x.astype(np.float64) if x.dtype == np.float32 else x

    graph, state = nnx.split(model)
    return nnx.merge(graph, jax.tree.map(widen, state)), jax.tree.map(widen, batch)
