"""Patches: against a convolution, a loop, and the inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.modalities import image_tokens, patchify, unpatchify

B, HEIGHT, WIDTH, C, P = 2, 15, 21, 5, 3  # 5 x 7 patches; no two axes agree by accident
T, FEATURES = 35, 45


def images(dtype=np.float32):
    values = np.random.default_rng(0).normal(size=(B, HEIGHT, WIDTH, C))
    return (100 * values).astype(dtype)


def test_equals_the_formula():
    x = images()
    patches = patchify(x, P)
    assert patches.shape == (B, T, FEATURES)
    for t in range(T):
        r, s = divmod(t, WIDTH // P)
        block = x[:, r * P : (r + 1) * P, s * P : (s + 1) * P]
        np.testing.assert_array_equal(patches[:, t], block.reshape(B, FEATURES))


def test_equals_a_strided_convolution_with_an_identity_kernel():
    x = jnp.asarray(images())
    kernel = jnp.eye(FEATURES).reshape(P, P, C, FEATURES)
    convolved = jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(P, P),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    np.testing.assert_allclose(patchify(x, P), convolved.reshape(B, T, FEATURES), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32])
def test_unpatchify_is_the_inverse(dtype):
    x = np.abs(images()).astype(dtype)
    again = unpatchify(patchify(x, P), P, HEIGHT, WIDTH)
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, x)


def test_runs_under_jit_and_keeps_the_kind_of_array():
    x = images()
    assert isinstance(patchify(x, P), np.ndarray)
    jitted = jax.jit(lambda x: unpatchify(patchify(x, P), P, HEIGHT, WIDTH))(x)
    assert isinstance(jitted, jax.Array)
    np.testing.assert_array_equal(jitted, x)


def test_one_patch_and_one_pixel():
    x = images()[:, :15, :15]
    np.testing.assert_array_equal(patchify(x, 15)[:, 0], x.reshape(B, -1))
    np.testing.assert_array_equal(patchify(x, 1), x.reshape(B, -1, C))


@pytest.mark.parametrize(
    ("shape", "patch_size", "error", "message"),
    [
        (
            (2, 15, 21),
            3,
            ValueError,
            r"argument 'images': expected shape \[B, .*float64\[2, 15, 21\]",
        ),
        ((0, 15, 21, 5), 3, ValueError, "argument 'images': expected .*nothing empty"),
        ((2, 15, 21, 5), 4, ValueError, "patch size 4, got 15 x 21"),
        ((2, 15, 21, 5), 5, ValueError, "patch size 5, got 15 x 21"),
        ((2, 15, 21, 5), 0, ValueError, "argument 'patch_size': expected at least 1, got 0"),
        ((2, 15, 21, 5), 3.0, TypeError, "argument 'patch_size': expected a whole number, got 3.0"),
    ],
)
def test_wrong_images_are_named(shape, patch_size, error, message):
    with pytest.raises(error, match=message):
        patchify(np.zeros(shape), patch_size)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 34, 45), r"argument 'patches': expected shape \[B, 35, a multiple of 9\]"),
        ((2, 35, 44), "argument 'patches'"),
        ((35, 45), "argument 'patches'"),
    ],
)
def test_wrong_patches_are_named(shape, message):
    with pytest.raises(ValueError, match=message):
        unpatchify(np.zeros(shape), P, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="argument 'height, width'"):
        unpatchify(np.zeros((2, 35, 45)), P, HEIGHT + 1, WIDTH)


# Tokens


def test_tokens_and_a_missing_image():
    x = images()
    tokens, mask = image_tokens(x, P, here=np.array([True, False]))
    assert (tokens.shape, mask.shape, mask.dtype) == ((B, T, FEATURES), (B, T), jnp.bool_)
    assert mask[0].all() and not mask[1].any()
    np.testing.assert_array_equal(tokens[0], patchify(x, P)[0])
    np.testing.assert_array_equal(tokens[1], 0)
    assert image_tokens(x, P)[1].all()


def test_tokens_for_every_platform():
    every, here = ("cpu", "cuda", "tpu"), jnp.array([True, False])
    make = jax.jit(lambda x, here: image_tokens(x, P, here=here))
    exported = jax.export.export(make, platforms=every)(jnp.asarray(images()), here)
    assert exported.platforms == every


def test_a_wrong_here_is_named():
    with pytest.raises(TypeError, match=r"image_tokens: argument 'here': .*got int32\[2\]"):
        image_tokens(images(), P, here=jnp.array([1, 0]))
    with pytest.raises(ValueError, match=r"argument 'here': expected shape \[2\], got bool\[1\]"):
        image_tokens(images(), P, here=np.array([True]))
