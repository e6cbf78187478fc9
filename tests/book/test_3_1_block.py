"""Section 3.1, from attention to a block: both sides of every equation in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import (
    MLP,
    LayerNorm,
    Transformer,
    TransformerBlock,
    TransformerConfig,
    layer_norm,
)
from mmjax.attention import gelu as package_gelu

T, M, H, F, LAYERS = 5, 6, 2, 7, 3
EPSILON = 1e-5


@pytest.fixture
def random():
    return np.random.default_rng(311)


@pytest.fixture
def X(random):
    return random.normal(size=(T, M))


def close(left, right, tolerance=1e-11):
    assert np.asarray(left).dtype == np.float64
    np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


def filled(module, random):
    """Random float64 numbers everywhere: norms and biases start at one and zero."""

    def fill(leaf):
        return jnp.asarray(random.normal(size=leaf.shape) / math.sqrt(leaf.shape[-1]))

    nnx.update(module, jax.tree.map(fill, nnx.state(module, nnx.Param)))
    return module


def numpy_of(part):
    return {name: np.asarray(value) for name, value in nnx.to_pure_dict(nnx.state(part)).items()}


def norm(part, X):
    return formulas.layer_norm(X, **numpy_of(part), epsilon=EPSILON)


def mlp(part, X):
    first, second = numpy_of(part.expand), numpy_of(part.contract)
    hidden = formulas.gelu(X @ first["kernel"] + first["bias"])
    return hidden @ second["kernel"] + second["bias"]


def attention(layer, X):
    """Equations (4.2.1) and (4.2.2) with biases, head by head."""
    query, key, value, output = (
        numpy_of(part) for part in (layer.query, layer.key, layer.value, layer.output)
    )
    D, heads = M // H, []
    for h in range(H):
        columns = slice(h * D, (h + 1) * D)
        rows = [
            X @ part["kernel"][:, columns] + part["bias"][columns] for part in (query, key, value)
        ]
        heads.append(formulas.scaled_dot_product_attention(*rows))
    return np.concatenate(heads, axis=1) @ output["kernel"] + output["bias"]


@pytest.fixture
def block(random, x64):
    config = TransformerConfig(layers=1, width=M, heads=H, hidden=F)
    return filled(TransformerBlock(config, rngs=nnx.Rngs(0)), random)


@pytest.mark.equation("3.1.11")
def test_the_network_works_on_each_token_alone(X, random, x64):
    """MLP(x) = GELU(x W_1 + b_1) W_2 + b_2, number by number."""
    part = filled(MLP(M, F, rngs=nnx.Rngs(0)), random)
    first, second = numpy_of(part.expand), numpy_of(part.contract)
    left = np.asarray(part(jnp.asarray(X)))
    for t, m in np.ndindex(T, M):
        right = second["bias"][m]
        for f in range(F):
            z = sum(X[t, i] * first["kernel"][i, f] for i in range(M)) + first["bias"][f]
            right += z * 0.5 * (1 + math.erf(z / math.sqrt(2))) * second["kernel"][f, m]
        close(left[t, m], right)


@pytest.mark.equation("3.1.12")
def test_gelu_and_its_slope(x64):
    """z Φ(z) = z/2 (1 + erf(z/√2)); its derivative is Φ(z) + z Φ'(z)."""
    z = np.linspace(-6, 6, 41)
    cdf = np.asarray(jax.scipy.stats.norm.cdf(jnp.asarray(z)))
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    close(z * cdf, formulas.gelu(z))
    close(np.asarray(package_gelu(jnp.asarray(z))), formulas.gelu(z))
    close(np.asarray(jax.jit(jax.vmap(jax.grad(package_gelu)))(jnp.asarray(z))), cdf + z * density)
    close(np.asarray(jax.grad(package_gelu)(jnp.zeros(()))), 0.5)


@pytest.mark.equation("3.1.13")
def test_the_norm_of_each_token(X, random, x64):
    """γ ∘ (x − mean) / s + β with s² = variance + ε: the package against sums."""
    layer = filled(LayerNorm(M, epsilon=EPSILON), random)
    scale, bias = numpy_of(layer)["scale"], numpy_of(layer)["bias"]
    left = np.asarray(layer(jnp.asarray(X)))
    for t in range(T):
        mean = sum(X[t]) / M
        s = math.sqrt(sum((x - mean) ** 2 for x in X[t]) / M + EPSILON)
        close(left[t], [scale[i] * (X[t, i] - mean) / s + bias[i] for i in range(M)])
    plain = formulas.layer_norm(X, 1.0, 0.0, 0.0)
    close(plain.mean(axis=1), 0)
    close(plain.var(axis=1), 1)


