"""The convolutional video encoder by hand, what it cannot see, and the space of many encoders."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.losses import all_pairs_loss, clip_loss
from mmjax.models.shared_space import SharedSpace
from mmjax.models.video_encoder import VideoEncoder, VideoEncoderConfig

CONFIG = VideoEncoderConfig(
    frames=5, image_size=8, channels=2, stem=3, body=7, time=11, hidden=13, embedding=17
)
VIDEOS = np.random.default_rng(0).normal(size=(2, 5, 8, 8, 2)).astype(np.float32)
apply = nnx.jit(lambda model, x: model(x))


@pytest.fixture(scope="module")
def model():
    return VideoEncoder(CONFIG, rngs=nnx.Rngs(0))


def weights(layer):
    bias = 0.0 if layer.bias is None else np.asarray(layer.bias[...], np.float64)
    return np.asarray(layer.kernel[...], np.float64), bias


def by_hand(model, video):
    """One video [T, side, side, C], pixel by pixel."""
    x = np.asarray(video, np.float64)
    for layer in (model.stem, model.body):
        kernel, bias = weights(layer)
        T, side, _, C = x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        out = np.zeros((T, side // 2, side // 2, kernel.shape[1]))
        for t, i, j in np.ndindex(*out.shape[:3]):
            window = padded[t, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            out[t, i, j] = window.reshape(-1) @ kernel + bias
        x = formulas.gelu_tanh(out)
    kernel, bias = weights(model.time)
    rows = []
    for i in range(x.shape[1]):
        places = [x[:, i, j].reshape(-1) @ kernel + bias for j in range(x.shape[2])]
        places = formulas.gelu_tanh(np.array(places))
        rows += [places.mean(axis=0), places.max(axis=0)]
    rows = np.concatenate(rows)
    norm = (np.asarray(p[...], np.float64) for p in (model.norm.scale, model.norm.bias))
    rows = formulas.layer_norm(rows, *norm)
    kernel, bias = weights(model.hidden)
    return formulas.gelu_tanh(rows @ kernel + bias) @ weights(model.projection)[0]


def test_the_encoder_by_hand(model):
    expected = [by_hand(model, video) for video in VIDEOS]
    np.testing.assert_allclose(apply(model, VIDEOS), expected, atol=2e-5)


def test_time_matters_and_a_video_depends_on_itself_alone(model):
    out = apply(model, VIDEOS)
    assert np.abs(apply(model, VIDEOS[:, ::-1]) - out).max() > 1e-3
    changed = VIDEOS.copy()
    changed[1] += 1
    np.testing.assert_allclose(apply(model, changed)[0], out[0], atol=1e-6)


def test_what_moves_by_a_whole_place_inside_the_frame_looks_the_same():
    """The width is pooled away: 4 columns further is the same, 4 rows lower is not."""
    config = VideoEncoderConfig(frames=3, image_size=32, stem=3, body=5, time=7, hidden=11)
    model = VideoEncoder(config, rngs=nnx.Rngs(1))
    videos = np.zeros((3, 3, 32, 32, 3), np.float32)
    thing = np.random.default_rng(1).normal(size=(3, 6, 6, 3))
    for n, (row, column) in enumerate([(9, 9), (9, 13), (13, 9)]):
        videos[n, :, row : row + 6, column : column + 6] = thing
    here, right, lower = apply(model, videos)
    np.testing.assert_allclose(here, right, atol=1e-5)
    assert np.abs(here - lower).max() > 1e-3


def test_errors_name_the_argument(model):
    with pytest.raises(ValueError, match=r"'videos': expected \[B, 5, 8, 8, 2\].*\[2, 4, 8, 8, 2"):
        model(VIDEOS[:, :4])
    with pytest.raises(TypeError, match="'videos': expected a floating-point.*int"):
        model(VIDEOS.astype(np.int32))
    with pytest.raises(ValueError, match="'image_size': expected a multiple of 4, got 10"):
        VideoEncoderConfig(frames=1, image_size=10)
    with pytest.raises(ValueError, match="'stem': expected at least 1, got 0"):
        VideoEncoderConfig(frames=1, stem=0)


def units(seed, names):
    rng = np.random.default_rng(seed)
    return {n: formulas.normalize(rng.normal(size=(5, 7))) for n in names}


def test_the_loss_of_pairs_is_the_formula(x64):
    vectors = units(0, "abc")
    arrays = {k: jnp.asarray(v) for k, v in vectors.items()}
    every = [("a", "b"), ("a", "c"), ("b", "c")]
    for pairs, given in ((every, None), ([("a", "b"), ("a", "c")], [("a", "b"), ("a", "c")])):
        expected = formulas.all_pairs_loss(vectors, 7.0, pairs)
        found = all_pairs_loss(arrays, jnp.log(7.0), pairs=given)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    two = {k: arrays[k] for k in "ab"}
    expected = clip_loss(two["a"], two["b"], jnp.log(7.0))
    np.testing.assert_allclose(all_pairs_loss(two, jnp.log(7.0)), expected, rtol=1e-14)


def test_the_loss_of_pairs_names_a_wrong_argument():
    arrays = {k: jnp.asarray(v, jnp.float32) for k, v in units(0, "ab").items()}
    with pytest.raises(ValueError, match="'embeddings': expected two modalities or more"):
        all_pairs_loss({"a": arrays["a"]}, jnp.float32(0))
    with pytest.raises(ValueError, match="'pairs': expected at least one pair"):
        all_pairs_loss(arrays, jnp.float32(0), pairs=[])
    with pytest.raises(ValueError, match="'pairs': expected one of 'a', 'b', got 'c'"):
        all_pairs_loss(arrays, jnp.float32(0), pairs=[("a", "c")])


def test_the_space_gives_unit_vectors_of_what_is_there(model):
    space = SharedSpace({"video": model, "other": model}, inverse_temperature=10.0)
    out = space({"video": (jnp.asarray(VIDEOS),)})
    assert set(out) == {"video"}
    expected = formulas.normalize(np.asarray(model(jnp.asarray(VIDEOS)), np.float64))
    np.testing.assert_allclose(out["video"], expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(space.logit_scale[...]), 10, rtol=1e-6)


def test_the_space_names_a_wrong_argument(model):
    with pytest.raises(ValueError, match="'encoders': expected at least one"):
        SharedSpace({})
    with pytest.raises(ValueError, match="'inverse_temperature': expected above 0, got 0"):
        SharedSpace({"video": model}, inverse_temperature=0)
    with pytest.raises(ValueError, match="'inputs': expected one of 'video', got 'smell'"):
        SharedSpace({"video": model})({"smell": (jnp.asarray(VIDEOS),)})
