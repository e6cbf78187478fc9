"""Tubelets: against a convolution over space and time, a loop, patches, and the inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from mmjax import formulas
from mmjax.modalities import patchify, tubelets, untubelets, video_tokens

B, F, HEIGHT, WIDTH, C, N, P = 2, 10, 6, 21, 7, 5, 3  # 2 x 2 x 7 tubelets
T, FEATURES = 28, 315
SIZES = {"length": F, "height": HEIGHT, "width": WIDTH}


def videos(dtype=np.float32):
    values = np.random.default_rng(0).normal(size=(B, F, HEIGHT, WIDTH, C))
    return (100 * values).astype(dtype)


def test_equals_the_formula():
    x = videos(np.float64)
    tokens = tubelets(x, N, P)
    assert tokens.shape == (B, T, FEATURES)
    for b in range(B):
        np.testing.assert_array_equal(tokens[b], formulas.tubelets(x[b], N, P))


def test_one_tubelet_by_its_indices():
    x, (q, r, s) = videos(), (1, 0, 4)
    block = x[:, q * N : (q + 1) * N, r * P : (r + 1) * P, s * P : (s + 1) * P]
    t = (q * (HEIGHT // P) + r) * (WIDTH // P) + s
    np.testing.assert_array_equal(tubelets(x, N, P)[:, t], block.reshape(B, FEATURES))


def test_a_linear_map_equals_a_strided_convolution():
    x = jnp.asarray(videos() / 100)
    kernel = jax.random.normal(jax.random.key(1), (N, P, P, C, 11))
    convolved = jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(N, P, P),
        padding="VALID",
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        precision="highest",
    )
    product = jnp.matmul(tubelets(x, N, P), kernel.reshape(FEATURES, 11), precision="highest")
    np.testing.assert_allclose(product, convolved.reshape(B, T, 11), atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32])
def test_untubelets_is_the_inverse(dtype):
    x = np.abs(videos()).astype(dtype)
    again = untubelets(tubelets(x, N, P), N, P, **SIZES)
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, x)


def test_tubelets_of_one_frame_are_patches_of_every_frame():
    x = videos()
    patches = patchify(x.reshape(B * F, HEIGHT, WIDTH, C), P).reshape(B, -1, P * P * C)
    np.testing.assert_array_equal(tubelets(x, 1, P), patches)


def test_runs_under_jit_and_keeps_the_kind_of_array():
    x = videos()
    assert isinstance(tubelets(x, N, P), np.ndarray)
    jitted = jax.jit(lambda x: untubelets(tubelets(x, N, P), N, P, **SIZES))(x)
    assert isinstance(jitted, jax.Array)
    np.testing.assert_array_equal(jitted, x)


def test_a_tubelet_is_real_if_all_of_its_frames_are():
    x = videos()
    tokens, mask = video_tokens(x, N, P, lengths=np.array([9, 10]))
    assert (tokens.shape, mask.shape, mask.dtype) == ((B, T, FEATURES), (B, T), jnp.bool_)
    assert mask[0].tolist() == [True] * 14 + [False] * 14 and mask[1].all()
    np.testing.assert_array_equal(tokens[0, 14:], 0)
    np.testing.assert_array_equal(tokens[0, :14], tubelets(x, N, P)[0, :14])
    assert video_tokens(x, N, P)[1].all()
    assert not video_tokens(x, N, P, lengths=[0, 4])[1].any()


def test_tokens_for_every_platform():
    def make(x, lengths):
        gradient = jax.grad(lambda x: (video_tokens(x, N, P)[0] ** 2).sum())(x)
        return gradient, *video_tokens(x, N, P, lengths=lengths)

    every, arguments = ("cpu", "cuda", "tpu"), (jnp.asarray(videos()), jnp.array([5, 10]))
    exported = export.export(jax.jit(make), platforms=every)(*arguments)
    assert exported.platforms == every
    gradient, _, mask = exported.call(*arguments)
    np.testing.assert_allclose(gradient, 2 * arguments[0], rtol=1e-6)
    assert mask.sum(1).tolist() == [14, 28]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"shape": (F, 6, 21, 7)}, ValueError, r"'videos': expected shape \[B, F, height, width"),
        ({"shape": (0, F, 6, 21, 7)}, ValueError, "'videos': expected .*nothing empty"),
        ({"frames": 3}, ValueError, "'videos': .*a multiple of 3, .*got 10 x 6 x 21"),
        ({"patch_size": 2}, ValueError, "'videos': .*sides of 2, got 10 x 6 x 21"),
        ({"frames": 0}, ValueError, "'frames': expected at least 1, got 0"),
        ({"patch_size": True}, TypeError, "'patch_size': expected a whole number, got True"),
    ],
)
def test_wrong_videos_are_named(change, error, message):
    arguments = {"shape": (B, F, HEIGHT, WIDTH, C), "frames": N, "patch_size": P} | change
    with pytest.raises(error, match=f"tubelets: argument {message}"):
        tubelets(np.zeros(arguments.pop("shape")), **arguments)


def test_wrong_tokens_and_lengths_are_named():
    for shape in ((B, 27, FEATURES), (B, T, 44), (T, FEATURES)):
        with pytest.raises(ValueError, match=r"'tokens': expected shape \[B, 28, a multiple of 45"):
            untubelets(np.zeros(shape), N, P, **SIZES)
    with pytest.raises(ValueError, match="'length, height, width': .*got 10 x 7 x 21"):
        untubelets(np.zeros((B, T, FEATURES)), N, P, length=F, height=7, width=WIDTH)
    with pytest.raises(ValueError, match=r"'lengths': expected numbers from 0 to 10, got \[1, 11"):
        video_tokens(videos(), N, P, lengths=[1, 11])
