"""Costs counted in the program: closed forms for products, loops, branches, working memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.measure import compiled_flops, matrix_flops, numbers_kept, temporary_bytes

A, B = np.ones((3, 5), np.float32), np.ones((5, 7), np.float32)
SQUARE = np.ones((5, 5), np.float32)


def test_a_matrix_product_counts_a_multiplication_and_an_addition_each():
    assert matrix_flops(jnp.matmul, A, B) == 2 * 3 * 5 * 7
    batched = jax.ShapeDtypeStruct((2, 3, 5), jnp.float32)
    assert matrix_flops(lambda x: jnp.einsum("bij,bkj->bik", x, x), batched) == 2 * 2 * 3 * 3 * 5


def test_a_loop_of_fixed_length_counts_its_body_as_often_as_it_runs():
    def loop(x, square):
        return jax.lax.fori_loop(0, 4, lambda _, x: x @ square, x)

    def nested(x, square):
        return jax.lax.scan(lambda x, _: (jax.jit(loop)(x, square), None), x, None, length=3)[0]

    assert matrix_flops(loop, A, SQUARE) == 4 * 2 * 3 * 5 * 5
    assert matrix_flops(nested, A, SQUARE) == 3 * 4 * 2 * 3 * 5 * 5


def test_a_loop_of_unknown_length_is_refused():
    def loop(x, square):
        return jax.lax.while_loop(lambda x: x.sum() < 1e6, lambda x: x @ square, x)

    with pytest.raises(ValueError, match="length depends on the data"):
        matrix_flops(loop, A, SQUARE)


def test_of_two_branches_the_most_expensive_counts():
    def choose(x, square):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ square @ square, lambda: x @ square)

    assert matrix_flops(choose, A, SQUARE) == 2 * 2 * 3 * 5 * 5


def test_the_compiled_program_counts_its_products_and_a_loop_once():
    product = 2 * 3 * 5 * 5
    assert compiled_flops(jnp.matmul, A, SQUARE) == product
    assert product <= compiled_flops(lambda x, y: jnp.tanh(x @ y) + x, A, SQUARE) <= 2 * product
    steps = [
        lambda x, y, unroll=unroll: jax.lax.scan(
            lambda x, _: (x @ y, None), x, None, length=4, unroll=unroll
        )[0]
        for unroll in (1, 4)
    ]
    looped, unrolled = (compiled_flops(step, A, SQUARE) for step in steps)
    assert looped < 2 * product and unrolled == 4 * product


def test_a_program_that_computes_nothing_has_no_operations():
    assert compiled_flops(lambda x: x, A) == 0


def test_working_memory_is_what_is_neither_argument_nor_result():
    x = jax.ShapeDtypeStruct((512, 4), jnp.float32)
    outer = temporary_bytes(lambda x: jnp.tanh(x @ x.T) @ x, x)
    assert 512 * 512 * 4 <= outer <= 2.5 * 512 * 512 * 4
    assert temporary_bytes(lambda x: x + 1.0, x) == 0


def test_numbers_kept_for_the_backward_pass():
    assert numbers_kept(jnp.matmul, A, B) == A.size + B.size
    assert numbers_kept(lambda x: x @ x, SQUARE) == SQUARE.size
    assert numbers_kept(lambda x: 3.0 * x, SQUARE) == 0
