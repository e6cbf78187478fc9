"""Our contrastive losses against those of open_clip and transformers: their code, not a copy of it.

The classes and functions are called on random unit vectors, and every gradient is compared.
"""

import importlib.util
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.losses import blockwise_clip_loss, clip_loss, sigmoid_loss

torch = pytest.importorskip("torch")

N, E = 7, 5
RNG = np.random.default_rng(36)
IMAGES, TEXTS = (formulas.normalize(RNG.normal(size=(N, E))) for _ in range(2))
SCALE, BIAS = np.float64(math.log(7.0)), np.float64(-1.3)


@pytest.fixture(scope="module")
def open_clip():
    """open_clip/loss.py by itself: the package's first lines need torchvision, this file does not.

    There is no build of torchvision for every PyTorch.
    """
    package = importlib.util.find_spec("open_clip")
    if package is None:
        pytest.skip("could not import 'open_clip'")
    path = Path(package.submodule_search_locations[0], "loss.py")
    spec = importlib.util.spec_from_file_location("open_clip_loss", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_torch(loss, *arrays):
    """The value of a loss of torch tensors, and its gradients by all of them."""
    tensors = [torch.tensor(np.asarray(a), requires_grad=True) for a in arrays]
    value = loss(*tensors)
    value.backward()
    return value.item(), [tensor.grad.numpy() for tensor in tensors]


def assert_ours_is_the_same(ours, theirs, *arrays, tolerance=1e-12):
    value, gradients = in_torch(theirs, *arrays)
    by = tuple(range(len(arrays)))
    own_value, own = jax.jit(jax.value_and_grad(ours, by))(*(jnp.asarray(a) for a in arrays))
    assert float(own_value) == pytest.approx(value, rel=tolerance)
    for a, e in zip(own, gradients, strict=True):
        np.testing.assert_allclose(a, e, atol=tolerance)


@pytest.mark.parametrize("loss", [clip_loss, blockwise_clip_loss])
def test_clip_loss_of_open_clip(x64, open_clip, loss):
    theirs = open_clip.ClipLoss()
    assert_ours_is_the_same(loss, lambda u, v, s: theirs(u, v, s.exp()), IMAGES, TEXTS, SCALE)


def test_clip_loss_of_transformers(x64):
    clip = pytest.importorskip("transformers.models.clip.modeling_clip")

    def theirs(u, v, s):
        return clip.image_text_contrastive_loss(s.exp() * v @ u.T)

    assert_ours_is_the_same(clip_loss, theirs, IMAGES, TEXTS, SCALE)


def test_smoothed_loss_of_align_in_transformers(x64):
    """Their smoothing is 0.1, written into the code, and so is ALIGN's in its paper."""
    align = pytest.importorskip("transformers.models.align.modeling_align")

    def theirs(u, v, s):
        return align.align_loss(s.exp() * v @ u.T)

    def ours(*arguments):
        return clip_loss(*arguments, label_smoothing=0.1)

    assert_ours_is_the_same(ours, theirs, IMAGES, TEXTS, SCALE)


def test_sigmoid_loss_of_open_clip(x64, open_clip):
    theirs = open_clip.SigLipLoss()
    arrays = IMAGES, TEXTS, SCALE, BIAS
    assert_ours_is_the_same(sigmoid_loss, lambda u, v, s, b: theirs(u, v, s.exp(), b), *arrays)


def test_sigmoid_loss_of_transformers():
    """It is written inside the model's forward pass, so a small model with random weights runs."""
    siglip = pytest.importorskip("transformers.models.siglip")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2}
    text = sizes | {"vocab_size": 11, "max_position_embeddings": 5, "projection_size": 8}
    config = siglip.SiglipConfig(
        text_config=text, vision_config=sizes | {"image_size": 8, "patch_size": 4}
    )
    torch.manual_seed(0)
    model = siglip.SiglipModel(config).eval()
    with torch.no_grad():
        model.logit_scale.fill_(float(SCALE))
        model.logit_bias.fill_(float(BIAS))
        out = model(
            input_ids=torch.randint(0, 11, (N, 5)),
            pixel_values=torch.randn(N, 3, 8, 8),
            return_loss=True,
        )
    embeddings = (jnp.asarray(x.numpy()) for x in (out.image_embeds, out.text_embeds))
    ours = sigmoid_loss(*embeddings, jnp.float32(SCALE), jnp.float32(BIAS))
    assert float(ours) == pytest.approx(out.loss.item(), rel=1e-5)