@pytest.mark.equation("3.1.14")
@pytest.mark.parametrize("c", [0.01, 3.0, 100.0])
def test_the_norm_removes_scale_and_shift(X, random, c):
    """LN_ε(c x + d 1) = LN_{ε/c²}(x)."""
    scale, bias = random.normal(size=(2, M))
    d = random.normal(size=(T, 1))
    left = formulas.layer_norm(c * X + d, scale, bias, EPSILON)
    close(left, formulas.layer_norm(X, scale, bias, EPSILON / c**2), 1e-9)


@pytest.mark.equation("3.1.15")
def test_the_derivative_of_the_norm(X, x64):
    """∂x̂_i/∂x_j = (δ_ij − 1/M − x̂_i x̂_j / M) / s; with ε = 0 it removes 1 and x̂."""
    one, zero = jnp.ones(M), jnp.zeros(M)
    for epsilon in (0.0, 0.1):
        x = X[0]
        norm_of = jax.jit(jax.jacobian(lambda x, e=epsilon: layer_norm(x, one, zero, e)))
        left = norm_of(jnp.asarray(x))
        s = math.sqrt(x.var() + epsilon)
        hat = (x - x.mean()) / s
        right = (np.eye(M) - 1 / M - np.outer(hat, hat) / M) / s
        close(np.asarray(left), right)
        close(right @ np.ones(M), 0)
    hat = (x - x.mean()) / x.std()
    close((np.eye(M) - 1 / M - np.outer(hat, hat) / M) @ hat, 0)


@pytest.mark.equation("3.1.16")
def test_a_block_is_two_branches_added(block, X):
    """U = X + MultiHead(LN(X)), Y = U + MLP(LN(U)): the package against NumPy."""
    U = X + attention(block.attention, norm(block.attention_norm, X))
    Y = U + mlp(block.mlp, norm(block.mlp_norm, U))
    close(np.asarray(block(jnp.asarray(X)[None])[0]), Y)


@pytest.mark.equation("3.1.17")
def test_the_gradient_has_a_path_of_its_own(block, X):
    """∂Y/∂X = (I + J_B)(I + J_A) = I + J_A + J_B + J_B J_A."""

    def first(x):
        return block.attention(block.attention_norm(x[None]))[0]

    def second(u):
        return block.mlp(block.mlp_norm(u[None]))[0]

    def jacobian(function, at):
        return np.asarray(jax.jit(jax.jacobian(function))(at)).reshape(T * M, T * M)

    x = jnp.asarray(X)
    J_A, J_B, one = jacobian(first, x), jacobian(second, x + first(x)), np.eye(T * M)
    left = jacobian(lambda x: block(x[None])[0], x)
    close(left, (one + J_B) @ (one + J_A))
    close(left, one + J_A + J_B + J_B @ J_A)


@pytest.mark.equation("3.1.18")
def test_the_stream_is_a_sum_of_all_branches(X, random, x64):
    """X^(L) = X^(0) + Σ_l (A^(l) + B^(l)); the stack returns its norm."""
    config = TransformerConfig(layers=LAYERS, width=M, heads=H, hidden=F)
    model = filled(Transformer(config, rngs=nnx.Rngs(0)), random)
    graph, state = nnx.split(model.blocks)
    stream, written = jnp.asarray(X)[None], []
    for layer in range(LAYERS):
        block = nnx.merge(graph, jax.tree.map(lambda leaf, n=layer: leaf[n], state))
        A = block.attention(block.attention_norm(stream))
        B = block.mlp(block.mlp_norm(stream + A))
        written += [np.asarray(A[0]), np.asarray(B[0])]
        stream = block(stream)
    close(np.asarray(stream[0]), X + sum(written))
    close(np.asarray(model(jnp.asarray(X)[None])[0]), norm(model.norm, X + sum(written)))


@pytest.mark.equation("3.1.19")
@pytest.mark.parametrize("width", [6, 64])
def test_the_parameters_of_a_block(width):
    """N = 12 M² + 13 M with F = 4 M; two thirds of the matrices are in the MLP."""
    config = TransformerConfig(layers=1, width=width, heads=H)
    block = nnx.eval_shape(lambda: TransformerBlock(config, rngs=nnx.Rngs(0)))
    sizes = [leaf.size for leaf in jax.tree.leaves(nnx.state(block, nnx.Param))]
    assert sum(sizes) == 12 * width**2 + 13 * width
    matrices = [leaf.size for leaf in jax.tree.leaves(nnx.state(block.mlp)) if leaf.ndim == 2]
    assert sum(matrices) == 8 * width**2 == 12 * width**2 * 2 // 3


def test_a_block_knows_no_order_without_positions(block, X, random):
    """What the section says about (4.1.51): f(ΠX) = Π f(X) for the whole block."""
    order = random.permutation(T)
    out = np.asarray(block(jnp.asarray(X)[None])[0])
    close(np.asarray(block(jnp.asarray(X[order])[None])[0]), out[order])
