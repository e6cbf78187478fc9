"""Multi-head attention: the oracle, torch, flax and JAX with our weights, and its properties."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

from mmjax import formulas
from mmjax.attention import (
    MultiHeadAttention,
    causal_mask,
    combine_masks,
    merge_heads,
    padding_mask,
    prefix_mask,
    rotary,
    split_heads,
)

B, H, T, S, D = 2, 3, 7, 11, 10
M, M_C = H * D, 13


def build(width=M, heads=H, *, seed=0, dtype=np.float32, **options):
    """A module with random biases too (they start at zero, where they could hide)."""
    make = functools.partial(MultiHeadAttention, width, heads, **options)
    module = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(seed)

    def fill(leaf):
        return jnp.asarray(rng.normal(size=leaf.shape) / leaf.shape[0] ** 0.5, dtype)

    nnx.update(module, jax.tree.map(fill, nnx.state(module)))
    return module


# Compiled whole, a call takes a tenth of the time of compiling it operation by operation.
@nnx.jit
def run(module, *arguments, **options):
    return module(*arguments, **options)


@nnx.jit
def weigh(module, *arguments, **options):
    return module.with_weights(*arguments, **options)


@nnx.jit
def decode(module, x, cache, mask):
    return module.decode(x, cache, mask=mask)


def draw(seed, *shapes, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def kernels(module):
    """W_Q, W_K, W_V as [heads, width, D] and W_O [H·D, M]: head h owns the columns hD … hD + D."""
    split = []
    for name in ("query", "key", "value"):
        kernel = np.asarray(getattr(module, name).kernel[...], np.float64)
        split.append(np.stack(np.split(kernel, kernel.shape[1] // D, axis=1)))
    return *split, np.asarray(module.output.kernel[...], np.float64)


@pytest.mark.parametrize("heads_of_keys", [3, 1])
@pytest.mark.parametrize("cross", [False, True])
def test_output_is_the_formula(x64, heads_of_keys, cross):
    module = build(
        key_value_heads=heads_of_keys,
        context_width=M_C if cross else None,
        use_bias=False,
        dtype=np.float64,
    )
    x, context = draw(1, (B, T, M), (B, S, M_C), dtype=np.float64)
    mask = jnp.asarray(np.random.default_rng(1).random((B, 1, T, S if cross else T)) < 0.6)
    out = run(module, x, context if cross else None, mask=mask)
    assert out.dtype == jnp.float64
    for b in range(B):
        other = context[b] if cross else x[b]
        expected = formulas.multi_head_attention(x[b], other, *kernels(module), mask[b, 0])
        np.testing.assert_allclose(out[b], expected, atol=1e-12)


def test_gradient_is_the_formula(x64):
    """Central differences of the oracle along random directions, for the input and each kernel."""
    module = build(use_bias=False, dtype=np.float64)
    x, direction, d_out = draw(2, (1, T, M), (1, T, M), (1, T, M), dtype=np.float64)
    gradients = nnx.grad(lambda m, x: (m(x) * d_out).sum(), argnums=(0, 1))
    d_module, d_x = nnx.jit(gradients)(module, x)

    def objective(x, weights):
        return (np.asarray(d_out[0]) * formulas.multi_head_attention(x, x, *weights)).sum()

    x, step, weights = np.asarray(x[0]), 1e-6, list(kernels(module))
    ahead, behind = (objective(x + e * np.asarray(direction[0]), weights) for e in (step, -step))
    np.testing.assert_allclose((d_x * direction).sum(), (ahead - behind) / (2 * step), rtol=1e-7)
    gradients = kernels(d_module)
    rng = np.random.default_rng(3)
    for i, gradient in enumerate(gradients):
        turn = rng.normal(size=gradient.shape)
        moved = [
            objective(x, [w + e * turn if j == i else w for j, w in enumerate(weights)])
            for e in (step, -step)
        ]
        np.testing.assert_allclose(
            (gradient * turn).sum(), (moved[0] - moved[1]) / (2 * step), rtol=1e-6
        )


def torch_twin(module, context_width=M):
    """torch.nn.MultiheadAttention with our weights; it stores kernels transposed."""
    torch = pytest.importorskip("torch")
    twin = torch.nn.MultiheadAttention(
        M, module.heads, kdim=context_width, vdim=context_width, batch_first=True
    )
    kernel = {n: np.asarray(getattr(module, n).kernel[...]).T for n in PARTS}
    bias = {n: np.asarray(getattr(module, n).bias[...]) for n in PARTS}
    state = {
        "in_proj_bias": np.concatenate([bias[n] for n in PARTS[:3]]),
        "out_proj.weight": kernel["output"],
        "out_proj.bias": bias["output"],
    }
    if context_width == M:
        state["in_proj_weight"] = np.concatenate([kernel[n] for n in PARTS[:3]])
    else:
        for short, name in zip("qkv", PARTS, strict=False):
            state[f"{short}_proj_weight"] = kernel[name]
    twin.load_state_dict({k: torch.tensor(v.copy()) for k, v in state.items()})
    return twin


PARTS = ("query", "key", "value", "output")


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_agrees_with_torch(cross, masked):
    torch = pytest.importorskip("torch")
    module = build(context_width=M_C if cross else None, seed=4)
    twin = torch_twin(module, M_C if cross else M)
    x, context, d_out = draw(4, (B, T, M), (B, S, M_C), (B, T, M))
    length = S if cross else T
    mask = jnp.asarray(np.random.default_rng(4).random((T, length)) < 0.6).at[:, 0].set(True)
    mask = mask if masked else None

    torch_x = torch.tensor(np.asarray(x), requires_grad=True)
    other = torch.tensor(np.asarray(context)) if cross else torch_x
    forbidden = None if mask is None else torch.tensor(~np.asarray(mask))
    expected, weights = twin(torch_x, other, other, attn_mask=forbidden, average_attn_weights=False)
    expected.backward(torch.tensor(np.asarray(d_out)))

    out, our_weights = weigh(module, x, context if cross else None, mask=mask)
    np.testing.assert_allclose(out, expected.detach(), atol=5e-6)
    np.testing.assert_allclose(our_weights, weights.detach(), atol=2e-6)

    def loss(module, x):
        return (module(x, context if cross else None, mask=mask) * d_out).sum()

    gradient, d_x = nnx.jit(nnx.grad(loss, argnums=(0, 1)))(module, x)
    np.testing.assert_allclose(d_x, torch_x.grad, atol=2e-5)
    grads = dict(twin.named_parameters())
    np.testing.assert_allclose(
        gradient.output.kernel[...].T, grads["out_proj.weight"].grad, atol=5e-5
    )
    ours = jnp.concatenate([getattr(gradient, n).bias[...] for n in PARTS[:3]])
    np.testing.assert_allclose(ours, grads["in_proj_bias"].grad, atol=5e-5)


@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_flax(seed):
    """nnx.MultiHeadAttention keeps its kernels as [M, H, D]."""
    module = build(seed=5 + seed)
    peer = nnx.MultiHeadAttention(H, M, decode=False, rngs=nnx.Rngs(0))
    for name in PARTS[:3]:
        ours, theirs = getattr(module, name), getattr(peer, name)
        theirs.kernel[...] = ours.kernel[...].reshape(M, H, D)
        theirs.bias[...] = ours.bias[...].reshape(H, D)
    peer.out.kernel[...] = module.output.kernel[...].reshape(H, D, M)
    peer.out.bias[...] = module.output.bias[...]
    (x,) = draw(5, (B, T, M))
    mask = causal_mask(T) if seed else None
    lifted = None if mask is None else mask[None, None]
    np.testing.assert_allclose(run(module, x, mask=mask), peer(x, mask=lifted), atol=5e-6)


def test_grouped_heads_agree_with_jax_nn():
    module = build(width=6 * D, heads=6, key_value_heads=2)
    (x,) = draw(6, (B, T, 6 * D))
    query, key, value = module._project(x, None, None)
    swapped = (a.swapaxes(1, 2) for a in (query, key, value))
    out = jax.nn.dot_product_attention(*swapped).reshape(B, T, 6 * D)
    np.testing.assert_allclose(run(module, x), module.output(out), atol=5e-6)


def test_query_key_norm_is_a_layer_norm_on_each_head():
    module = build(query_key_norm=True)
    (x,) = draw(7, (B, T, M))
    query, key, value = module._project(x, None, None)
    for b, h in np.ndindex(B, H):
        for norm, ours, name in (
            (module.query_norm, query, "query"),
            (module.key_norm, key, "key"),
        ):
            raw = getattr(module, name)(x)[b, :, h * D : (h + 1) * D]
            expected = formulas.layer_norm(
                raw, np.asarray(norm.scale[...]), np.asarray(norm.bias[...])
            )
            np.testing.assert_allclose(ours[b, h], expected, atol=1e-5)
    np.testing.assert_array_equal(merge_heads(value), module.value(x))


def test_rotary_turns_queries_and_keys_and_not_values():
    module = build(rotary_positions=True)
    plain = build()
    (x,) = draw(8, (B, T, M))
    positions = jnp.asarray(np.random.default_rng(8).integers(0, 50, (B, T)))
    query, key, value = module._project(x, None, positions)
    raw_query, raw_key, raw_value = plain._project(x, None, None)
    np.testing.assert_allclose(query, rotary(raw_query, positions), atol=1e-6)
    np.testing.assert_allclose(key, rotary(raw_key, positions), atol=1e-6)
    np.testing.assert_array_equal(value, raw_value)
    np.testing.assert_array_equal(run(module, x), run(module, x, positions=jnp.arange(T)))


def test_rotary_output_depends_on_differences_of_positions_only(x64):
    module = build(rotary_positions=True, dtype=np.float64)
    (x,) = draw(9, (B, T, M), dtype=np.float64)
    out = run(module, x)
    np.testing.assert_allclose(run(module, x, positions=jnp.arange(T) + 31), out, atol=1e-12)
    assert np.abs(run(module, x, positions=2 * jnp.arange(T)) - out).max() > 1e-3


def test_permutation_equivariance(x64):
    """Without positions and mask, attention knows no order: permuted tokens, permuted output."""
    module = build(dtype=np.float64)
    (x,) = draw(10, (B, T, M), dtype=np.float64)
    order = np.random.default_rng(10).permutation(T)
    np.testing.assert_allclose(run(module, x[:, order]), run(module, x)[:, order], atol=1e-13)


def test_causal_outputs_do_not_see_the_future():
    module = build()
    (x,) = draw(11, (B, T, M))
    out = run(module, x, mask=causal_mask(T))
    for length in (1, 4):
        prefix = run(module, x[:, :length], mask=causal_mask(length))
        np.testing.assert_allclose(out[:, :length], prefix, atol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: module(x, mask=causal_mask(T))[:, 3].sum()))(x)
    assert (gradient[:, 4:] == 0).all() and (gradient[:, :4] != 0).all()


def test_padding_has_no_influence():
    """A batch padded to T gives each sequence the output that it has alone."""
    module = build()
    (x,) = draw(12, (B, T, M))
    lengths = (4, 6)
    real = jnp.arange(T)[None, :] < jnp.array(lengths)[:, None]
    out = run(module, x, mask=padding_mask(real))

    def loss(x):
        return (module(x, mask=padding_mask(real)) ** 2)[:, :3].sum()

    gradient = jax.jit(jax.grad(loss))(x)
    for b, length in enumerate(lengths):
        np.testing.assert_allclose(
            out[b, :length], run(module, x[b : b + 1, :length])[0], atol=2e-6
        )
        assert (gradient[b, length:] == 0).all()


def test_weights_sum_to_one_and_give_the_output():
    for implementation in ("plain", "blockwise"):
        module = build(key_value_heads=1, rotary_positions=True, implementation=implementation)
        (x,) = draw(13, (B, T, M))
        out, weights = weigh(module, x, mask=causal_mask(T))
        assert weights.shape == (B, H, T, T)
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
        assert (np.triu(weights, 1) == 0).all()
        np.testing.assert_allclose(out, run(module, x, mask=causal_mask(T)), atol=2e-6)


@pytest.mark.parametrize("implementation", ["blockwise", "xla"])
def test_implementations_agree(implementation):
    options = {"key_value_heads": 1, "rotary_positions": True, "query_key_norm": True}
    (x,) = draw(14, (B, T, M))
    mask = causal_mask(T).at[2].set(False)
    plain = run(build(**options), x, mask=mask)
    np.testing.assert_allclose(
        run(build(implementation=implementation, **options), x, mask=mask), plain, atol=5e-6
    )


@pytest.mark.parametrize("splits", [(7,), (1,) * 7, (3, 4), (1, 5, 1)])
@pytest.mark.parametrize(
    "options",
    [{}, {"key_value_heads": 1, "rotary_positions": True, "query_key_norm": True}],
    ids=["plain", "grouped-rotary-normed"],
)
def test_decoding_in_pieces_is_the_whole(x64, splits, options):
    """With padding at the front of one example, and more room in the cache than tokens."""
    module = build(dtype=np.float64, **options)
    (x,) = draw(15, (B, T, M), dtype=np.float64)
    room = T + 2
    real = jnp.arange(room)[None, :] >= jnp.array([0, 2])[:, None]
    whole = run(module, x, mask=combine_masks(causal_mask(T), padding_mask(real[:, :T])))
    cache = module.init_cache(B, room)
    assert cache.key.dtype == jnp.float64
    pieces = []
    for start, stop in itertools.pairwise(np.cumsum((0, *splits))):
        out, cache = decode(module, x[:, start:stop], cache, padding_mask(real))
        pieces.append(out)
    np.testing.assert_allclose(jnp.concatenate(pieces, axis=1), whole, atol=1e-12)
    assert int(cache.length) == T
    assert cache.key.shape == (B, options.get("key_value_heads", H), room, D)


def test_decoding_in_a_compiled_loop_is_the_whole():
    module = build(rotary_positions=True)
    (x,) = draw(16, (B, T, M))

    def step(cache, token):
        out, cache = module.decode(token[:, None], cache)
        return cache, out[:, 0]

    _, outs = jax.lax.scan(step, module.init_cache(B, T), x.swapaxes(0, 1))
    whole = run(module, x, mask=causal_mask(T))
    np.testing.assert_allclose(outs.swapaxes(0, 1), whole, atol=2e-6)


NORMED = {"key_value_heads": 1, "query_key_norm": True}


def test_a_prefix_and_then_pieces_are_the_whole_under_a_prefix_mask(x64):
    module = build(dtype=np.float64, **NORMED)
    (x,) = draw(18, (B, T, M), dtype=np.float64)
    whole = run(module, x, mask=prefix_mask(4, T))
    read = nnx.jit(lambda module, x: module.prefill(x, T + 1))
    first, cache = read(module, x[:, :4])
    assert int(cache.length) == 4 and cache.key.shape == (B, 1, T + 1, D)
    rest, cache = decode(module, x[:, 4:], cache, None)
    np.testing.assert_allclose(jnp.concatenate([first, rest], axis=1), whole, atol=1e-12)


def test_a_context_projected_once_gives_the_same_as_the_call(x64):
    module = build(dtype=np.float64, context_width=M_C, **NORMED)
    x, context = draw(19, (B, T, M), (B, S, M_C), dtype=np.float64)
    mask = padding_mask(jnp.arange(S)[None, :] < jnp.array([S, 4])[:, None])
    read = nnx.jit(lambda module, x, c: module.read(x, module.project_context(c), mask=mask))
    whole = run(module, x, context, mask=mask)
    np.testing.assert_allclose(read(module, x, context), whole, atol=1e-14)


@pytest.mark.parametrize("implementation", ["plain", "blockwise"])
def test_prefill_and_read_use_the_implementation_asked_for(implementation):
    """Blockwise: no array in the program has all queries and all keys."""
    module = build(6, 2, implementation=implementation)
    (x,) = draw(20, (1, 1031, 6))
    programs = (
        jax.make_jaxpr(lambda x: module.prefill(x, 1031))(x),
        jax.make_jaxpr(lambda x: module.read(x, module.project_context(x)))(x),
    )
    for program in programs:
        assert ("1031,1031" in str(program)) == (implementation == "plain")


def test_a_cache_that_is_too_short_raises():
    module = build()
    (x,) = draw(17, (B, T, M))
    _, cache = module.decode(x[:, :3], module.init_cache(B, 5))
    module.decode(x[:, 3:5], cache)
    with pytest.raises(ValueError, match="'cache': expected at most 5 tokens.*got 6 with the new"):
        module.decode(x[:, 3:6], cache)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_parameters_and_tokens_of_one_dtype_keep_it(dtype):
    options = {"rotary_positions": True, "query_key_norm": True}
    module, wide = build(dtype=dtype, **options), build(dtype=np.float32, **options)
    (x,) = draw(18, (B, T, M))
    out, weights = weigh(module, x.astype(dtype), mask=causal_mask(T))
    assert out.dtype == dtype and weights.dtype == jnp.float32
    decoded, cache = decode(module, x.astype(dtype), module.init_cache(B, T), None)
    assert decoded.dtype == dtype and cache.key.dtype == dtype
    expected = run(wide, x, mask=causal_mask(T))
    for ours in (out, decoded, run(module, x.astype(dtype), mask=causal_mask(T))):
        np.testing.assert_allclose(ours.astype(np.float32), expected, atol=0.1)


def test_heads_split_and_merge():
    x = jnp.arange(2 * 3 * 10).reshape(2, 3, 10)
    heads = split_heads(x, 5)
    assert heads.shape == (2, 5, 3, 2)
    np.testing.assert_array_equal(heads[1, 4, 2], [58, 59])
    np.testing.assert_array_equal(merge_heads(heads), x)


@pytest.mark.parametrize("implementation", ["plain", "blockwise", "xla"])
def test_exports_for_every_platform(implementation):
    module = build(rotary_positions=True, key_value_heads=1, implementation=implementation)
    definition, state = nnx.split(module)
    (x,) = draw(19, (B, T, M))
    every = ("cpu", "cuda", "tpu")

    def loss(state, x):
        return (nnx.merge(definition, state)(x, mask=causal_mask(T)) ** 2).sum()

    def decode_step(state, x, cache):
        return nnx.merge(definition, state).decode(x, cache)

    leaves, tree = jax.tree.flatten(state)
    step = jax.jit(jax.grad(lambda leaves, x: loss(jax.tree.unflatten(tree, leaves), x)))
    assert export.export(step, platforms=every)(leaves, x).platforms == every
    cache = module.init_cache(B, T)
    step = jax.jit(
        lambda leaves, x, *c: decode_step(jax.tree.unflatten(tree, leaves), x, type(cache)(*c))
    )
    assert export.export(step, platforms=every)(leaves, x[:, :1], *cache).platforms == every


X, C = jnp.ones((2, 7, 30)), jnp.ones((2, 11, 30))
RNGS = nnx.Rngs(0)
MODULE = MultiHeadAttention(30, 3, rngs=RNGS)
TURNED = MultiHeadAttention(30, 3, rotary_positions=True, rngs=RNGS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MultiHeadAttention(30, 4, rngs=RNGS), ValueError, "'heads': .*width 30, got 4"),
        (lambda: MultiHeadAttention(30, 0, rngs=RNGS), ValueError, "'heads': .*got 0"),
        (
            lambda: MultiHeadAttention(30, 6, key_value_heads=4, rngs=RNGS),
            ValueError,
            "'key_value_heads': expected a divisor of the number of heads 6, got 4",
        ),
        (
            lambda: MultiHeadAttention(30, 3, implementation="flash", rngs=RNGS),
            ValueError,
            "'implementation': expected one of 'plain'.* got 'flash'",
        ),
        (
            lambda: MultiHeadAttention(9, 3, rotary_positions=True, rngs=RNGS),
            ValueError,
            "'rotary_positions': .*even head width.*got 3",
        ),
        (lambda: MODULE(X[0]), ValueError, r"'x': expected rank 3 .*got float32\[7, 30\]"),
        (lambda: MODULE(X[..., :29]), ValueError, r"'x': expected .*30\].*float32\[2, 7, 29\]"),
        (lambda: MODULE(X[:0]), ValueError, r"no empty axis, got float32\[0, "),
        (lambda: MODULE(X, C[0]), ValueError, r"'context': .*batch of x, got float32\[11, 30\]"),
        (lambda: MODULE(X, C[:1]), ValueError, r"'context': .*got float32\[1, 11, 30\]"),
        (lambda: MODULE(X, C[..., :5]), ValueError, r"expected \[..., 30\].*float32\[2, 11, 5\]"),
        (lambda: TURNED(X, C), ValueError, "'context': expected None: rotary positions are for"),
        (lambda: MODULE(X, mask=jnp.ones((7, 7))), TypeError, r"'mask': expected a boolean array"),
        (lambda: MODULE(X, mask=jnp.ones((7, 11), bool)), ValueError, r"'mask': .*bool\[7, 11\]"),
        (lambda: TURNED(X, positions=jnp.arange(8)), ValueError, r"'positions': .*int32\[8\]"),
        (lambda: MODULE(X, positions=jnp.arange(7)), ValueError, "'positions': expected None"),
        (lambda: MODULE.init_cache(0, 5), ValueError, "'batch': expected at least 1, got 0"),
        (lambda: MODULE.init_cache(2, 0), ValueError, "'length': expected at least 1, got 0"),
        (
            lambda: MODULE.decode(X[:1], MODULE.init_cache(2, 9)),
            ValueError,
            r"decode: argument 'x': expected \[2, T, M\].*got float32\[1, 7, 30\]",
        ),
        (lambda: MODULE.decode(X[0], MODULE.init_cache(2, 9)), ValueError, r"'x': .*\[7, 30\]"),
        (lambda: MODULE.prefill(X, 6), ValueError, "'length': expected at least 7, got 6"),
        (lambda: TURNED.project_context(C), ValueError, "'context': expected None: rotary positio"),
        (lambda: TURNED.prefill(X, 9), ValueError, "'self': expected no rotary_positions"),
        (lambda: split_heads(X[0], 3), ValueError, r"split_heads: argument 'x': .*rank 3"),
        (lambda: split_heads(X, 7), ValueError, "'heads': expected a divisor of the width 30, got"),
        (lambda: merge_heads(X), ValueError, "merge_heads: argument 'x': expected rank 4"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_fresh_cache_can_be_donated_and_an_overfull_one_shows():
    """Inside jit the cache's length is not known, so what does not fit is NaN, not wrong."""
    layer = MultiHeadAttention(6, 2, rngs=nnx.Rngs(0))
    decode = jax.jit(lambda x, cache: layer.decode(x, cache), donate_argnums=1)
    cache, x = layer.init_cache(1, 2), jnp.ones((1, 1, 6))
    finite = []
    for _ in range(3):
        out, cache = decode(x, cache)
        finite.append(bool(jnp.isfinite(out).all()))
    assert finite == [True, True, False]


def test_a_context_of_another_width_may_not_be_left_out():
    layer = MultiHeadAttention(6, 2, context_width=10, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="MultiHeadAttention.*'context'.*10.*None"):
        layer(jnp.ones((1, 3, 6)))


def test_with_weights_takes_positions():
    layer = MultiHeadAttention(8, 2, rotary_positions=True, rngs=nnx.Rngs(0))
    x, positions = jax.random.normal(jax.random.key(0), (1, 5, 8)), jnp.arange(5) * 3
    out, _ = layer.with_weights(x, positions=positions)
    np.testing.assert_allclose(out, layer(x, positions=positions), atol=1e-6)
