"""Costs that are the same on every machine: counted in the program, not timed.

Times depend on the machine and on what else it does. Floating-point operations and bytes do not.
"""

import math
from collections.abc import Callable

import jax

from mmjax.checks import require


def matrix_flops(function: Callable, *arguments) -> int:
    """Floating-point operations of all matrix products of `function(*arguments)`.

    A product of [T, D] and [D, S] counts 2·T·S·D: a multiplication and an addition each. A loop of
    fixed length counts its body as often as it runs (XLA's own `cost_analysis` counts it once), and
    of the branches of a condition the most expensive one counts. arguments: arrays, or
    `jax.ShapeDtypeStruct` for sizes that shall not be allocated.
    Raises ValueError for a matrix product in a loop whose length depends on the data.
    """
    return _flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def compiled_flops(function: Callable, *arguments) -> int:
    """Floating-point operations of the compiled `function(*arguments)`, by XLA's own count.

    Beside the matrix products it holds softmax, norms and activations, so it is larger than
    `matrix_flops`. A loop's body counts once, however often it runs: unroll loops over layers
    (`TransformerConfig.unroll`). arguments: arrays or `jax.ShapeDtypeStruct`; nothing is run.
    """
    compiled = jax.jit(function).lower(*arguments).compile()
    return int(compiled.cost_analysis().get("flops", 0))  # no entry where there are none


def temporary_bytes(function: Callable, *arguments) -> int:
    """Bytes of working memory that the compiled `function(*arguments)` asks for.

    This is the room for what is neither an argument nor a result. Scratch that a library call
    allocates for itself is not in it. arguments: arrays or `jax.ShapeDtypeStruct`; nothing is run.
    """
    compiled = jax.jit(function).lower(*arguments).compile()
    return int(compiled.memory_analysis().temp_size_in_bytes)


def numbers_kept(function: Callable, *arguments) -> int:
    """How many numbers `function` keeps from its forward for its backward pass.

    Arrays that are kept twice count once. arguments: arrays; the forward pass is run. Scalars are
    left out, as they are not worth counting.
    """
    _, backward = jax.vjp(function, *arguments)
    kept = {id(x): x.size for x in jax.tree.leaves(backward) if getattr(x, "ndim", 0) > 0}
    return sum(kept.values())


def _flops(jaxpr) -> int:
    return sum(_flops_of(equation) for equation in jaxpr.eqns)


def _flops_of(equation) -> int:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return (
            2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[i] for i in contracted)
        )
    inner = [_flops(jaxpr) for value in parameters.values() for jaxpr in _jaxprs(value)]
    if name == "while":
        known = not any(inner)
        expected = "no matrix product in a loop whose length depends on the data"
        require(known, "matrix_flops", "function", expected=expected, got="one that has")
    if name == "cond":
        return max(inner)
    return sum(inner) * parameters.get("length", 1) if name == "scan" else sum(inner)


def _jaxprs(value):
    """The programs inside a parameter of an equation: of a loop, a branch, a called function."""
    if hasattr(value, "eqns"):
        yield value
    elif hasattr(value, "jaxpr"):
        yield value.jaxpr
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _jaxprs(part)
