"""Masks: worked examples, and who may see whom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.attention.masks import (
    causal_mask,
    check_mask,
    combine_masks,
    lift_mask,
    padding_mask,
    prefix_mask,
)


def as_ints(mask):
    assert mask.dtype == jnp.bool_
    return np.asarray(mask, int).tolist()


def test_causal_worked_examples():
    assert as_ints(causal_mask(3)) == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert as_ints(causal_mask(2, offset=1)) == [[1, 1, 0], [1, 1, 1]]
    assert as_ints(causal_mask(2, 5)) == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert as_ints(causal_mask(2, 5, offset=0)) == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert as_ints(causal_mask(2, 5, offset=2)) == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]


@pytest.mark.parametrize("cached", [0, 1, 6])
def test_a_single_new_query_sees_every_cached_key(cached):
    assert as_ints(causal_mask(1, offset=cached)) == [[1] * (cached + 1)]
    assert as_ints(causal_mask(1, cached + 1)) == [[1] * (cached + 1)]


def test_causal_mask_is_cut_out_of_a_longer_one():
    whole = np.asarray(causal_mask(11))
    for start, stop in [(0, 3), (3, 4), (5, 11)]:
        piece = causal_mask(stop - start, offset=start)
        np.testing.assert_array_equal(piece, whole[start:stop, :stop])


def test_padding_worked_example():
    real = jnp.array([[True, True, False], [True, False, False]])
    mask = padding_mask(real)
    assert mask.shape == (2, 1, 1, 3)
    assert as_ints(mask[:, 0, 0]) == [[1, 1, 0], [1, 0, 0]]


def test_prefix_worked_examples():
    assert as_ints(prefix_mask(2, 4)) == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    np.testing.assert_array_equal(prefix_mask(0, 5), causal_mask(5))
    assert np.all(prefix_mask(5, 5))


def test_combine_is_the_logical_and():
    rng = np.random.default_rng(0)
    causal, real = causal_mask(5), jnp.asarray(rng.random((3, 5)) < 0.5)
    heads = jnp.asarray(rng.random((3, 2, 5, 5)) < 0.5)
    combined = combine_masks(causal, None, padding_mask(real), heads)
    assert combined.shape == (3, 2, 5, 5) and combined.dtype == jnp.bool_
    for b, h, t, s in np.ndindex(3, 2, 5, 5):
        assert bool(combined[b, h, t, s]) == (
            s <= t and bool(real[b, s]) and bool(heads[b, h, t, s])
        )


def test_combine_without_restrictions_is_none():
    assert combine_masks() is None
    assert combine_masks(None, None) is None
    one = causal_mask(3)
    np.testing.assert_array_equal(combine_masks(None, one), one)


def test_lift_and_check_give_the_rank_of_the_scores():
    mask = causal_mask(3, 5)
    assert lift_mask(mask, 4, "here").shape == (1, 1, 3, 5)
    assert check_mask(mask, (7, 2, 3, 5), "here").shape == (1, 1, 3, 5)
    assert check_mask(jnp.ones((7, 1, 1, 5), bool), (7, 2, 3, 5), "here").shape == (7, 1, 1, 5)
    assert check_mask(None, (3, 5), "here") is None


def test_masks_are_built_inside_jit():
    def build(real, offset):
        return combine_masks(padding_mask(real), jnp.arange(4)[None, :] <= offset)

    real = jnp.ones((2, 4), bool)
    np.testing.assert_array_equal(jax.jit(build)(real, 1), build(real, 1))


FLOATS = jnp.ones((3, 5))
BOOLS = jnp.ones((3, 5), bool)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: causal_mask(0), ValueError, "'query_length': expected at least 1, got 0"),
        (lambda: causal_mask(3, 2), ValueError, "'key_length': expected at least query_length = 3"),
        (lambda: causal_mask(1, 0), ValueError, "'key_length': expected at least 1, got 0"),
        (lambda: causal_mask(1, offset=-1), ValueError, "'offset': expected at least 0, got -1"),
        (lambda: padding_mask(FLOATS), TypeError, "'real': expected a boolean array"),
        (lambda: padding_mask([[True]]), TypeError, "'real': expected a boolean array"),
        (lambda: padding_mask(BOOLS[0]), ValueError, r"'real': expected rank 2 \[B, S\]"),
        (lambda: prefix_mask(6, 5), ValueError, "'prefix_length': expected between 0 and .* got 6"),
        (lambda: prefix_mask(-1, 5), ValueError, "'prefix_length': .* got -1"),
        (lambda: combine_masks(FLOATS), TypeError, r"'masks': .* got float32\[3, 5\]"),
        (lambda: combine_masks(BOOLS, BOOLS.T), ValueError, r"'masks': .* got bool\[5, 3\]"),
        (lambda: combine_masks(BOOLS[0], BOOLS), ValueError, r"expected rank 2.*got bool\[5\]"),
        (
            lambda: check_mask(BOOLS, (7, 5), "here"),
            ValueError,
            r"here: argument 'mask': .*\[7, 5\], got bool\[3, 5\]",
        ),
        (
            lambda: check_mask(BOOLS[None], (7, 2, 3, 5), "here"),
            ValueError,
            r"'mask': expected rank 2 or 4, got bool\[1, 3, 5\]",
        ),
        (lambda: check_mask(FLOATS, (3, 5), "here"), TypeError, r"got float32\[3, 5\]"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
