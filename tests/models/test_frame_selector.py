"""The selector of frames: its formulas in NumPy, its window, the gradient of the importance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.losses import multi_label_loss
from mmjax.models.frame_selector import (
    FrameSelector,
    FrameSelectorConfig,
    attention_pooling,
    window_mask,
)

B, T, P, PIXELS, SOUND, C, FEATURES, M = 2, 11, 3, 7, 5, 13, 4, 6
CONFIG = FrameSelectorConfig(
    P, PIXELS, SOUND, C, 2, FEATURES, TransformerConfig(layers=2, width=M, heads=2, hidden=9)
)


@functools.lru_cache
def build():
    """In float64, every parameter drawn at random."""
    model = nnx.eval_shape(lambda: FrameSelector(CONFIG, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    nnx.update(
        model, jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), nnx.state(model))
    )
    return model


def draw(seed=1):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(B, T, P, PIXELS))), jnp.asarray(
        rng.normal(size=(B, T, SOUND))
    )


@functools.lru_cache
def compiled(name):
    return jax.jit(getattr(build(), name))


@pytest.mark.equation("5.3.10")
def test_a_frame_as_a_token(x64, monkeypatch):
    model, (frames, sound) = build(), draw()
    seen = []
    monkeypatch.setattr(model, "encoder", lambda x, mask: seen.append(x) or x)
    token = np.asarray(model.encode(frames, sound))[1, 3]
    part, join = model.part, model.join
    pieces = [np.asarray(frames[1, 3, p]) @ part.kernel[...] + part.bias[...] for p in range(P)]
    pieces.append(np.asarray(sound[1, 3]) @ model.sound.kernel[...] + model.sound.bias[...])
    whole = np.concatenate([formulas.gelu(np.asarray(piece)) for piece in pieces])
    expected = whole @ np.asarray(join.kernel[...]) + np.asarray(join.bias[...])
    np.testing.assert_allclose(token, expected, rtol=1e-12)


@pytest.mark.equation("5.3.11")
def test_a_frame_knows_its_window_and_no_more(x64):
    frames, sound = draw()
    encode = compiled("encode")
    before = np.asarray(encode(frames, sound))[0]
    after = np.asarray(encode(frames.at[0, 5].add(1.0), sound.at[0, 5].add(1.0)))[0]
    reach = CONFIG.window * CONFIG.transformer.layers
    changed = np.flatnonzero(abs(after - before).max(1) > 0)
    assert changed.tolist() == list(range(5 - reach, 5 + reach + 1))


def test_the_window():
    mask = np.asarray(window_mask(4, 1))[0, 0]
    assert mask.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    assert window_mask(3, 0)[0, 0].tolist() == np.eye(3, dtype=bool).tolist()


@pytest.mark.equation("5.3.12")
def test_importance_is_a_softmax_and_the_logits_are_a_weighted_vote(x64):
    model, (frames, sound) = build(), draw()
    h = np.asarray(compiled("encode")(frames, sound))
    logits, scores = compiled("with_scores")(frames, sound)
    for b in range(B):
        alpha = formulas.frame_importance(h[b], np.asarray(model.query[...][0]))
        np.testing.assert_allclose(formulas.softmax(np.asarray(scores[b])), alpha, rtol=1e-12)
        votes = h[b] @ np.asarray(model.head.kernel[...]) + np.asarray(model.head.bias[...])
        expected = sum(alpha[t] * votes[t] for t in range(T))
        np.testing.assert_allclose(logits[b], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.equation("5.3.13", "5.3.14")
def test_the_loss_and_what_it_does_to_the_importance(x64):
    rng = np.random.default_rng(3)
    s, u, y = rng.normal(size=T), rng.normal(size=(T, C)), rng.random(C) < 0.4

    @jax.jit
    def loss(s):
        return multi_label_loss((jax.nn.softmax(s) @ jnp.asarray(u))[None], jnp.asarray(y)[None])

    alpha = formulas.softmax(s)
    z = alpha @ u
    np.testing.assert_allclose(loss(s), formulas.multi_label_loss(z, y), rtol=1e-12)
    g = (1 / (1 + np.exp(-z)) - y) / C
    expected = [alpha[t] * g @ (u[t] - z) for t in range(T)]
    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(s)), expected, rtol=1e-10, atol=1e-14)


def test_bfloat16_parameters_take_bfloat16_clips():
    model = FrameSelector(CONFIG, rngs=nnx.Rngs(0))
    graph, state = nnx.split(model)
    narrow = nnx.merge(graph, jax.tree.map(lambda p: p.astype(jnp.bfloat16), state))
    clips = [x.astype(jnp.float32) for x in draw()]
    run = nnx.jit(lambda model, *clips: model.with_scores(*clips))
    logits, scores = run(narrow, *(x.astype(jnp.bfloat16) for x in clips))
    assert logits.dtype == jnp.bfloat16 and scores.dtype == jnp.float32
    np.testing.assert_allclose(logits.astype(jnp.float32), run(model, *clips)[0], atol=0.1)


def test_the_loss_is_a_mean_and_takes_any_logit():
    z = jnp.asarray([[1e4, -1e4], [0.0, 0.0]], jnp.float32)
    y = jnp.asarray([[True, False], [True, False]])
    np.testing.assert_allclose(multi_label_loss(z, y), np.log(2) / 2, rtol=1e-6)
    np.testing.assert_allclose(multi_label_loss(z, ~y), (2e4 + 2 * np.log(2)) / 4, rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda z: multi_label_loss(z, ~y))(z)).all()


def zeros(*shape, dtype=jnp.float32):
    return jnp.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m(zeros(2, 3, 4, 7), zeros(2, 3, 5)), ValueError, "'frames'"),
        (lambda m: m(zeros(2, 3, 3, 7), zeros(2, 4, 5)), ValueError, "'sound'"),
        (lambda m: m(zeros(2, 3, 3, 7, dtype=int), zeros(2, 3, 5)), TypeError, "'frames'"),
        (lambda m: window_mask(3, -1), ValueError, "'window'"),
        (lambda m: attention_pooling(zeros(2, 3), zeros(3)), ValueError, "'h'"),
        (lambda m: attention_pooling(zeros(2, 3, 4), zeros(3)), ValueError, "'query'"),
        (lambda m: multi_label_loss(zeros(2, 3), zeros(2, 3)), TypeError, "'labels'"),
        (lambda m: multi_label_loss(zeros(2, 3), zeros(2, 2) > 0), ValueError, "'labels'"),
        (
            lambda m: FrameSelectorConfig(0, 1, 1, 1, 1, 1, CONFIG.transformer),
            ValueError,
            "'parts'",
        ),
        (
            lambda m: FrameSelectorConfig(1, 1, 1, 1, -1, 1, CONFIG.transformer),
            ValueError,
            "'window'",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(FrameSelector(CONFIG, rngs=nnx.Rngs(0)))
