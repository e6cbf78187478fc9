"""Preparation of pictures: worked examples, and the arrays of transformers."""

import numpy as np
import pytest
from PIL import Image

from mmjax.pretrained.images import clip_preparation, siglip_preparation

RNG = np.random.default_rng(0)
SIZES = [(40, 40), (61, 37), (23, 90), (16, 17), (7, 5)]


def picture(size, mode="RGB"):
    width, height = size
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


def test_one_colour_is_scaled_and_shifted():
    grey = Image.new("RGB", (50, 30), (51, 102, 255))
    out = siglip_preparation(8)([grey])
    assert out.shape == (1, 8, 8, 3) and out.dtype == np.float32
    np.testing.assert_allclose(out[0, 3, 4], [-0.6, -0.2, 1.0], atol=1e-6)
    out = clip_preparation(8)([grey])
    np.testing.assert_allclose(out[0, 0, 0, 2], (1 - 0.40821073) / 0.27577711, rtol=1e-6)


def test_clip_cuts_the_middle_out_and_siglip_keeps_it_all():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 255
    image = Image.fromarray(wide)
    assert clip_preparation(8)([image])[0, :, :, 0].min() > 1.9
    columns = siglip_preparation(24)([image])[0].mean((0, 2))
    assert columns[0] == -1 and columns[12] == 1 and columns[-1] == -1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_transformers_agrees(kind, size):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    make = getattr(transformers, f"{kind}ImageProcessorPil")
    short = {"shortest_edge": 16} if kind == "CLIP" else {"height": 16, "width": 16}
    crop = {"crop_size": {"height": 16, "width": 16}} if kind == "CLIP" else {"resample": 3}
    theirs, ours = make(size=short, **crop), clip_preparation(16)
    if kind == "Siglip":
        ours = siglip_preparation(16)
    images = [picture(size), picture(size, "L"), picture(size, "RGBA")]
    expected = theirs([image.convert("RGB") for image in images], return_tensors="np")
    got = ours(images).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got, expected["pixel_values"], atol=1e-5)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="argument 'images'"):
        clip_preparation()([])
    with pytest.raises(TypeError, match="argument 'images'"):
        clip_preparation()([np.zeros((4, 4, 3))])
    with pytest.raises(ValueError, match="argument 'side'"):
        siglip_preparation(0)
