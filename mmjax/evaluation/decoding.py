"""Writing a text word by word: greedy, drawn at random, or by beam search, in one compiled loop.

The model comes as a function step(token int [B], state) → (logits [B, V], state). The state is a
tree of arrays whose first axis is the batch, and of scalars. Nothing here knows what it holds.

Sources: Holtzman et al. (2020), the nucleus; Fan et al. (2018), top-k; Wu et al. (2016), equation
14, the length penalty.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.checks import require
from mmjax.precision import wide_dtype

State = Any
Step = Callable[[Array, State], tuple[Array, State]]


@dataclass(frozen=True)
class Specials:
    """The tokens that mean something to the loop; the defaults are those of the vocabularies.

    A row is start, words, end, then padding. Neither padding nor start is ever chosen, so the three
    differ. An `end` of V or more is no token: then no row ends before it is full.
    """

    pad: int = 0
    start: int = 1
    end: int = 2


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn: from softmax(z / temperature), cut to `top_k` and then to `top_p`.

    temperature 0 is greedy: the token of the highest logit, the first of several.
    Raises ValueError for a temperature that is not 0 and below 10⁻⁶ or not finite (z / temperature
    would overflow, or lose the tokens that are never chosen), a top_k below 1, or a top_p outside
    (0, 1].
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self):
        where, t, k, p = "Sampling", self.temperature, self.top_k, self.top_p
        ok = t == 0 or 1e-6 <= t < math.inf
        require(ok, where, "temperature", expected="0, or at least 1e-6 and finite", got=t)
        require(k is None or k >= 1, where, "top_k", expected="None or at least 1", got=k)
        require(p is None or 0 < p <= 1, where, "top_p", expected="None or in (0, 1]", got=p)


GREEDY = Sampling(temperature=0.0)
SPECIALS = Specials()


class Decoded(NamedTuple):
    """tokens int32 [B, T]: start, words, end, padding. log_probability [B] of the words and end."""

    tokens: Array
    log_probability: Array


def keep_top_k(logits: Array, k: int) -> Array:
    """−∞ for all but the k largest logits of a row; ties with the k-th stay. [..., V] → [..., V].

    Raises ValueError for k below 1. A k beyond V keeps all.
    """
    require(k >= 1, "keep_top_k", "k", expected="at least 1", got=k)
    least = jax.lax.top_k(logits, min(k, logits.shape[-1]))[0][..., -1:]
    return jnp.where(logits >= least, logits, -jnp.inf)


def keep_nucleus(logits: Array, p: float) -> Array:
    """−∞ for all but the fewest tokens whose probabilities, largest first, reach p together.

    A token stays if those before it have less than p together; so the first always stays, and the
    one that crosses p too. [..., V] → [..., V]. Raises ValueError for p outside (0, 1].
    Source: Holtzman et al. (2020), equation 2.
    """
    require(0 < p <= 1, "keep_nucleus", "p", expected="in (0, 1]", got=p)
    order = jnp.argsort(-logits, axis=-1)
    ranked = jax.nn.softmax(jnp.take_along_axis(logits, order, axis=-1), axis=-1)
    stays = jnp.cumsum(ranked, axis=-1) - ranked < p
    stays = jnp.take_along_axis(stays, jnp.argsort(order, axis=-1), axis=-1)
    return jnp.where(stays, logits, -jnp.inf)


def choose(logits: Array, sampling: Sampling, key: Array | None) -> Array:
    """One token a row: [B, V] → int32 [B]."""
    if sampling.temperature == 0:
        return logits.argmax(axis=-1).astype(jnp.int32)
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p is not None:
        logits = keep_nucleus(logits, sampling.top_p)
    return jax.random.categorical(key, logits, axis=-1).astype(jnp.int32)


def generate(
    step: Step,
    state: State,
    batch: int,
    length: int,
    *,
    sampling: Sampling = GREEDY,
    key: Array | None = None,
    specials: Specials = SPECIALS,
) -> Decoded:
    """Writes up to `length` T tokens a row, the start among them, and stops when all have ended.

    A row that has ended stays: padding follows, and its probability no longer changes. Each step
    folds its number into `key`, so no two steps draw with the same randomness. To be called inside
    `jax.jit`. The state needs room for T tokens: the logits of a cache that is too short are NaN,
    and so is what is made of them. Raises ValueError for sizes below 1 and 2, sampling without a
    key, or specials that do not fit the vocabulary.
    """
    check_sizes("generate", batch, length)
    random = sampling.temperature > 0
    require(not random or key is not None, "generate", "key", expected="a key", got=key)
    dtype = score_dtype("generate", step, batch, state, specials)
    tokens = jnp.full((batch, length), specials.pad, jnp.int32).at[:, 0].set(specials.start)

    def goes_on(carry):
        t, *_, ended = carry
        return (t < length - 1) & ~ended.all()

    def one(carry):
        t, tokens, last, total, state, ended = carry
        logits, state = step(last, state)
        log_p = log_probabilities(logits, specials)
        chosen = choose(log_p, sampling, jax.random.fold_in(key, t) if random else None)
        gain = jnp.take_along_axis(log_p, chosen[:, None], axis=1)[:, 0]
        chosen = jnp.where(ended, specials.pad, chosen)
        total = total + jnp.where(ended, 0, gain)
        tokens = jax.lax.dynamic_update_slice(tokens, chosen[:, None], (jnp.int32(0), t + 1))
        return t + 1, tokens, chosen, total, state, ended | (chosen == specials.end)

    total = jnp.zeros(batch, dtype)
    first = (jnp.int32(0), tokens, tokens[:, 0], total, state, jnp.zeros(batch, bool))
    _, tokens, _, total, _, _ = jax.lax.while_loop(goes_on, one, first)
    return Decoded(tokens, total)


def check_sizes(where: str, batch: int, length: int) -> None:
    """Raises ValueError for an empty batch, or no room for a word behind the start."""
    require(batch >= 1, where, "batch", expected="at least 1", got=batch)
    require(length >= 2, where, "length", expected="at least 2: start and a word", got=length)


def score_dtype(where: str, step: Step, batch: int, state: State, specials: Specials):
    """The dtype of log-probabilities: that of the logits, at least float32. Nothing is run.

    Raises ValueError unless padding and start are two of the V tokens, and the end is another.
    """
    token = jax.ShapeDtypeStruct((batch,), jnp.int32)
    logits = jax.eval_shape(step, token, state)[0]
    size, (pad, start, end) = logits.shape[-1], (specials.pad, specials.start, specials.end)
    ok = 0 <= pad < size and 0 <= start < size and 0 <= end and len({pad, start, end}) == 3
    expected = f"three numbers, pad and start from 0 to {size - 1}, and end at least 0"
    require(ok, where, "specials", expected=expected, got=specials)
    return wide_dtype(logits.dtype)


def log_probabilities(logits: Array, specials: Specials) -> Array:
    """Of the next token, in at least float32; padding and start have none."""
    wide = logits.astype(wide_dtype(logits.dtype))
    token = jnp.arange(wide.shape[-1])
    never = (token == specials.pad) | (token == specials.start)
    return jax.nn.log_softmax(jnp.where(never[None], -jnp.inf, wide), axis=-1)
