"""Positions: the sinusoidal table and the rotary turn, against the oracle and their properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mmjax import formulas
from mmjax.attention.positions import rotary, sinusoidal_positions


@pytest.mark.parametrize(("length", "width"), [(1, 2), (7, 10), (50, 22)])
@pytest.mark.parametrize("base", [10_000.0, 100.0])
def test_sinusoidal_is_the_formula(length, width, base):
    table = sinusoidal_positions(length, width, base=base)
    assert table.shape == (length, width) and table.dtype == jnp.float32
    expected = formulas.sinusoidal_positions(length, width, base)
    np.testing.assert_allclose(table, expected, atol=1e-7)


def test_a_shift_of_sinusoidal_positions_is_a_turn():
    """PE[t + k] is PE[t] turned by a matrix that depends on k only, as the paper says."""
    table = np.asarray(sinusoidal_positions(20, 6), np.float64)
    sin, cos = table[:, 0::2], table[:, 1::2]
    turn = (cos[3] + 1j * sin[3])[None]
    np.testing.assert_allclose((cos + 1j * sin)[3:], (cos + 1j * sin)[:-3] * turn, atol=1e-6)


@pytest.mark.parametrize("base", [10_000.0, 500.0])
def test_rotary_is_the_formula(x64, base):
    rng = np.random.default_rng(0)
    x, positions = rng.normal(size=(2, 3, 5, 14)), np.array([0, 1, 2, 17, 1000])
    out = rotary(jnp.asarray(x), jnp.asarray(positions), base=base)
    assert out.dtype == jnp.float64
    for b, h in np.ndindex(2, 3):
        expected = formulas.rotary(x[b, h], positions, base)
        np.testing.assert_allclose(out[b, h], expected, atol=1e-12)


def test_rotary_takes_positions_of_every_example(x64):
    rng = np.random.default_rng(1)
    x, positions = rng.normal(size=(2, 3, 5, 14)), rng.integers(0, 100, (2, 5))
    out = rotary(jnp.asarray(x), jnp.asarray(positions))
    for b, h in np.ndindex(2, 3):
        np.testing.assert_allclose(out[b, h], formulas.rotary(x[b, h], positions[b]), atol=1e-12)


def test_rotary_scores_depend_on_differences_only(x64):
    q, k = (jnp.asarray(x) for x in np.random.default_rng(2).normal(size=(2, 7, 10)))
    positions = jnp.array([3, 1, 4, 15, 9, 2, 6])
    scores = rotary(q, positions) @ rotary(k, positions).T
    shifted = rotary(q, positions + 123) @ rotary(k, positions + 123).T
    np.testing.assert_allclose(shifted, scores, atol=1e-11)
    moved = rotary(q, positions + 1) @ rotary(k, positions).T
    assert np.abs(moved - scores).max() > 0.1


def test_rotary_keeps_lengths_and_leaves_position_zero(x64):
    x = jnp.asarray(np.random.default_rng(3).normal(size=(5, 6)))
    out = rotary(x, jnp.array([0, 1, 2, 3, 4]))
    np.testing.assert_allclose(jnp.linalg.norm(out, axis=1), jnp.linalg.norm(x, axis=1))
    np.testing.assert_array_equal(out[0], x[0])


def test_rotary_gradient(x64):
    x = jnp.asarray(np.random.default_rng(4).normal(size=(3, 4)))
    check_grads(lambda x: rotary(x, jnp.arange(3)), (x,), order=1, modes=["fwd", "rev"])


def test_rotary_angles_of_bfloat16_are_computed_in_float32():
    """Position 1001 does not exist in bfloat16 (1000 and 1004 do), so narrow angles would show."""
    x = np.random.default_rng(5).normal(size=(1, 8)).astype(np.float32)
    out = rotary(jnp.asarray(x, jnp.bfloat16), jnp.array([1001]))
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(out, np.float64), formulas.rotary(x, [1001]), atol=0.03)


def test_rotary_under_jit_with_traced_positions():
    x = jnp.ones((2, 3, 5, 4))
    np.testing.assert_allclose(
        jax.jit(rotary)(x, jnp.arange(5)), rotary(x, jnp.arange(5)), atol=1e-6
    )


X = jnp.ones((2, 3, 5, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sinusoidal_positions(0, 4), "'length': expected at least 1, got 0"),
        (lambda: sinusoidal_positions(4, 5), "'width': expected an even number, got 5"),
        (lambda: sinusoidal_positions(4, 0), "'width': expected an even number, got 0"),
        (
            lambda: rotary(X[..., :3], jnp.arange(5)),
            r"'x': expected .* even D, got float32\[2, 3, 5, 3\]",
        ),
        (lambda: rotary(X, jnp.arange(4)), r"'positions': expected \[T\] or .*got int32\[4\]"),
        (lambda: rotary(X, jnp.zeros((5, 2), int)), r"'positions': .*got int32\[5, 2\]"),
        (lambda: rotary(X[0], jnp.zeros((2, 5), int)), r"'positions': .*got int32\[2, 5\]"),
        (lambda: rotary(X, jnp.zeros((1, 2, 5), int)), r"'positions': .*got int32\[1, 2, 5\]"),
        (
            lambda: rotary(jnp.ones(4), jnp.arange(1)),
            r"'x': expected .*rank 2 or more.*float32\[4\]",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rotary_of_integers_is_a_type_error():
    with pytest.raises(TypeError, match=r"'x': expected a floating.*got int32\[2, 4\]"):
        rotary(jnp.ones((2, 4), jnp.int32), jnp.arange(2))
