"""Blockwise attention: the numbers of the whole formula, in memory that grows with the length."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.attention.blockwise import blockwise_attention
from mmjax.attention.dot_product import scaled_dot_product_attention
from mmjax.attention.masks import causal_mask

RNG = np.random.default_rng(0)
LEADING = (2, 3)
T, S, D, D_V = 11, 13, 5, 7
BLOCKS = (1, 5, None)  # 13 keys: one at a time; 5, 5 and the remaining 3; all at once


def inputs(leading=LEADING, dtype=np.float64, scale=1.0):
    shapes = ((T, D), (S, D), (S, D_V), (T, D_V))
    return [jnp.asarray(scale * RNG.standard_normal((*leading, *s)), dtype) for s in shapes]


def random_mask(*shape):
    mask = RNG.random(shape) < 0.6
    mask[..., 2, :] = False  # a query that may attend to nothing
    return mask


MASKS = {
    "none": None,
    "causal": np.asarray(causal_mask(T, S)),
    "random [T, S]": random_mask(T, S),
    "per batch": random_mask(2, 1, T, S),
    "per head": random_mask(1, 3, T, S),
    "full": random_mask(2, 3, T, S),
    "padding": np.arange(S)[None, None, None, :] < np.asarray([4, S])[:, None, None, None],
    "queries": (np.arange(T) % 3 > 0)[None, None, :, None],
    "empty": np.zeros((T, S), bool),
}


def value_and_gradients(function, query, key, value, out_gradient):
    out, pull_back = jax.vjp(function, query, key, value)
    return out, *pull_back(out_gradient)


compiled = jax.jit(value_and_gradients, static_argnums=0)


def oracle(query, key, value, out_gradient, mask):
    """Output and gradients from `formulas`, one pair of matrices at a time."""
    leading = query.shape[:-2]
    mask = np.ones((T, S), bool) if mask is None else mask
    mask = np.broadcast_to(mask, (*leading, T, S))
    results = [np.zeros(x.shape) for x in (out_gradient, query, key, value)]
    for i in np.ndindex(*leading):
        q, k, v, d_out = (np.asarray(x[i]) for x in (query, key, value, out_gradient))
        results[0][i] = formulas.scaled_dot_product_attention(q, k, v, mask[i])
        gradients = formulas.attention_gradients(q, k, v, d_out, mask[i])
        for result, gradient in zip(results[1:], gradients, strict=True):
            result[i] = gradient
    return results


def assert_all_close(actual, expected, tolerance):
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("block_size", BLOCKS)
@pytest.mark.parametrize("name", MASKS)
def test_output_and_gradients_are_those_of_the_formula(x64, name, block_size):
    arrays, mask = inputs(), MASKS[name]
    jax_mask = None if mask is None else jnp.asarray(mask)

    def attend(q, k, v):
        return blockwise_attention(q, k, v, mask=jax_mask, block_size=block_size)

    actual = compiled(attend, *arrays)
    assert all(x.dtype == jnp.float64 for x in actual)
    assert_all_close(actual, oracle(*arrays, mask), 1e-12)


@pytest.mark.parametrize("leading", [(), (1,), (2, 3, 5)])
def test_any_number_of_leading_axes(x64, leading):
    arrays = inputs(leading)
    actual = compiled(lambda *a: blockwise_attention(*a, block_size=3), *arrays)
    assert_all_close(actual, oracle(*arrays, None), 1e-12)


def test_causal_is_the_causal_mask_and_combines_with_a_mask(x64):
    arrays, mask = inputs(), MASKS["full"]

    def attend(q, k, v):
        return blockwise_attention(q, k, v, mask=jnp.asarray(mask), causal=True, block_size=4)

    assert_all_close(compiled(attend, *arrays), oracle(*arrays, mask & MASKS["causal"]), 1e-12)


def test_one_row_at_a_time_is_the_recurrence_of_the_formulas(x64):
    query, key, value, _ = inputs(())
    mask = MASKS["random [T, S]"]
    expected = formulas.online_softmax_attention(query, key, value, mask)
    actual = blockwise_attention(query, key, value, mask=jnp.asarray(mask), block_size=1)
    np.testing.assert_allclose(actual, expected, atol=1e-14)


@pytest.mark.parametrize("dtype, tolerance", [(jnp.float32, 3e-6), (jnp.bfloat16, 0.06)])
def test_narrow_dtypes_stay_and_are_close(dtype, tolerance):
    arrays = inputs(dtype=dtype)
    mask = MASKS["full"]

    def attend(q, k, v):
        return blockwise_attention(q, k, v, mask=jnp.asarray(mask), block_size=4)

    actual = compiled(attend, *arrays)
    assert all(x.dtype == dtype for x in actual)
    wide = [np.asarray(x, np.float64) for x in arrays]
    assert_all_close([np.asarray(x, np.float64) for x in actual], oracle(*wide, mask), tolerance)


def test_statistics_are_kept_in_float32_when_inputs_are_bfloat16():
    """1,000 equal keys: a sum in bfloat16 would stop at 256."""
    query, key = jnp.zeros((1, 2), jnp.bfloat16), jnp.zeros((1000, 2), jnp.bfloat16)
    out = blockwise_attention(query, key, jnp.ones((1000, 3), jnp.bfloat16), block_size=1)
    np.testing.assert_array_equal(np.asarray(out, np.float32), np.ones((1, 3)))


def test_large_scores_neither_overflow_nor_vanish():
    """Scores of ± 10⁵ that rise from block to block, and a last block that counts for nothing."""
    query = jnp.asarray([[1.0], [-1.0]], jnp.float32)
    key = jnp.asarray([[0.0], [1e3], [1e5], [-1e5]], jnp.float32)
    value = jnp.asarray([[1.0], [2.0], [3.0], [4.0]], jnp.float32)
    actual = compiled(
        lambda *a: blockwise_attention(*a, block_size=1), query, key, value, jnp.ones((2, 1))
    )
    np.testing.assert_allclose(actual[0], [[3.0], [4.0]])
    assert all(np.isfinite(x).all() for x in actual)


def test_an_empty_row_gives_exact_zeros_and_touches_nothing():
    arrays = inputs(dtype=np.float32)
    mask = jnp.asarray(MASKS["random [T, S]"])

    def attend(q, k, v):
        return blockwise_attention(q, k, v, mask=mask, block_size=4)

    out, d_query, *_ = compiled(attend, *arrays)
    assert not out[..., 2, :].any() and not d_query[..., 2, :].any()
    other = [arrays[0].at[..., 2, :].set(9.0), *arrays[1:]]
    _, _, d_key, d_value = compiled(attend, *arrays)
    assert_all_close(compiled(attend, *other)[2:], (d_key, d_value), 0)


def test_gradient_agrees_with_finite_differences(x64):
    *arrays, out_gradient = inputs(())
    directions = inputs(())[:3]
    mask = jnp.asarray(MASKS["random [T, S]"])

    @jax.jit
    def loss(step):
        moved = [a + step * d for a, d in zip(arrays, directions, strict=True)]
        return jnp.sum(out_gradient * blockwise_attention(*moved, mask=mask, block_size=4))

    difference = (loss(1e-5) - loss(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(loss)(0.0), difference, rtol=1e-7)


def test_second_derivatives_agree_with_the_plain_form(x64):
    *arrays, out_gradient = inputs(())

    def second(function):
        def loss(q):
            return jnp.sum(out_gradient * function(q, *arrays[1:]))

        return jax.jit(jax.grad(lambda q: jnp.sum(jax.grad(loss)(q) ** 2)))(arrays[0])

    actual = second(lambda *a: blockwise_attention(*a, block_size=4))
    np.testing.assert_allclose(actual, second(scaled_dot_product_attention), atol=1e-11)


def test_vmap_over_arrays_and_masks(x64):
    arrays, mask = inputs(), jnp.asarray(MASKS["full"])

    def attend(q, k, v, m):
        return blockwise_attention(q, k, v, mask=m, block_size=4)

    actual = jax.vmap(jax.vmap(attend))(*arrays[:3], mask)
    np.testing.assert_allclose(actual, oracle(*arrays, MASKS["full"])[0], atol=1e-13)


def test_agrees_with_torch():
    torch = pytest.importorskip("torch")
    arrays = inputs(dtype=np.float32)
    mask = RNG.random((2, 1, T, S)) < 0.7
    mask[..., 0] = True  # torch gives NaN for an empty row
    tensors = [torch.tensor(np.asarray(x), requires_grad=True) for x in arrays[:3]]
    attend = torch.nn.functional.scaled_dot_product_attention
    out = attend(*tensors, attn_mask=torch.tensor(mask))
    out.backward(torch.tensor(np.asarray(arrays[3])))
    actual = compiled(
        lambda *a: blockwise_attention(*a, mask=jnp.asarray(mask), block_size=4), *arrays
    )
    expected = [out.detach().numpy(), *(t.grad.numpy() for t in tensors)]
    assert_all_close(actual, expected, 3e-6)


def memory(function, length, mask=None):
    """Bytes of temporaries of the compiled forward and backward pass.

    One head of width 8, so that [T, S] would stand out; a block of 16 keys.
    """
    array = jax.ShapeDtypeStruct((1, 1, length, 8), jnp.float32)
    return compiled.lower(function, *[array] * 4).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("masked", [False, True])
def test_memory_grows_with_the_length_and_not_with_its_square(masked):
    def attend(q, k, v):
        real = jnp.arange(k.shape[-2])[None, None, None, :] > 0 if masked else None
        return blockwise_attention(q, k, v, mask=real, causal=masked, block_size=16)

    short, long = memory(attend, 512), memory(attend, 2048)
    assert long < 4.5 * short
    assert long < 2048 * 2048  # a quarter of one matrix of scores
    assert memory(scaled_dot_product_attention, 2048) > 2 * 4 * 2048 * 2048


def test_a_broadcast_mask_is_never_made_full():
    """2 × 4 heads share one mask: a copy per head would be 8 · 512 · 512 bytes."""
    array = jax.ShapeDtypeStruct((2, 4, 512, 8), jnp.float32)
    mask = jax.ShapeDtypeStruct((512, 512), jnp.bool_)

    def attend(q, k, v, d_out, m):
        function = lambda *a: blockwise_attention(*a, mask=m, block_size=16)  # noqa: E731
        return value_and_gradients(function, q, k, v, d_out)

    program = jax.jit(attend).lower(*[array] * 4, mask).compile()
    assert program.memory_analysis().temp_size_in_bytes < 8 * 512 * 512


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_exports(platform):
    array = jax.ShapeDtypeStruct((2, 3, T, D), jnp.bfloat16)
    mask = jax.ShapeDtypeStruct((T, T), jnp.bool_)

    def step(q, k, v, d_out, m):
        return value_and_gradients(
            lambda *a: blockwise_attention(*a, mask=m, block_size=4), q, k, v, d_out
        )

    exported = jax.export.export(jax.jit(step), platforms=[platform])(*[array] * 4, mask)
    assert exported.platforms == (platform,)


WRONG = {
    "query": (ValueError, {"query": (D,)}),
    "key": (ValueError, {"key": (2, 3, S, D + 1)}),
    "value": (ValueError, {"value": (2, 3, S + 1, D_V)}),
    "mask": (ValueError, {"mask": jnp.ones((T, S + 1), bool)}),
    "mask dtype": (TypeError, {"mask": jnp.ones((T, S), jnp.float32)}),
    "block_size": (ValueError, {"block_size": 0}),
    "key causal": (
        ValueError,
        {"causal": True, "key": (2, 3, T - 1, D), "value": (2, 3, T - 1, 7)},
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    error, changed = WRONG[name]
    shapes = {"query": (2, 3, T, D), "key": (2, 3, S, D), "value": (2, 3, S, D_V)} | changed
    arguments = {k: jnp.ones(v) if isinstance(v, tuple) else v for k, v in shapes.items()}
    with pytest.raises(error, match=f"argument '{name.split()[0]}'"):
        blockwise_attention(**arguments)


def test_scaled_by_the_root_of_the_head_width(x64):
    """One query, two keys: softmax of 0 and 1 is known in closed form."""
    query = jnp.full((1, 4), math.sqrt(4.0) / 4)
    key = jnp.stack([jnp.zeros(4), jnp.ones(4)])
    out = blockwise_attention(query, key, jnp.eye(2), block_size=1)
    np.testing.assert_allclose(out, [[1 / (1 + math.e), math.e / (1 + math.e)]], rtol=1e-14)
