"""The training loop: batches in, a trained model and its history out."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import jax
import numpy as np
import optax
from flax import nnx

from mmjax.checks import require
from mmjax.training.step import LossFunction, init_state, make_train_steps, with_parameters


@dataclass
class History:
    """What happened: a list for each metric with one value a step, and the time of training.

    `compile_seconds` is the time of the first call, which compiles; `seconds` and `examples` count
    the calls after it.
    """

    metrics: dict[str, list[float]] = field(default_factory=dict)
    compile_seconds: float = 0.0
    seconds: float = 0.0
    examples: int = 0

    @property
    def speed(self) -> float:
        """Examples a second, compilation left out; 0 before the second call."""
        return self.examples / self.seconds if self.seconds else 0.0

    def record(self, metrics: dict[str, np.ndarray], seconds: float, examples: int) -> None:
        """Adds the metrics of one call, its seconds and its number of examples."""
        if not self.metrics:
            self.compile_seconds = seconds
        else:
            self.seconds, self.examples = self.seconds + seconds, self.examples + examples
        for name, values in metrics.items():
            self.metrics.setdefault(name, []).extend(np.asarray(values).tolist())


def batches(
    data: dict[str, np.ndarray], batch_size: int, *, seed: int
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches in random order, no example twice in an epoch; the seed fixes the order.

    data: arrays with the same first axis N. The last N mod batch_size examples of an epoch wait
    for another epoch, so that all batches have one shape. Raises ValueError for no data, arrays of
    different lengths, or a batch size that is not between 1 and N.
    """
    require(len(data) > 0, "batches", "data", expected="at least one array", got=data)
    lengths = {name: len(array) for name, array in data.items()}
    size = next(iter(lengths.values()))
    same = all(length == size for length in lengths.values())
    require(same, "batches", "data", expected="arrays of one length", got=lengths)
    ok = 1 <= batch_size <= size
    require(ok, "batches", "batch_size", expected=f"between 1 and {size}", got=batch_size)
    return _batches(data, size, batch_size, np.random.default_rng(seed))


def _batches(data, size, batch_size, rng):
    while True:
        order = rng.permutation(size)
        for start in range(0, size - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            yield {name: array[chosen] for name, array in data.items()}


def fit(
    model: nnx.Module,
    loss: LossFunction,
    data: dict[str, np.ndarray],
    optimizer: optax.GradientTransformation,
    *,
    steps: int,
    batch_size: int,
    seed: int = 0,
    sampler: Iterator[np.ndarray] | None = None,
    steps_per_call: int = 10,
    progress: bool = True,
) -> tuple[nnx.Module, History]:
    """Trains a copy of the model for `steps` steps and returns it with its history.

    loss(model, batch, key) sees batches of `data` as arrays on the device. The same seed gives the
    same batches, the same randomness and, on the same machine, the same numbers. `sampler` yields
    the `batch_size` rows of `data` for each batch, as `one_of_each` does; without it the order is
    that of `batches`. The steps run `steps_per_call` at a time in one compiled call.

    Raises ValueError unless `steps` is a positive multiple of `steps_per_call`, for data that
    `batches` refuses, and for a sampler that ends early or yields another number of rows;
    FloatingPointError as soon as the loss is not a finite number.
    """
    ok = steps_per_call >= 1
    require(ok, "fit", "steps_per_call", expected="at least 1", got=steps_per_call)
    ok = steps >= 1 and steps % steps_per_call == 0
    expected = f"a positive multiple of steps_per_call = {steps_per_call}"
    require(ok, "fit", "steps", expected=expected, got=steps)
    source = batches(data, batch_size, seed=seed)
    if sampler is not None:
        source = _sampled(data, batch_size, sampler)
    run = make_train_steps(model, loss, optimizer)
    state, key = init_state(model, optimizer), jax.random.key(seed)
    history = History()
    chunk = _stack(source, steps_per_call)
    for done in range(0, steps, steps_per_call):
        start = time.perf_counter()
        state, metrics = run(state, chunk, key)
        if done + steps_per_call < steps:
            chunk = _stack(source, steps_per_call)  # while the device is still at work
        metrics = jax.device_get(metrics)
        history.record(metrics, time.perf_counter() - start, batch_size * steps_per_call)
        if not np.isfinite(metrics["loss"]).all():
            raise FloatingPointError(f"fit: the loss is not finite near step {done}: {metrics}")
        if progress:
            _show(done + steps_per_call, steps, history)
    if progress:
        print(file=sys.stdout)
    return with_parameters(model, state.parameters), history


def _sampled(data, batch_size, sampler):
    where, name, expected = "fit", "sampler", f"{batch_size} rows for each batch"
    for rows in sampler:
        require(len(rows) == batch_size, where, name, expected=expected, got=f"{len(rows)} rows")
        yield {name: array[rows] for name, array in data.items()}
    require(False, where, name, expected="rows for every step", got="an end")


def _stack(source: Iterator[dict[str, np.ndarray]], number: int) -> dict[str, np.ndarray]:
    """The next batches as one, with a first axis of their number."""
    chunk = [next(source) for _ in range(number)]
    return {name: np.stack([batch[name] for batch in chunk]) for name in chunk[0]}


def _show(done: int, steps: int, history: History) -> None:
    """One line that overwrites itself: a bar, the loss, the speed."""
    bar = "█" * (20 * done // steps)
    loss = history.metrics["loss"][-1]
    text = f"\r{bar:░<20} {done}/{steps}  loss {loss:.3f}  {history.speed:,.0f} examples/s"
    print(text, end="", flush=True)
