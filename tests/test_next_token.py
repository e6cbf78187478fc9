"""Teacher forcing: the shift by one, and a loss over real tokens only."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.losses import next_token_loss, shift_by_one

B, T, V, END = 3, 6, 7, 2
TEXTS = [[3, 4, 6], [5], [4, 4, 3, 6]]
ROWS = [[1, 3, 4, 6, 2, 0], [1, 5, 2, 0, 0, 0], [1, 4, 4, 3, 6, 2]]


def rows():
    tokens = jnp.asarray(ROWS, jnp.int32)
    return tokens, tokens != 0


def draw():
    return np.random.default_rng(0).normal(size=(B, T - 1, V)) * 2


def test_the_target_of_a_place_is_the_next_token():
    inputs, targets, counts = shift_by_one(*rows())
    assert inputs[0].tolist() == [1, 3, 4, 6, 2] and targets[0].tolist() == [3, 4, 6, 2, 0]
    assert counts.sum(1).tolist() == [4, 2, 5]  # the words and the end, not the start


@pytest.mark.equation("5.1.1", "5.1.3")
def test_the_loss_is_the_formula(x64):
    logits = draw()
    place = {
        tuple(text[:t]): (b, t) for b, text in enumerate(TEXTS) for t in range(1, len(text) + 1)
    }
    # Before the first word all texts are alike, so there the model has one distribution.
    logits[:, 0] = logits[0, 0]
    log_p = np.log(formulas.softmax(logits))
    wanted = formulas.teacher_forcing_loss(
        lambda words: log_p[place[words]] if words else log_p[0, 0], TEXTS, END
    )
    _, targets, counts = shift_by_one(*rows())
    loss = next_token_loss(jnp.asarray(logits), targets, counts)
    np.testing.assert_allclose(loss, wanted, rtol=1e-12)
    product = 1.0  # (5.1.1): the probability of all texts is the product over their words
    for text in TEXTS:
        for t, word in enumerate([*text, END]):
            place_t = log_p[place[tuple(text[:t])]] if t else log_p[0, 0]
            product *= np.exp(place_t[word])
    np.testing.assert_allclose(np.exp(-float(loss) * int(counts.sum())), product, rtol=1e-10)


@pytest.mark.equation("5.1.1")
def test_a_joint_table_is_the_product_of_its_conditionals(x64):
    """All sentences of at most two of three words and the end: 1 + 3 + 9 of them."""
    words, end = (3, 4, 5), 2
    texts = [s for n in range(3) for s in itertools.product(words, repeat=n)]
    joint = dict(zip(texts, np.random.default_rng(1).dirichlet(np.ones(13)), strict=True))

    def begins(beginning):  # the table summed over how the sentence goes on
        return sum(p for text, p in joint.items() if text[: len(beginning)] == beginning)

    def conditional(beginning):  # p(next | beginning), [6]; padding and start never come
        after = {end: joint[beginning]} | {w: begins((*beginning, w)) for w in words}
        return np.array([after.get(v, 0.0) for v in range(6)]) / begins(beginning)

    for text in texts:
        sentence = [*text, end]
        rows = np.array([conditional(text[:t]) for t in range(len(sentence))])
        factors = rows[np.arange(len(sentence)), sentence]
        np.testing.assert_allclose(math.prod(factors), joint[text], rtol=1e-12)
        logits = jnp.asarray(np.log(np.maximum(rows, 1e-300)))[None]
        real = jnp.ones((1, len(sentence)), bool)
        loss = next_token_loss(logits, jnp.asarray([sentence]), real)  # the mean over the tokens
        np.testing.assert_allclose(np.exp(-loss * len(sentence)), joint[text], rtol=1e-12)


@pytest.mark.equation("5.1.4")
def test_the_gradient_is_the_formula_and_padding_has_none(x64):
    logits = draw()
    _, targets, counts = shift_by_one(*rows())
    found = jax.grad(next_token_loss)(jnp.asarray(logits), targets, counts)
    for b in range(B):
        for t in range(T - 1):
            wanted = formulas.softmax(logits[b, t]) - np.eye(V)[targets[b, t]]
            wanted = wanted * bool(counts[b, t]) / 11
            np.testing.assert_allclose(found[b, t], wanted, atol=1e-14)
    other = jnp.where(counts[..., None], logits, 100.0)
    same = next_token_loss(other, targets, counts)
    np.testing.assert_array_equal(same, next_token_loss(jnp.asarray(logits), targets, counts))
    assert next_token_loss(other, targets, jnp.zeros_like(counts)) == 0


def test_an_uninformed_model_pays_the_logarithm_of_the_vocabulary():
    _, targets, counts = shift_by_one(*rows())
    loss = next_token_loss(jnp.zeros((B, T - 1, V)), targets, counts)
    np.testing.assert_allclose(loss, np.log(V), rtol=1e-6)


@pytest.mark.parametrize("target", [-1, V])
def test_a_target_out_of_range_gives_nan_only_where_it_counts(target):
    _, targets, counts = shift_by_one(*rows())
    logits = jnp.asarray(draw(), jnp.float32)
    assert np.isnan(next_token_loss(logits, targets.at[0, 1].set(target), counts))
    value_and_gradient = jax.value_and_grad(next_token_loss)
    ours = value_and_gradient(logits, jnp.where(counts, targets, target), counts)
    for found, wanted in zip(ours, value_and_gradient(logits, targets, counts), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.uint32])
def test_narrow_and_unsigned_targets_reach_a_large_vocabulary(dtype):
    targets, counts = jnp.asarray([[3, 127]], dtype), jnp.ones((1, 2), bool)
    loss = next_token_loss(jnp.zeros((1, 2, 300)), targets, counts)
    np.testing.assert_allclose(loss, np.log(300), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda t, r: shift_by_one(t[0], r[0]), ValueError, "'tokens': expected .B, T. with T"),
        (lambda t, r: shift_by_one(t, t), TypeError, r"'real': expected bool \[3, 6\]"),
        (lambda t, r: shift_by_one(t, r[:, 1:]), ValueError, "'real'"),
        (lambda t, r: shift_by_one(t / 2, r), TypeError, "'tokens': expected whole numbers"),
        (lambda t, r: next_token_loss(t, t, r), TypeError, "'logits': expected floating-point"),
        (
            lambda t, r: next_token_loss(jnp.zeros((B, T, V)), t[:, 1:], r),
            ValueError,
            r"'targets': expected \[3, 6\], got int32\[3, 5\]",
        ),
        (
            lambda t, r: next_token_loss(jnp.zeros((B, T, V)), t, r[:, 1:]),
            ValueError,
            r"'counts': expected \[3, 6\]",
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(*rows())
