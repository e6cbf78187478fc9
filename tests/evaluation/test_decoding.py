"""Decoding: full against cached, greedy, drawn, and beam search against all texts there are."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.evaluation.beam_search import beam_search, length_penalty
from mmjax.evaluation.decoding import (
    GREEDY,
    Sampling,
    Specials,
    choose,
    generate,
    keep_nucleus,
    keep_top_k,
)

V, PAD, START, END = 6, 0, 1, 2
WORDS = range(2, V)  # what can be chosen: the end and three words
STATES = 97
TABLE = np.random.default_rng(0).normal(size=(STATES, V)) * 1.5


def step(token, state):
    """A language whose next word depends on the row and on all words so far."""
    state = (state * 31 + token * 7 + 1) % STATES
    # float64 under `x64`. Without "float", jit would take the constant of a run in float32 again.
    return jnp.asarray(TABLE, float)[state], state


def log_p(row, words):
    """The same in NumPy: log p of the next token after `words`, padding and start left out."""
    state = row
    for word in (START, *words):
        state = (state * 31 + word * 7 + 1) % STATES
    z = TABLE[state].copy()
    z[[PAD, START]] = -np.inf
    return z - np.log(np.exp(z).sum())


ROWS = 5
BEGIN = jnp.arange(ROWS, dtype=jnp.int32)


@functools.lru_cache
def compiled(length, sampling=GREEDY):
    return jax.jit(lambda s, key: generate(step, s, ROWS, length, sampling=sampling, key=key))


@functools.lru_cache
def beams_of(length, beams, alpha=0.0):
    return jax.jit(lambda s: beam_search(step, s, ROWS, length, beams=beams, alpha=alpha))


def text_of(tokens):
    """The tokens behind the start, up to the end; checks that only padding follows."""
    row = [int(token) for token in tokens]
    assert row[0] == START
    length = row.index(END) + 1 if END in row else len(row)
    assert set(row[length:]) <= {PAD} and not {PAD, START} & set(row[1:length])
    return tuple(row[1:length])


def probability_of(row, words):
    return sum(log_p(row, words[:t])[word] for t, word in enumerate(words))


def test_greedy_takes_the_best_word_and_stays_where_it_ended():
    out = compiled(12)(BEGIN, jax.random.key(0))
    lengths = set()
    for row in range(ROWS):
        words = ()
        while len(words) < 11 and END not in words:
            words += (int(np.argmax(log_p(row, words))),)
        assert text_of(out.tokens[row]) == words
        np.testing.assert_allclose(out.log_probability[row], probability_of(row, words), rtol=1e-4)
        lengths.add(len(words))
    assert len(lengths) > 1  # rows that ended and rows that went on were side by side


def test_the_loop_stops_when_all_rows_have_ended():
    def ends(token, state):
        return jnp.tile(jnp.array([0.0, 0, 9, 0]), (2, 1)), state + 1

    def rows(token, state):  # its state counts the calls
        logits, calls = ends(token, state)
        return logits, calls

    calls = []

    def counted(token, state):
        jax.debug.callback(lambda: calls.append(1))
        return rows(token, state)

    jax.block_until_ready(jax.jit(lambda: generate(counted, jnp.int32(0), 2, 50))())
    assert len(calls) == 1


def test_a_fixed_key_gives_a_fixed_text_and_another_key_another():
    draw = compiled(12, Sampling())
    first = draw(BEGIN, jax.random.key(3))
    np.testing.assert_array_equal(first.tokens, draw(BEGIN, jax.random.key(3)).tokens)
    assert not np.array_equal(first.tokens, draw(BEGIN, jax.random.key(4)).tokens)
    for row in range(ROWS):
        words = text_of(first.tokens[row])
        wanted = probability_of(row, words)
        np.testing.assert_allclose(first.log_probability[row], wanted, rtol=1e-4)


def test_every_step_and_every_row_has_its_own_randomness():
    def even(token, state):
        never = jnp.arange(60) == END
        return jnp.tile(jnp.where(never, -jnp.inf, 0.0), (8, 1)), state

    out = jax.jit(lambda key: generate(even, (), 8, 40, sampling=Sampling(), key=key))
    tokens = np.asarray(out(jax.random.key(0)).tokens)[:, 1:]
    assert min(len(set(row)) for row in tokens) > 15  # with one key for all steps: 1
    assert min(len(set(column)) for column in tokens.T) > 3


LOGITS = np.random.default_rng(1).normal(size=(40, 9)) * 2


@pytest.mark.equation("5.1.12")
def test_top_k_keeps_the_right_set(x64):
    tied = np.array([[1.0, 3, 3, 2, 2, 0, 0, 0, 0]])
    for row in (*LOGITS, *tied):
        for k in (1, 2, 4, 9, 20):
            kept = np.flatnonzero(np.isfinite(keep_top_k(jnp.asarray(row[None]), k)[0]))
            assert set(kept) == formulas.top_k_set(row, k)


@pytest.mark.equation("5.1.13")
def test_the_nucleus_is_the_right_set(x64):
    nucleus = jax.jit(keep_nucleus, static_argnums=1)
    for p in (1e-9, 0.3, 0.5, 0.9, 0.999, 1.0):
        kept = np.isfinite(nucleus(jnp.asarray(LOGITS), p))
        for row, stays in zip(LOGITS, kept, strict=True):
            assert set(np.flatnonzero(stays)) == formulas.nucleus_set(row, p)


@pytest.mark.equation("5.1.11")
@pytest.mark.parametrize(
    "sampling",
    [Sampling(temperature=0.5), Sampling(2.0, top_k=5, top_p=0.8)],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_they_should(sampling):
    z, draws = LOGITS[0], 20_000
    kept = formulas.tempered(z, sampling.temperature)
    if sampling.top_k is not None:
        kept = kept * [w in formulas.top_k_set(z, sampling.top_k) for w in range(9)]
    if sampling.top_p is not None:
        left = np.where(kept > 0, z / sampling.temperature, -np.inf)
        nucleus = formulas.nucleus_set(left, sampling.top_p)
        kept = kept * [w in nucleus for w in range(9)]
    kept = kept / kept.sum()
    rows = jnp.tile(jnp.asarray(z, jnp.float32), (draws, 1))
    tokens = jax.jit(choose, static_argnums=1)(rows, sampling, jax.random.key(0))
    found = np.bincount(tokens, minlength=9) / draws
    assert (found[kept == 0] == 0).all()
    np.testing.assert_allclose(found, kept, atol=5 * np.sqrt(0.25 / draws))


@pytest.mark.equation("5.1.14", "5.1.15")
@pytest.mark.parametrize("alpha", [0.0, 0.7, 3.0])
def test_a_beam_as_wide_as_the_language_finds_the_best_text(x64, alpha):
    out = beams_of(5, 200, alpha)(BEGIN)  # 4 tokens: 3^4 + 3^3 + … texts
    for row in range(ROWS):
        best, total = formulas.best_text(functools.partial(log_p, row), WORDS, END, 4, alpha)
        assert text_of(out.tokens[row, 0]) == best
        np.testing.assert_allclose(out.log_probability[row, 0], total, rtol=1e-12)
    for words in (1, 4, 10):
        wanted = formulas.length_penalty(words, alpha)
        np.testing.assert_allclose(length_penalty(jnp.float64(words), alpha), wanted, rtol=1e-14)


def test_a_long_penalty_prefers_long_texts():
    lengths = [
        sum(len(text_of(row[0])) for row in beams_of(5, 200, alpha)(BEGIN).tokens)
        for alpha in (0.0, 3.0)
    ]
    assert lengths[0] < lengths[1]


def plain_beam_search(row, length, beams, alpha):
    """Lists and tuples in place of arrays: (words, log p), the best first."""
    held = [((), 0.0)]
    score = lambda pair: -pair[1] / formulas.length_penalty(len(pair[0]), alpha)  # noqa: E731
    for _ in range(length - 1):
        longer = [pair for pair in held if END in pair[0]]
        for words, total in held:
            if END not in words:
                longer += [((*words, w), total + log_p(row, words)[w]) for w in WORDS]
        held = sorted(longer, key=score)[:beams]
    return held


@pytest.mark.equation("5.1.16")
@pytest.mark.parametrize(("beams", "alpha"), [(3, 0.0), (3, 1.0)])
def test_a_narrow_beam_keeps_what_it_should(x64, beams, alpha):
    out = beams_of(9, beams, alpha)(BEGIN)
    for row in range(ROWS):
        wanted = plain_beam_search(row, 9, beams, alpha)
        assert [text_of(tokens) for tokens in out.tokens[row]] == [words for words, _ in wanted]
        totals = [total for _, total in wanted]
        np.testing.assert_allclose(out.log_probability[row], totals, rtol=1e-12)


def test_beams_without_a_text_are_padding_and_count_as_ended():
    """There are two texts, the end alone and one word with the end, and five beams."""
    calls = []

    def few(token, state):
        jax.debug.callback(lambda: calls.append(1))
        end = jnp.where(token == 3, 0.0, 1.0)  # after the word, only the end
        allowed = jnp.stack([end * 0 - 9, end * 0 - 9, end * 0, jnp.log(end)], axis=1)
        return allowed, state

    out = jax.jit(lambda: beam_search(few, jnp.int32(0), 1, 9, beams=5))()
    np.testing.assert_allclose(out.log_probability[0, :2], math.log(0.5), rtol=1e-6)
    assert {text_of(row) for row in out.tokens[0, :2]} == {(END,), (3, END)}
    np.testing.assert_array_equal(out.log_probability[0, 2:], -np.inf)
    np.testing.assert_array_equal(out.tokens[0, 2:], PAD)
    assert len(calls) == 2  # and not 8: no beam is left that could go on


@pytest.mark.parametrize("words", [4, np.arange(5), jnp.arange(5)], ids=["int", "numpy", "jax"])
def test_the_length_penalty_takes_whole_numbers(words):
    wanted = ((5 + np.asarray(words)) / 6) ** 0.7
    np.testing.assert_allclose(length_penalty(words, 0.7), wanted, rtol=1e-6)


@pytest.mark.parametrize("search", [generate, functools.partial(beam_search, beams=2)])
@pytest.mark.parametrize(
    "specials",
    [Specials(pad=-1), Specials(pad=V), Specials(start=V), Specials(end=-1), Specials(end=1)],
    ids=str,
)
def test_specials_that_do_not_fit_the_vocabulary_are_refused(search, specials):
    with pytest.raises(ValueError, match="'specials': expected three numbers, .* from 0 to 5"):
        search(step, BEGIN, ROWS, 5, specials=specials)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_of_one_is_greedy(alpha):
    greedy, beam = compiled(12)(BEGIN, jax.random.key(0)), beams_of(12, 1, alpha)(BEGIN)
    np.testing.assert_array_equal(beam.tokens[:, 0], greedy.tokens)
    np.testing.assert_allclose(beam.log_probability[:, 0], greedy.log_probability, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: generate(step, BEGIN, 0, 5), "'batch': expected at least 1, got 0"),
        (lambda: generate(step, BEGIN, 5, 1), "'length': expected at least 2"),
        (lambda: generate(step, BEGIN, 5, 5, sampling=Sampling()), "'key': expected a key"),
        (lambda: beam_search(step, BEGIN, 5, 5, beams=0), "'beams': expected at least 1"),
        (lambda: beam_search(step, BEGIN, 5, 5, beams=2, alpha=-1), "'alpha': expected at least"),
        (lambda: Sampling(temperature=-1), "'temperature': expected 0, or at least 1e-6"),
        (lambda: Sampling(temperature=np.inf), "'temperature': .* and finite, got inf"),
        (lambda: Sampling(temperature=np.nan), "'temperature': .* and finite, got nan"),
        (lambda: Sampling(temperature=1e-38), "'temperature': .* and finite, got 1e-38"),
        (lambda: Sampling(top_k=0), "'top_k': expected None or at least 1"),
        (lambda: Sampling(top_p=0.0), r"'top_p': expected None or in \(0, 1\]"),
        (lambda: keep_top_k(LOGITS, 0), "'k': expected at least 1"),
        (lambda: keep_nucleus(LOGITS, 1.5), r"'p': expected in \(0, 1\]"),
    ],
)
def test_bad_arguments_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()
