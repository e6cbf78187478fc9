"""Scaled dot-product attention: the oracle, independent implementations, and its properties."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.test_util import check_grads

from mmjax import formulas
from mmjax.attention import (
    attention_weights,
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
)

B, H, T, S, D, D_V = 2, 3, 7, 11, 5, 13
CPU_IMPLEMENTATIONS = ("plain", "blockwise", "xla")
each_implementation = pytest.mark.parametrize("implementation", CPU_IMPLEMENTATIONS)


def draw(seed, dtype=np.float64, *, value_width=D_V, leading=(B, H)):
    """query, key, value and the cotangent of the output."""
    rng = np.random.default_rng(seed)
    widths = ((T, D), (S, D), (S, value_width), (T, value_width))
    return [jnp.asarray(rng.normal(size=(*leading, *shape)), dtype) for shape in widths]


def draw_mask(seed, shape, empty_row=None):
    mask = np.random.default_rng(1000 + seed).random(shape) < 0.6
    mask[..., 0] = True
    if empty_row is not None:
        mask[..., empty_row, :] = False
    return jnp.asarray(mask)


def each_head(mask):
    """The mask [T, S] of every example and head, or None."""
    if mask is None:
        return lambda b, h: None
    full = np.broadcast_to(mask, (B, H, T, S))
    return lambda b, h: full[b, h]


def oracle(query, key, value, mask=None):
    pick = each_head(mask)
    out = np.zeros((B, H, T, value.shape[-1]))
    for b, h in np.ndindex(B, H):
        out[b, h] = formulas.scaled_dot_product_attention(
            query[b, h], key[b, h], value[b, h], pick(b, h)
        )
    return out


def oracle_gradients(query, key, value, d_out, mask=None):
    pick = each_head(mask)
    gradients = [np.zeros(x.shape) for x in (query, key, value)]
    for b, h in np.ndindex(B, H):
        arrays = (query[b, h], key[b, h], value[b, h], d_out[b, h])
        for total, gradient in zip(
            gradients, formulas.attention_gradients(*arrays, pick(b, h)), strict=True
        ):
            total[b, h] = gradient
    return gradients


# Compiled whole, a call takes a tenth of the time of compiling it operation by operation.
@functools.partial(jax.jit, static_argnames="implementation")
def attend(query, key, value, mask=None, *, implementation):
    return scaled_dot_product_attention(query, key, value, mask=mask, implementation=implementation)


@functools.partial(jax.jit, static_argnames="implementation")
def attend_and_pull_back(query, key, value, d_out, mask=None, *, implementation):
    """The output, and the gradients by query, key and value."""
    function = functools.partial(attend, mask=mask, implementation=implementation)
    out, vjp = jax.vjp(function, query, key, value)
    return out, *vjp(d_out)


MASK_SHAPES = [None, (T, S), (B, H, T, S), (B, 1, 1, S), (1, H, T, 1), (1, 1, T, S)]


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
@pytest.mark.parametrize("mask_shape", MASK_SHAPES)
def test_float64_forward_and_gradient_are_the_formula(x64, implementation, mask_shape):
    *inputs, d_out = draw(0)
    mask = None if mask_shape is None else draw_mask(0, mask_shape)
    out, *gradients = attend_and_pull_back(*inputs, d_out, mask, implementation=implementation)
    assert out.dtype == jnp.float64
    np.testing.assert_allclose(out, oracle(*inputs, mask), atol=1e-13)
    expected = oracle_gradients(*inputs, d_out, mask)
    for gradient, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-12)


@each_implementation
@pytest.mark.parametrize("seed", range(2))
def test_float32_forward_and_gradient_are_the_formula(implementation, seed):
    *inputs, d_out = draw(seed, np.float32, value_width=D)
    mask = draw_mask(seed, (B, 1, T, S), empty_row=2 if seed else None)
    out, *gradients = attend_and_pull_back(*inputs, d_out, mask, implementation=implementation)
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, oracle(*inputs, mask), atol=2e-6)
    expected = oracle_gradients(*inputs, d_out, mask)
    for gradient, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=5e-6)


@each_implementation
def test_bfloat16_is_close_to_float32(implementation):
    query, key, value, _ = draw(3, jnp.bfloat16, value_width=D)
    mask = draw_mask(3, (T, S))
    out = attend(query, key, value, mask, implementation=implementation)
    assert out.dtype == jnp.bfloat16
    wide = [np.asarray(x, np.float64) for x in (query, key, value)]
    np.testing.assert_allclose(np.asarray(out, np.float64), oracle(*wide, mask), atol=0.02)


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
def test_finite_differences(x64, implementation):
    rng = np.random.default_rng(4)
    inputs = [jnp.asarray(rng.normal(size=shape)) for shape in ((3, 2), (5, 2), (5, 7))]
    mask = causal_mask(3, 5)
    check_grads(
        lambda *a: scaled_dot_product_attention(*a, mask=mask, implementation=implementation),
        inputs,
        order=1,
        modes=["rev"],
    )


@pytest.mark.parametrize("leading", [(), (3,), (2, 3, 5)])
def test_any_leading_axes(x64, leading):
    query, key, value, _ = draw(5, leading=leading)
    mask = draw_mask(5, (T, S))
    flat = [np.asarray(x).reshape(-1, *x.shape[-2:]) for x in (query, key, value)]
    expected = [formulas.scaled_dot_product_attention(*a, mask) for a in zip(*flat, strict=True)]
    for implementation in ("plain", "blockwise"):
        out = attend(query, key, value, mask, implementation=implementation)
        assert out.shape == (*leading, T, D_V)
        np.testing.assert_allclose(out.reshape(-1, T, D_V), expected, atol=1e-13)


@each_implementation
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_torch(implementation, seed):
    """Forward and gradient, on random masks with something to attend to in every row."""
    torch = pytest.importorskip("torch")
    arrays = draw(10 + seed, np.float32, value_width=D)
    mask = None if seed == 0 else draw_mask(seed, [(T, S), (B, H, T, S)][seed - 1])
    q, k, v, d_out = (torch.tensor(np.asarray(x), requires_grad=True) for x in arrays)
    torch_mask = None if mask is None else torch.tensor(np.asarray(mask))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=torch_mask)
    expected.backward(d_out.detach())
    out, *gradients = attend_and_pull_back(*arrays, mask, implementation=implementation)
    np.testing.assert_allclose(out, expected.detach(), atol=2e-6)
    for gradient, peer in zip(gradients, (q, k, v), strict=True):
        np.testing.assert_allclose(gradient, peer.grad, atol=5e-6)


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_jax_nn(implementation, seed):
    """jax.nn wants [B, T, H, D]."""
    query, key, value, _ = draw(20 + seed, np.float32, value_width=D)
    mask = None if seed == 0 else draw_mask(seed, (B, H, T, S))
    swapped = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    expected = jax.nn.dot_product_attention(*swapped, mask=mask).swapaxes(1, 2)
    out = attend(query, key, value, mask, implementation=implementation)
    np.testing.assert_allclose(out, expected, atol=2e-6)


def test_weights_are_the_formula_and_sum_to_one(x64):
    query, key, _, _ = draw(6)
    mask = draw_mask(6, (B, H, T, S), empty_row=4)
    weights = attention_weights(query, key, mask=mask)
    for b, h in np.ndindex(B, H):
        expected = formulas.attention_weights(query[b, h], key[b, h], mask[b, h])
        np.testing.assert_allclose(weights[b, h], expected, atol=1e-14)
    sums = np.ones((B, H, T))
    sums[:, :, 4] = 0
    np.testing.assert_allclose(weights.sum(axis=-1), sums, atol=1e-14)
    assert (np.asarray(weights)[~np.asarray(mask)] == 0).all()


def test_weights_of_bfloat16_are_float32():
    query, key, _, _ = draw(7, jnp.bfloat16)
    assert attention_weights(query, key).dtype == jnp.float32


def test_scores_of_zero_and_one():
    """d_k = 4, so a dot product of 2 is a score of 1: softmax of (0, 1) is 1/(1+e), e/(1+e)."""
    query, key = jnp.array([[1.0, 0, 0, 0]]), jnp.array([[0.0, 0, 0, 0], [2.0, 0, 0, 0]])
    expected = [[1 / (1 + math.e), math.e / (1 + math.e)]]
    np.testing.assert_allclose(attention_weights(query, key), expected, atol=1e-7)


@each_implementation
def test_an_empty_row_gives_zeros_and_zero_gradient(implementation):
    """jax_debug_nans raises at the first NaN, also at one that a later `where` would hide."""
    *inputs, d_out = draw(8, np.float32, value_width=D)
    mask = draw_mask(8, (B, H, T, S), empty_row=3)

    def attend(*arrays):
        return scaled_dot_product_attention(*arrays, mask=mask, implementation=implementation)

    with jax.debug_nans(True):
        out, vjp = jax.vjp(attend, *inputs)
        d_query, d_key, d_value = vjp(d_out)
    assert (out[:, :, 3] == 0).all()
    assert (d_query[:, :, 3] == 0).all()
    changed = vjp(d_out.at[:, :, 3].set(99.0))
    np.testing.assert_array_equal(changed[1], d_key)
    np.testing.assert_array_equal(changed[2], d_value)


@each_implementation
def test_nothing_to_attend_to_at_all(implementation):
    *inputs, d_out = draw(9, np.float32, value_width=D)
    mask = jnp.zeros((T, S), bool)
    with jax.debug_nans(True):
        out, vjp = jax.vjp(
            lambda *a: scaled_dot_product_attention(*a, mask=mask, implementation=implementation),
            *inputs,
        )
        assert all((x == 0).all() for x in (out, *vjp(d_out)))


@each_implementation
def test_masked_keys_have_no_influence(implementation):
    """Keys and values of 10,000 change nothing beyond rounding, and their gradient is zero."""
    query, key, value, d_out = draw(10, np.float32, value_width=D)
    kept = jnp.arange(S) % 3 != 1
    mask = kept[None, None, None, :]
    compiled = functools.partial(attend, mask=mask, implementation=implementation)
    out, vjp = jax.vjp(compiled, query, key, value)
    other = jnp.where(kept[None, None, :, None], key, 1e4)
    other_value = jnp.where(kept[None, None, :, None], value, 1e4)
    np.testing.assert_allclose(compiled(query, other, other_value), out, atol=1e-6)
    _, d_key, d_value = vjp(d_out)
    assert (d_key[:, :, ~kept] == 0).all() and (d_value[:, :, ~kept] == 0).all()
    assert (d_key[:, :, kept] != 0).all() and (d_value[:, :, kept] != 0).all()


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
def test_permutation_of_queries_and_keys(x64, implementation):
    """Permuted queries permute the output; permuted keys with their values change nothing."""
    query, key, value, _ = draw(11)
    rng = np.random.default_rng(11)
    rows, columns = rng.permutation(T), rng.permutation(S)
    mask = draw_mask(11, (T, S))
    compiled = functools.partial(attend, implementation=implementation)
    out = compiled(query, key, value, mask)
    permuted = compiled(
        query[:, :, rows], key[:, :, columns], value[:, :, columns], mask[rows][:, columns]
    )
    np.testing.assert_allclose(permuted, out[:, :, rows], atol=1e-14)


@each_implementation
def test_large_scores_do_not_overflow(implementation):
    query, key, value, _ = draw(12, np.float32, value_width=D)
    out = scaled_dot_product_attention(100 * query, 100 * key, value, implementation=implementation)
    np.testing.assert_allclose(out, oracle(100 * query, 100 * key, value), atol=1e-3)


@pytest.mark.parametrize("width", [4, 64])
def test_the_variance_of_a_dot_product_is_its_width(width):
    """For independent entries of mean 0 and variance 1, q·k has variance D and q·k/√D has 1.

    100,000 samples: the relative standard error of the variance is √(2/n) · (kurtosis term ≤ 2) <
    0.01 at D ≥ 4, so 5 % is five standard errors. The scores come from our own code: the log of the
    ratio of two weights is the difference of two scores, of variance 2.
    """
    rng = np.random.default_rng(13)
    query = jnp.asarray(rng.normal(size=(100_000, 1, width)), jnp.float32)
    key = jnp.asarray(rng.normal(size=(100_000, 2, width)), jnp.float32)
    products = np.einsum("nd,nd->n", query[:, 0], key[:, 0])
    assert products.var() == pytest.approx(width, rel=0.05)
    weights = np.asarray(attention_weights(query, key), np.float64)
    scores = np.log(weights[:, 0, 0] / weights[:, 0, 1])
    assert scores.var() == pytest.approx(2, rel=0.05)


def compiled_memory(implementation, length):
    shape = jax.ShapeDtypeStruct((1, 1, length, 16), jnp.float32)

    def loss(*arrays):
        return scaled_dot_product_attention(*arrays, implementation=implementation).sum()

    step = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    return step.lower(shape, shape, shape).compile().memory_analysis().temp_size_in_bytes


def test_plain_attention_stores_its_weights_and_blockwise_does_not():
    """Twice the length: four times the memory when plain, about twice when blockwise."""
    plain = [compiled_memory("plain", length) for length in (1024, 2048)]
    assert plain[0] >= 4 * 1024 * 1024
    assert 3.5 < plain[1] / plain[0] < 4.5
    blockwise = [compiled_memory("blockwise", length) for length in (1024, 2048)]
    assert blockwise[1] < 3 * blockwise[0]
    assert blockwise[1] < plain[1] / 4


def test_plain_attention_costs_four_t_s_d_operations():
    """Q Kᵀ and P V are 2·T·S·D operations each; the softmax adds a few for each weight."""
    length, width = 256, 64
    shape = jax.ShapeDtypeStruct((length, width), jnp.float32)
    compiled = jax.jit(scaled_dot_product_attention).lower(shape, shape, shape).compile()
    flops = compiled.cost_analysis()["flops"]
    products = 4 * length * length * width
    assert products <= flops <= products + 10 * length * length


@pytest.mark.parametrize("implementation", CPU_IMPLEMENTATIONS)
def test_exports_for_every_platform(implementation):
    query, key, value, _ = draw(14, np.float32, value_width=D)
    mask = causal_mask(T, S)

    def loss(*arrays):
        return scaled_dot_product_attention(*arrays, mask=mask, implementation=implementation).sum()

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    exported = export.export(step, platforms=("cpu", "cuda", "tpu"))(query, key, value)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    np.testing.assert_allclose(
        exported.call(query, key, value)[0], loss(query, key, value), rtol=1e-5
    )


@pytest.mark.parametrize("implementation", ["xla", "cudnn"])
def test_the_builtin_kernel_is_asked_for_by_name(implementation, monkeypatch):
    """Without a GPU: cuDNN is named to JAX, with the arrays as [B, T, H, D] and the mask lifted."""
    asked = []

    def record(query, key, value, *, mask, implementation):
        asked.append((query.shape, key.shape, value.shape, mask.shape, implementation))
        return query

    monkeypatch.setattr(jax.nn, "dot_product_attention", record)
    query, key, value, _ = draw(15, jnp.bfloat16, value_width=D)
    out = scaled_dot_product_attention(
        query, key, value, mask=causal_mask(T, S), implementation=implementation
    )
    shapes = ((B, T, H, D), (B, S, H, D), (B, S, H, D))
    assert asked == [(*shapes, (1, 1, T, S), implementation)]
    np.testing.assert_array_equal(out, query)
    # cuDNN refuses a mask with a single row; XLA broadcasts it.
    padding = padding_mask(jnp.ones((B, S), bool))
    scaled_dot_product_attention(query, key, value, mask=padding, implementation=implementation)
    rows = T if implementation == "cudnn" else 1
    assert asked[1] == (*shapes, (B, 1, rows, S), implementation)


def test_the_fastest_kernel_of_this_machine_agrees_with_the_formula():
    """cuDNN where the tests run on a GPU (JAX_PLATFORMS=cuda), XLA elsewhere."""
    implementation = "cudnn" if jax.default_backend() == "gpu" else "xla"
    rng = np.random.default_rng(15)
    *arrays, d_out = (jnp.asarray(rng.normal(size=(2, 3, 128, 64)), jnp.bfloat16) for _ in range(4))
    mask = draw_mask(15, (2, 1, 128, 128), empty_row=5)
    results = []
    for name in (implementation, "plain"):
        # JAX's own backward pass mixes bfloat16 with float32; ours must do without.
        with jax.numpy_dtype_promotion("strict" if name == "plain" else "standard"):
            out = attend_and_pull_back(*arrays, d_out, mask, implementation=name)
        results.append([np.asarray(x, np.float32) for x in out])
    for ours, formula in zip(*results, strict=True):
        np.testing.assert_allclose(ours, formula, atol=0.03)


Q, K, V = jnp.ones((2, 3, 7, 5)), jnp.ones((2, 3, 11, 5)), jnp.ones((2, 3, 11, 13))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((Q[0, 0, 0], K, V), {}, ValueError, r"'query': expected rank 2 or more.*float32\[5\]"),
        ((Q, K[0, 0, 0], V), {}, ValueError, r"'key': expected rank 2 or more.*float32\[5\]"),
        ((Q, K[0], V), {}, ValueError, r"'key': .*query \[2, 3, 7, 5\], got float32\[3, 11, 5\]"),
        ((Q, K[:1], V), {}, ValueError, r"'key': .*got float32\[1, 3, 11, 5\]"),
        ((Q, K[..., :4], V), {}, ValueError, r"'key': .*got float32\[2, 3, 11, 4\]"),
        ((Q, K, V[:, :, :10]), {}, ValueError, r"'value': .*\[2, 3, 11, 5\], got .*10, 13\]"),
        ((Q, K, V[0]), {}, ValueError, r"'value': .*got float32\[3, 11, 13\]"),
        ((Q[:0], K[:0], V[:0]), {}, ValueError, r"'query': expected no empty axis.*\[0, 3, 7, 5\]"),
        ((Q, K[:, :, :0], V[:, :, :0]), {}, ValueError, r"'key': expected no empty axis"),
        ((Q, K, V[..., :0]), {}, ValueError, r"'value': .*got float32\[2, 3, 11, 0\]"),
        ((Q.astype(int), K, V), {}, TypeError, r"'query': expected a floating.*int32\[2, 3, 7, 5"),
        (([[1.0]], K, V), {}, TypeError, r"'query': expected a floating.*got \[\[1.0\]\]"),
        ((Q, K.astype(jnp.bfloat16), V), {}, TypeError, r"'key': expected the dtype of the query"),
        ((Q, K, V.astype(jnp.bfloat16)), {}, TypeError, r"'value': .*float32, got bfloat16\["),
        ((Q, K, V), {"mask": jnp.ones((7, 11))}, TypeError, r"'mask': expected a boolean array"),
        ((Q, K, V), {"mask": jnp.ones((11, 7), bool)}, ValueError, r"'mask': .*got bool\[11, 7\]"),
        (
            (Q, K, V),
            {"mask": jnp.ones((2, 7, 11), bool)},
            ValueError,
            r"'mask': expected rank 2 or",
        ),
        (
            (Q, K, V),
            {"implementation": "flash"},
            ValueError,
            "'implementation': expected one of 'plain', 'blockwise', 'xla', 'cudnn', got 'flash'",
        ),
        (
            (Q[0], K[0], V[0]),
            {"implementation": "xla"},
            ValueError,
            r"'query': expected rank 4 \[B, H, T, D\], got float32\[3, 7, 5\]",
        ),
        (
            (Q, K, V),
            {"implementation": "xla"},
            ValueError,
            r"'value': .*got float32\[2, 3, 11, 13\]",
        ),
        (
            (Q, K, K),
            {"implementation": "cudnn"},
            TypeError,
            r"'query': expected float16 or bfloat16, got float32\[2, 3, 7, 5\]",
        ),
    ],
)
def test_errors(arguments, options, error, message):
    with pytest.raises(error, match="scaled_dot_product_attention.*" + message):
        scaled_dot_product_attention(*arguments, **options)
    if "implementation" not in options and "'value'" not in message:
        with pytest.raises(error, match="attention_weights: argument " + message):
            attention_weights(*arguments[:2], **options)
