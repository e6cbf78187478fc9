"""Section 2.2, equations 17 to 29: parameters, operations and search. In float64 or exact."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerBlock, TransformerConfig
from mmjax.measure import matrix_flops
from mmjax.models.representation import (
    CoordinatedModel,
    CrossAttentionModel,
    JointModel,
    RepresentationConfig,
    Tokens,
)

M, E, LENGTHS, FEATURES = 6, 5, (4, 2, 3), (11, 3, 7)
K, T = 3, sum(LENGTHS)
SPECS = {str(k): Tokens(FEATURES[k], LENGTHS[k]) for k in range(K)}
N_IN = sum((f + 1 + t) * M for f, t in zip(FEATURES, LENGTHS, strict=True))


@functools.cache
def model(kind, layers, hidden):
    sizes = TransformerConfig(layers=layers, width=M, heads=2, hidden=hidden)
    config = RepresentationConfig(SPECS, sizes, E)
    return nnx.eval_shape(lambda: kind(config, rngs=nnx.Rngs(0)))


def count(module):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def operations(kind, layers, hidden):
    """Counted in the program, for one example, without the inputs' own products."""
    inputs = {
        name: (jnp.zeros((1, spec.length, spec.features)), None) for name, spec in SPECS.items()
    }
    graph, state = nnx.split(model(kind, layers, hidden))
    total = matrix_flops(lambda s, x: nnx.merge(graph, s)(x), state, inputs)
    return total - sum(2 * t * f * M for t, f in zip(LENGTHS, FEATURES, strict=True))


@pytest.mark.equation("2.2.17")
@pytest.mark.parametrize("F", [7, 24])
def test_parameters_of_a_layer(F):
    sizes = TransformerConfig(layers=1, width=M, heads=2, hidden=F)
    block = nnx.eval_shape(lambda: TransformerBlock(sizes, rngs=nnx.Rngs(0)))
    assert count(block) == 4 * M**2 + 2 * M * F + 9 * M + F


@pytest.mark.equation("2.2.18")
@pytest.mark.equation("2.2.19")
@pytest.mark.equation("2.2.20")
@pytest.mark.parametrize(("L", "F"), [(1, 7), (2, 24)])
def test_parameters_of_the_models(L, F):
    layer = 4 * M**2 + 2 * M * F + 9 * M + F
    joint = N_IN + K * M + L * layer + 2 * M + M * E
    contrastive = N_IN + K * (L * layer + 2 * M + M * E) + 1
    attention = N_IN + K * (L * (layer + 4 * M**2 + 6 * M) + 2 * M + M * E)
    assert count(model(JointModel, L, F)) == joint
    assert count(model(CoordinatedModel, L, F)) == contrastive
    assert count(model(CrossAttentionModel, L, F)) == attention


@pytest.mark.equation("2.2.21")
@pytest.mark.equation("2.2.22")
@pytest.mark.parametrize("L", [1, 2])
def test_equal_parameters(L):
    contrastive = count(model(CoordinatedModel, L, 4 * M))
    joint = count(model(JointModel, K * L, 4 * M))
    assert joint - contrastive == K * M - (K - 1) * (2 * M + M * E) - 1
    assert count(model(CrossAttentionModel, L, 2 * M)) - contrastive == 4 * K * L * M - 1


@pytest.mark.equation("2.2.23")
@pytest.mark.equation("2.2.24")
@pytest.mark.equation("2.2.25")
@pytest.mark.parametrize(("L", "F"), [(1, 7), (2, 24)])
def test_operations_of_the_models(L, F):
    joint = L * (8 * T * M**2 + 4 * T**2 * M + 4 * T * M * F) + 2 * M * E
    contrastive = sum(
        L * (8 * t * M**2 + 4 * t**2 * M + 4 * t * M * F) + 2 * M * E for t in LENGTHS
    )
    more = sum(4 * t * M**2 + 4 * (T - t) * M**2 + 4 * t * (T - t) * M for t in LENGTHS)
    assert operations(JointModel, L, F) == joint
    assert operations(CoordinatedModel, L, F) == contrastive
    assert operations(CrossAttentionModel, L, F) == contrastive + L * more


@pytest.mark.equation("2.2.26")
def test_the_joint_model_of_the_same_size_works_k_times_as_much():
    L, F = 2, 4 * M
    scores = {
        "joint": 4 * T**2 * M * K * L + 2 * M * E,
        "contrastive": sum(4 * t**2 * M * L + 2 * M * E for t in LENGTHS),
    }
    joint = operations(JointModel, K * L, F) - scores["joint"]
    contrastive = operations(CoordinatedModel, L, F) - scores["contrastive"]
    assert joint == K * contrastive


@pytest.mark.equation("2.2.27")
@pytest.mark.equation("2.2.28")
def test_operations_of_a_search():
    """Counted: N passes of each encoder and one product, against a pass for each pair."""
    N, L, F = 7, 1, 24
    names = list(SPECS)[:2]

    def counted(kind, rows, names):
        inputs = {k: (jnp.zeros((rows, SPECS[k].length, SPECS[k].features)), None) for k in names}
        graph, state = nnx.split(model(kind, L, F))
        return matrix_flops(lambda s, x: nnx.merge(graph, s)(x), state, inputs)

    F_a, F_b = (counted(CoordinatedModel, 1, [name]) for name in names)
    vectors = jax.ShapeDtypeStruct((N, E), jnp.float32)
    product = matrix_flops(lambda a, b: a @ b.T, vectors, vectors)
    both = sum(counted(CoordinatedModel, N, [name]) for name in names)
    assert both + product == N * (F_a + F_b) + 2 * N**2 * E
    assert counted(JointModel, N * N, names) == N**2 * counted(JointModel, 1, names)


@pytest.mark.equation("2.2.29")
@pytest.mark.parametrize(("N", "C"), [(5, 3), (500, 15)])
def test_a_class_finds_one_of_many_by_chance(N, C):
    q = 1 / C
    expected = sum(math.comb(N - 1, b) * q**b * (1 - q) ** (N - 1 - b) / (1 + b) for b in range(N))
    np.testing.assert_allclose(C / N * (1 - (1 - q) ** N), expected, rtol=1e-11)


def test_the_formulas_of_the_oracle_are_those_of_the_page():
    rows = [f + 1 for f in FEATURES]
    for kind, name in ((JointModel, "joint"), (CoordinatedModel, "coordinated")):
        expected = formulas.representation_parameters(name, rows, LENGTHS, 2, M, 24, E)
        assert count(model(kind, 2, 24)) == expected
