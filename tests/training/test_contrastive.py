"""What CLIP minimises: the loss of the oracle, a mask from the labels, and the scale beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.models.clip import CLIP, CLIPConfig
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig
from mmjax.training import contrastive_loss, to_unit_range


@pytest.fixture(scope="module")
def model():
    small = TransformerConfig(layers=1, width=8, heads=2)
    image, text = ImageEncoderConfig(4, 1, 2, small), TextEncoderConfig(7, 3, small)
    return CLIP(CLIPConfig(image, text, embedding=5), rngs=nnx.Rngs(0))


def test_the_loss_leaves_out_equal_labels_and_records_the_scale(model):
    rng = np.random.default_rng(0)
    labels = np.array([4, 1, 4, 2, 0])
    batch = {
        "image": rng.integers(0, 256, (5, 4, 4), dtype=np.uint8),
        "tokens": rng.integers(0, 7, (5, 3)),
        "real": np.ones((5, 3), bool),
        "label": labels,
    }
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    value, recorded = contrastive_loss()(model, batch, jax.random.key(0))
    out = model(to_unit_range(batch["image"]), batch["tokens"], batch["real"])
    different = labels[:, None] != labels[None, :]
    scale = float(model.logit_scale[...])
    right = formulas.clip_loss(out.image_embeddings, out.text_embeddings, scale, different)
    np.testing.assert_allclose(value, right, rtol=1e-5)
    assert recorded.keys() == {"logit_scale"} and recorded["logit_scale"] == scale
