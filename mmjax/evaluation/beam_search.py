"""Beam search: the K best beginnings side by side, in one compiled loop.

Sources: Sutskever et al. (2014), section 3.2; Wu et al. (2016), equation 14, the length penalty.
Differences from both: a text that has ended stays in the beam and competes with those that go on,
so a beam of one is greedy decoding.
"""

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.checks import require
from mmjax.evaluation.decoding import (
    SPECIALS,
    Decoded,
    Specials,
    State,
    Step,
    check_sizes,
    log_probabilities,
    score_dtype,
)


def length_penalty(words: Array, alpha: float) -> Array:
    """lp(n) = ((5 + n) / 6)^α; a text of n tokens scores log p / lp(n). α = 0: no penalty."""
    words = jnp.asarray(words)
    if not jnp.issubdtype(words.dtype, jnp.floating):
        words = words.astype(float)
    return ((5.0 + words) / 6.0) ** alpha


def beam_search(
    step: Step,
    state: State,
    batch: int,
    length: int,
    *,
    beams: int,
    alpha: float = 0.0,
    specials: Specials = SPECIALS,
) -> Decoded:
    """The K = `beams` best texts found for each of B rows, best first: [B, K, T] and [B, K].

    In each step the K texts are continued by every token, and the K of the K V continuations with
    the highest log p / lp(n) stay; n counts the tokens behind the start, the end among them. A text
    that has ended has one continuation, itself. With K = 1 this is `generate`; with K at least the
    number of all texts it is exact. Where there are fewer texts than K, the rows behind them are
    padding only, with log p = −∞.

    step and state as in `generate`, the state for B rows with room for T tokens. To be called
    inside `jax.jit`. Raises ValueError for sizes below 1, a negative α, or specials that do not fit
    the vocabulary.
    """
    where = "beam_search"
    check_sizes(where, batch, length)
    require(beams >= 1, where, "beams", expected="at least 1", got=beams)
    require(alpha >= 0, where, "alpha", expected="at least 0", got=alpha)
    dtype = score_dtype(where, step, batch, state, specials)
    state = _on_rows(lambda x: jnp.repeat(x, beams, axis=0), state)
    tokens = jnp.full((batch, beams, length), specials.pad, jnp.int32)
    tokens = tokens.at[:, :, 0].set(specials.start)
    # All beams begin alike: only the first may be continued.
    total = jnp.broadcast_to(jnp.where(jnp.arange(beams) == 0, 0, -jnp.inf), (batch, beams))

    def goes_on(carry):
        t, *_, ended, _ = carry
        return (t < length - 1) & ~ended.all()

    def one(carry):
        t, tokens, total, state, ended, words = carry
        last = jax.lax.dynamic_index_in_dim(tokens, t, axis=2, keepdims=False)
        logits, state = step(last.reshape(-1), state)
        log_p = log_probabilities(logits, specials).reshape(batch, beams, -1)
        size = log_p.shape[2]
        stay = jnp.where(jnp.arange(size) == specials.pad, 0, -jnp.inf).astype(dtype)
        reached = total[:, :, None] + jnp.where(ended[:, :, None], stay[None, None], log_p)
        longer = jnp.where(ended, words, words + 1)  # tokens of a continuation
        ranked = reached / length_penalty(longer.astype(dtype), alpha)[:, :, None]
        best = jax.lax.top_k(ranked.reshape(batch, -1), beams)[1]
        total = jnp.take_along_axis(reached.reshape(batch, -1), best, axis=1)
        parent, chosen = best // size, (best % size).astype(jnp.int32)
        pick = lambda x: jnp.take_along_axis(x, parent, axis=1)  # noqa: E731
        tokens = jnp.take_along_axis(tokens, parent[:, :, None], axis=1)
        start = (jnp.int32(0), jnp.int32(0), t + 1)
        tokens = jax.lax.dynamic_update_slice(tokens, chosen[:, :, None], start)
        first = beams * jnp.arange(batch, dtype=parent.dtype)[:, None]
        rows = (first + parent).reshape(-1)
        # Copies the picture too, though all beams of a row share it: the state is not looked into.
        state = _on_rows(lambda x: x[rows], state)
        ended = pick(ended) | (chosen == specials.end) | jnp.isneginf(total)  # −∞: no such text
        return t + 1, tokens, total, state, ended, pick(longer)

    none = jnp.zeros((batch, beams), bool)
    first = (jnp.int32(0), tokens, total.astype(dtype), state, none, none.astype(jnp.int32))
    _, tokens, total, *_ = jax.lax.while_loop(goes_on, one, first)
    tokens = jnp.where(jnp.isneginf(total)[:, :, None], specials.pad, tokens)
    return Decoded(tokens, total)


def _on_rows(function, state: State) -> State:
    """Applies a function to the arrays of a state; scalars, the same for all rows, stay."""
    return jax.tree.map(lambda x: function(x) if x.ndim else x, state)
