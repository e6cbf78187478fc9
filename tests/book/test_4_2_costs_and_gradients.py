"""Section 4.2, equations 20 and 23 to 37: costs, gradients, other libraries. In float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import attention, formulas
from mmjax.measure import matrix_flops, numbers_kept

T, S, H, D = 5, 7, 3, 2
M = H * D
NAMES = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-11)


@jax.jit
def multi_head(arrays):
    """Multi-head attention with biases in jax.numpy, straight from the formula, for jax.grad."""
    X, Y = arrays["X"], arrays["Y"]
    out = jnp.zeros((X.shape[0], M)) + arrays["b_O"][None]
    for h in range(H):
        Q = X @ arrays["W_Q"][h] + arrays["b_Q"][h][None]
        K = Y @ arrays["W_K"][h] + arrays["b_K"][h][None]
        V = Y @ arrays["W_V"][h] + arrays["b_V"][h][None]
        e = jnp.exp(Q @ K.T / math.sqrt(D))
        out = out + e / e.sum(axis=1, keepdims=True) @ V @ arrays["W_O"][h]
    return out


def empty(*sizes, **options):
    """The package's layer with shapes only: the tests count them, or put numbers in."""
    make = lambda: attention.MultiHeadAttention(*sizes, **options, rngs=nnx.Rngs(0))  # noqa: E731
    return nnx.eval_shape(make)


@nnx.jit
def run(layer, X, Y):
    return layer(X, Y)


@pytest.fixture
def arrays():
    random = np.random.default_rng(43)
    shapes = {"X": (T, M), "Y": (S, M), "W_O": (H, D, M), "b_O": (M,)}
    shapes |= {f"W_{name}": (H, M, D) for name in "QKV"} | {f"b_{name}": (H, D) for name in "QKV"}
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


@pytest.fixture
def dO():
    return np.random.default_rng(44).normal(size=(T, M))


@pytest.fixture
def truth(arrays, dO, x64):
    """All gradients of L = Σ dO ∘ O, by automatic differentiation of the formula."""
    loss = lambda arrays: (jnp.asarray(dO) * multi_head(arrays)).sum()  # noqa: E731
    gradients = jax.jit(jax.grad(loss))(jax.tree.map(jnp.asarray, arrays))
    return jax.tree.map(np.asarray, gradients)


def by_hand(arrays, dO, h):
    """Q, K, V, P, O_h of head h, and dZ, dO_h by (4.1.25), (4.1.26) and (4.2.29)."""
    X, Y = arrays["X"], arrays["Y"]
    Q = X @ arrays["W_Q"][h] + arrays["b_Q"][h]
    K = Y @ arrays["W_K"][h] + arrays["b_K"][h]
    V = Y @ arrays["W_V"][h] + arrays["b_V"][h]
    P = formulas.attention_weights(Q, K)
    dO_h = dO @ arrays["W_O"][h].T
    dP = dO_h @ V.T
    dZ = P * (dP - (P * dP).sum(axis=1, keepdims=True))
    return Q, K, V, P, P @ V, dZ, dO_h


