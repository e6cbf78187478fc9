"""Positions on a grid: against the oracle, and what the dot product of two codes depends on."""

import numpy as np
import pytest

from mmjax import formulas
from mmjax.attention.positions import sinusoidal_positions
from mmjax.modalities import grid_positions


@pytest.mark.parametrize(("sizes", "width"), [((5, 7), 12), ((3, 5, 2), 18), ((7,), 6)])
@pytest.mark.parametrize("base", [10_000.0, 50.0])
def test_equals_the_formula(sizes, width, base):
    table = grid_positions(sizes, width, base=base)
    assert table.shape == (np.prod(sizes), width) and table.dtype == np.float32
    expected = formulas.grid_positions(sizes, width, base)
    np.testing.assert_allclose(table, expected, atol=1e-6)


def test_one_axis_is_the_sinusoidal_table():
    np.testing.assert_array_equal(grid_positions((7,), 10), sinusoidal_positions(7, 10))


def test_a_dot_product_depends_on_the_offsets_alone():
    rows, columns = 5, 7
    table = np.asarray(grid_positions((rows, columns), 12)).reshape(rows, columns, 12)
    dots = np.einsum("rsm,uvm->rsuv", table, table)
    for r, s, u, v in np.ndindex(rows - 1, columns - 1, rows - 1, columns - 1):
        moved = dots[r + 1, s + 1, u + 1, v + 1]
        assert dots[r, s, u, v] == pytest.approx(moved, abs=1e-5)
    assert dots[0, 0, 0, 1] != pytest.approx(dots[0, 0, 0, 2], abs=0.01)
    assert dots[0, 0, 0, 1] == pytest.approx(dots[0, 0, 1, 0], abs=1e-5)


def test_every_place_has_a_code_of_its_own():
    table = np.asarray(grid_positions((2, 3, 5), 12))
    distances = np.linalg.norm(table[:, None] - table[None], axis=-1) + 9 * np.eye(30)
    assert distances.min() > 0.01


@pytest.mark.parametrize(
    ("sizes", "width", "error", "message"),
    [
        ((), 8, ValueError, "'sizes': expected at least one axis"),
        ((3, 0), 8, ValueError, "'sizes': expected at least 1, got 0"),
        ((3, 2.0), 8, TypeError, "'sizes': expected a whole number, got 2.0"),
        ((3, 2), 6, ValueError, "'width': expected a multiple of 4, got 6"),
        ((3, 2, 2), 8, ValueError, "'width': expected a multiple of 6, got 8"),
        ((3, 2), 0, ValueError, "'width': expected at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_named(sizes, width, error, message):
    with pytest.raises(error, match=f"grid_positions: argument {message}"):
        grid_positions(sizes, width)
