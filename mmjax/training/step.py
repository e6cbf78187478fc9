"""One training step, compiled: gradient, update, donated state; and several steps in one call."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from mmjax.checks import require

Batch = Any
LossFunction = Callable[[nnx.Module, Batch, Array], Array | tuple[Array, dict[str, Array]]]
"""loss(model, batch, key) → a scalar, or a scalar and a dict of other numbers to record."""


class TrainState(NamedTuple):
    """All that changes in training: a tree of arrays, to be donated, saved or sharded as one."""

    parameters: dict
    optimizer_state: Any
    step: Array


def init_state(model: nnx.Module, optimizer: optax.GradientTransformation) -> TrainState:
    """The state at step 0. The parameters are copied, so donating the state spares the model.

    Raises ValueError for a model with other variables than `nnx.Param`, such as the running
    averages of a batch norm: nothing here would update them.
    """
    _, parameters, others = nnx.split(model, nnx.Param, ...)
    kinds = sorted({type(variable).__name__ for _, variable in nnx.to_flat_state(others)})
    require(not kinds, "init_state", "model", expected="only nnx.Param variables", got=str(kinds))
    # A weak type would become a strong one in the first step, and the second compile again.
    parameters = jax.tree.map(lambda x: jnp.array(x, x.dtype), nnx.to_pure_dict(parameters))
    return TrainState(parameters, optimizer.init(parameters), jnp.zeros((), jnp.int32))


def with_parameters(model: nnx.Module, parameters: dict) -> nnx.Module:
    """A model of the same structure with a copy of these parameters.

    A copy, because the next training step uses up the arrays of the state.
    """
    return nnx.merge(nnx.graphdef(model), jax.tree.map(jnp.copy, parameters))


def make_train_step(
    model: nnx.Module, loss: LossFunction, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, dict]]:
    """Compiles step(state, batch, key) → (state, metrics); the state that goes in is used up.

    loss(model, batch, key) returns a scalar, or a scalar and a dict of numbers that are recorded
    and not differentiated. `key` is one for the whole training; each step folds its number into it,
    so no two steps see the same randomness. Metrics: loss, gradient_norm, and those of the dict.
    The first call raises ValueError where the dict has one of these two names.
    """
    return jax.jit(_step_function(model, loss, optimizer), donate_argnums=0)


def make_train_steps(
    model: nnx.Module, loss: LossFunction, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, Batch, Array], tuple[TrainState, dict]]:
    """Compiles K steps into one call: steps(state, batches, key) → (state, metrics).

    Every array of `batches` has a first axis of length K, and so have the metrics. The loop runs
    inside the compiled program, so Python's share of a step is divided by K.
    """
    step = _step_function(model, loss, optimizer)

    def steps(state: TrainState, batches: Batch, key: Array):
        return jax.lax.scan(lambda state, batch: step(state, batch, key), state, batches)

    return jax.jit(steps, donate_argnums=0)


def _step_function(model, loss, optimizer):
    graph = nnx.graphdef(model)

    def step(state: TrainState, batch: Batch, key: Array):
        step_key = jax.random.fold_in(key, state.step)

        def loss_of(parameters):
            out = loss(nnx.merge(graph, parameters), batch, step_key)
            return out if isinstance(out, tuple) else (out, {})

        of_parameters = jax.value_and_grad(loss_of, has_aux=True)
        (value, others), gradient = of_parameters(state.parameters)
        # optax raises floats to the power of its int32 step count: allowed here, and only here.
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(
                gradient, state.optimizer_state, state.parameters
            )
        parameters = optax.apply_updates(state.parameters, updates)
        clash = sorted(others.keys() & {"loss", "gradient_norm"})
        expected = "to record other names than 'loss' and 'gradient_norm'"
        require(not clash, "make_train_step", "loss", expected=expected, got=str(clash))
        metrics = others | {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        return TrainState(parameters, optimizer_state, state.step + 1), metrics

    return step