@pytest.mark.equation("4.2.20")
def test_a_shared_key_learns_from_every_head_of_its_group(x64):
    """dW_g^K = Σ_{h: g(h)=g} dW_h^K: the package with groups against the formula without."""
    random, heads, groups = np.random.default_rng(0), 4, 2
    layer = empty(8, heads, key_value_heads=groups)
    for one in (layer.query, layer.key, layer.value, layer.output):
        one.kernel = nnx.Param(jnp.asarray(random.normal(size=one.kernel.shape)))
        one.bias = nnx.Param(jnp.asarray(random.normal(size=one.bias.shape)))
    X, dO = jnp.asarray(random.normal(size=(1, T, 8))), jnp.asarray(random.normal(size=(1, T, 8)))
    gradient = nnx.jit(nnx.grad(lambda layer: (layer(X) * dO).sum()))
    grouped, full = gradient(layer), empty(8, heads)
    full.query, full.output = layer.query, layer.output
    for name in ("key", "value"):
        one = getattr(full, name)
        kernel, bias = getattr(layer, name).kernel[...], getattr(layer, name).bias[...]
        repeat = np.repeat(np.arange(4).reshape(groups, 2), heads // groups, axis=0).reshape(-1)
        one.kernel, one.bias = nnx.Param(kernel[:, repeat]), nnx.Param(bias[repeat])
    each = np.asarray(gradient(full)["key"]["kernel"][...])
    right = each.reshape(8, groups, heads // groups, 2).sum(axis=2)
    close(grouped["key"]["kernel"][...], right.reshape(8, 4))


@pytest.mark.equation("4.2.23")
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("width", "heads", "groups", "context"), [(12, 6, 2, 5), (8, 2, 2, 8)])
def test_number_of_parameters(width, heads, groups, context, use_bias):
    """N = 2 M H D + 2 M_Y H_kv D [+ H D + 2 H_kv D + M], counted in the package's layer."""
    layer = empty(width, heads, key_value_heads=groups, context_width=context, use_bias=use_bias)
    counted = sum(x.size for x in jax.tree.leaves(nnx.state(layer, nnx.Param)))
    head = width // heads
    formula = 2 * width * heads * head + 2 * context * groups * head
    formula += use_bias * (heads * head + 2 * groups * head + width)
    assert counted == formula


@pytest.mark.equation("4.2.24")
@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_number_of_parameters_at_the_same_width(heads):
    """N = 4 M² [+ 4 M], whatever the number of heads."""
    for use_bias in (False, True):
        layer = empty(8, heads, use_bias=use_bias)
        counted = sum(x.size for x in jax.tree.leaves(nnx.state(layer, nnx.Param)))
        assert counted == 4 * 8**2 + use_bias * 4 * 8


def counted_flops(query_length, key_length, heads, groups, context=M, width=M):
    layer = empty(width, heads, key_value_heads=groups, context_width=context)
    graph, state = nnx.split(layer)
    x = jax.ShapeDtypeStruct((1, query_length, width), jnp.float32)
    y = jax.ShapeDtypeStruct((1, key_length, context), jnp.float32)
    return matrix_flops(lambda state, x, y: nnx.merge(graph, state)(x, y), state, x, y)


@pytest.mark.equation("4.2.25", "4.2.26")
@pytest.mark.parametrize(("heads", "groups", "context"), [(6, 6, 6), (6, 2, 5), (3, 1, 4)])
def test_operations(heads, groups, context):
    """F = 4 T M H D + 4 S M_Y H_kv D + 4 T S H D; the part ∝ T S is told apart by its mixed
    difference in T and S.
    """
    head = M // heads
    projections = 4 * T * M * heads * head + 4 * S * context * groups * head
    scores = 4 * T * S * heads * head
    assert counted_flops(T, S, heads, groups, context) == projections + scores
    corners = [counted_flops(t, s, heads, groups, context) for t in (T, 2 * T) for s in (S, 2 * S)]
    assert corners[3] - corners[2] - corners[1] + corners[0] == scores


@pytest.mark.equation("4.2.27")
@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_operations_of_self_attention(heads):
    """F = 8 T M² + 4 T² M, whatever the number of heads."""
    assert counted_flops(T, T, heads, heads) == 8 * T * M**2 + 4 * T**2 * M


@jax.custom_vjp
def attention_by_hand(Q, K, V):
    """All heads [H, T, D] at once, with the backward pass of section 4.1."""
    return keep(Q, K, V)[0]


def keep(Q, K, V):
    P = jax.nn.softmax(jnp.einsum("htd,hsd->hts", Q, K) / math.sqrt(Q.shape[-1]), axis=-1)
    return jnp.einsum("hts,hsd->htd", P, V), (Q, K, V, P)


def pull_back(kept, dO):
    Q, K, V, P = kept
    dP = jnp.einsum("htd,hsd->hts", dO, V)
    dZ = P * (dP - (P * dP).sum(axis=-1, keepdims=True)) / math.sqrt(Q.shape[-1])
    products = ("hts,hsd->htd", dZ, K), ("hts,htd->hsd", dZ, Q), ("hts,htd->hsd", P, dO)
    return tuple(jnp.einsum(*product) for product in products)


attention_by_hand.defvjp(keep, pull_back)


@pytest.mark.equation("4.2.28")
@pytest.mark.parametrize("heads", [1, 2, 8])
def test_numbers_kept_for_the_backward_pass(heads, x64):
    """N = T M + 2 S M + H T S: that many are enough, and the plain form keeps no fewer."""
    width = 16
    shapes = [(heads, n, width // heads) for n in (T, S, S, T)]
    random = np.random.default_rng(heads)
    *inputs, dO = [jnp.asarray(random.normal(size=shape)) for shape in shapes]
    formula = T * width + 2 * S * width + heads * T * S
    assert numbers_kept(attention_by_hand, *inputs) == formula
    assert numbers_kept(attention.scaled_dot_product_attention, *inputs) >= formula
    gradients = jax.jit(lambda dO, *inputs: jax.vjp(attention_by_hand, *inputs)[1](dO))(dO, *inputs)
    for h in range(heads):
        one_head = formulas.attention_gradients(*(a[h] for a in inputs), dO[h])
        for left, right in zip(gradients, one_head, strict=True):
            close(left[h], right)


@pytest.mark.equation("4.2.29")
def test_gradients_of_the_output_map_and_of_a_head(arrays, dO, truth, x64):
    """dW_h^O = O_hᵀ dO, dO_h = dO W_h^Oᵀ; the second by the slope along a change of one head."""
    for h in range(H):
        O_h, dO_h = by_hand(arrays, dO, h)[4], by_hand(arrays, dO, h)[6]
        close(O_h.T @ dO, truth["W_O"][h])
        for t, d in np.ndindex(T, D):  # L is linear in O_h: a step of 1 gives the derivative
            moved = np.zeros((T, D))
            moved[t, d] = 1
            close((dO * (moved @ arrays["W_O"][h])).sum(), dO_h[t, d])


@pytest.mark.equation("4.2.30")
def test_gradient_of_the_value_projection(arrays, dO, truth):
    """dW_h^V = Yᵀ P_hᵀ dO_h."""
    for h in range(H):
        _, _, _, P, _, _, dO_h = by_hand(arrays, dO, h)
        close(arrays["Y"].T @ P.T @ dO_h, truth["W_V"][h])


@pytest.mark.equation("4.2.31")
def test_gradients_of_the_query_and_key_projections(arrays, dO):
    """dW_h^Q = Xᵀ dZ_h Y W_h^K / √D, dW_h^K = Yᵀ dZ_hᵀ X W_h^Q / √D, without biases."""
    arrays |= {f"b_{name}": np.zeros((H, D)) for name in "QKV"}
    with jax.enable_x64(True):
        loss = lambda arrays: (jnp.asarray(dO) * multi_head(arrays)).sum()  # noqa: E731
        truth = jax.grad(loss)(jax.tree.map(jnp.asarray, arrays))
    X, Y = arrays["X"], arrays["Y"]
    for h in range(H):
        dZ = by_hand(arrays, dO, h)[5]
        close(X.T @ dZ @ Y @ arrays["W_K"][h] / math.sqrt(D), truth["W_Q"][h])
        close(Y.T @ dZ.T @ X @ arrays["W_Q"][h] / math.sqrt(D), truth["W_K"][h])


@pytest.mark.equation("4.2.32")
def test_query_and_key_gradients_balance(arrays, dO):
    """W_h^Qᵀ dW_h^Q = dW_h^Kᵀ W_h^K for any loss, without biases; here in the package."""
    layer = empty(M, H, use_bias=False)
    with jax.enable_x64(True):
        for one, name in ((layer.query, "W_Q"), (layer.key, "W_K"), (layer.value, "W_V")):
            one.kernel = nnx.Param(jnp.asarray(np.concatenate(list(arrays[name]), axis=1)))
        layer.output.kernel = nnx.Param(jnp.asarray(arrays["W_O"].reshape(M, M)))
        X, Y = jnp.asarray(arrays["X"])[None], jnp.asarray(arrays["Y"])[None]
        gradients = nnx.jit(nnx.grad(lambda layer: jnp.sin(layer(X, Y)).sum()))(layer)
        dW_Q, dW_K = gradients["query"]["kernel"][...], gradients["key"]["kernel"][...]
        for h in range(H):
            columns = slice(h * D, (h + 1) * D)
            left = arrays["W_Q"][h].T @ np.asarray(dW_Q)[:, columns]
            close(left, np.asarray(dW_K)[:, columns].T @ arrays["W_K"][h])
            assert np.abs(left).max() > 1e-3


@pytest.mark.equation("4.2.33")
def test_gradients_of_the_biases(arrays, dO, truth):
    """db^Q = 1ᵀ dQ, db^K = 1ᵀ dK = 0, db^V = 1ᵀ dV, db^O = 1ᵀ dO."""
    for h in range(H):
        Q, K, V, _, _, _, dO_h = by_hand(arrays, dO, h)
        dQ, dK, dV = formulas.attention_gradients(Q, K, V, dO_h)
        close(dQ.sum(axis=0), truth["b_Q"][h])
        close(dK.sum(axis=0), truth["b_K"][h])
        close(truth["b_K"][h], np.zeros(D))
        close(dV.sum(axis=0), truth["b_V"][h])
        assert np.abs(truth["b_Q"][h]).max() > 1e-3
    close(dO.sum(axis=0), truth["b_O"])


@pytest.mark.equation("4.2.34")
def test_gradient_of_the_tokens_in_self_attention(arrays, dO, x64):
    """dX = Σ_h (dQ_h W_h^Qᵀ + dK_h W_h^Kᵀ + dV_h W_h^Vᵀ)."""
    arrays["Y"] = arrays["X"]
    weights = {name: jnp.asarray(arrays[name]) for name in NAMES}
    loss = lambda X: (jnp.asarray(dO) * multi_head(weights | {"X": X, "Y": X})).sum()  # noqa: E731
    right = np.zeros((T, M))
    for h in range(H):
        Q, K, V, _, _, _, dO_h = by_hand(arrays, dO, h)
        dQ, dK, dV = formulas.attention_gradients(Q, K, V, dO_h)
        right += dQ @ arrays["W_Q"][h].T + dK @ arrays["W_K"][h].T + dV @ arrays["W_V"][h].T
    close(jax.jit(jax.grad(loss))(jnp.asarray(arrays["X"])), right)


def wide(arrays):
    """Kernels [M, H·D] and [H·D, M], biases [H·D], in the package's layout."""
    kernels = [np.concatenate(list(arrays[f"W_{name}"]), axis=1) for name in "QKV"]
    return kernels, arrays["W_O"].reshape(H * D, M), [arrays[f"b_{n}"].reshape(-1) for n in "QKV"]


def package(arrays):
    kernels, W_O, biases = wide(arrays)
    layer = empty(M, H)
    maps = (layer.query, layer.key, layer.value)
    for one, kernel, bias in zip(maps, kernels, biases, strict=True):
        one.kernel, one.bias = nnx.Param(jnp.asarray(kernel)), nnx.Param(jnp.asarray(bias))
    layer.output.kernel = nnx.Param(jnp.asarray(W_O))
    layer.output.bias = nnx.Param(jnp.asarray(arrays["b_O"]))
    return layer


@pytest.mark.equation("4.2.35")
def test_the_weights_of_torch(arrays, x64):
    """W_in = [W^Q W^K W^V]ᵀ, W_out = W^Oᵀ: torch's layer with our weights gives our output."""
    torch = pytest.importorskip("torch")
    kernels, W_O, biases = wide(arrays)
    layer = torch.nn.MultiheadAttention(M, H, batch_first=True, dtype=torch.float64)
    state = {
        "in_proj_weight": np.concatenate(kernels, axis=1).T,
        "in_proj_bias": np.concatenate(biases),
        "out_proj.weight": W_O.T,
        "out_proj.bias": arrays["b_O"],
    }
    layer.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    X, Y = (torch.tensor(arrays[name])[None] for name in "XY")
    right, _ = layer(X, Y, Y, need_weights=False)
    left = run(package(arrays), jnp.asarray(arrays["X"])[None], jnp.asarray(arrays["Y"])[None])
    close(left, right.detach().numpy())


@pytest.mark.equation("4.2.36")
def test_the_weights_of_flax(arrays, x64):
    """Q_mhd = W^Q_{m,(h−1)D+d}, O_hdm = W^O_{(h−1)D+d,m}: flax's layer gives our output."""
    kernels, W_O, biases = wide(arrays)

    def attend(query, key, value, **_):  # [B, T, H, D]; flax's own would fall back to float32
        e = jnp.exp(jnp.einsum("bthd,bshd->bhts", query, key) / math.sqrt(D))
        return jnp.einsum("bhts,bshd->bthd", e / e.sum(axis=-1, keepdims=True), value)

    layer = nnx.MultiHeadAttention(
        H, M, dtype=jnp.float64, attention_fn=attend, decode=False, rngs=nnx.Rngs(0)
    )
    for one, kernel, bias in zip(
        (layer.query, layer.key, layer.value), kernels, biases, strict=True
    ):
        split = np.zeros((M, H, D))
        for m, h, d in np.ndindex(M, H, D):
            split[m, h, d] = kernel[m, h * D + d]
        one.kernel, one.bias = nnx.Param(jnp.asarray(split)), nnx.Param(bias.reshape(H, D))
    split = np.zeros((H, D, M))
    for h, d, m in np.ndindex(H, D, M):
        split[h, d, m] = W_O[h * D + d, m]
    layer.out.kernel, layer.out.bias = nnx.Param(jnp.asarray(split)), nnx.Param(arrays["b_O"])
    X, Y = (jnp.asarray(arrays[name])[None] for name in "XY")
    right = run(layer, X, Y)
    assert right.dtype == jnp.float64
    close(run(package(arrays), X, Y), right)


@pytest.mark.equation("4.2.37")
def test_the_order_of_the_heads_means_nothing(arrays, x64):
    """Σ_h head_π(h) W_π(h)^O = Σ_h head_h W_h^O."""
    X, Y = (jnp.asarray(arrays[name])[None] for name in "XY")
    out = run(package(arrays), X, Y)
    permuted = {
        name: array[[2, 0, 1]] if name in NAMES[:7] else array for name, array in arrays.items()
    }
    close(run(package(permuted), X, Y), out)
