"""The answerer: what it may see, what it may not, and that a frozen encoder stays as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.losses import next_token_loss
from mmjax.models.projector import Answerer, AnswererConfig, answer_greedily
from mmjax.models.strip_encoder import StripEncoder, StripEncoderConfig
from mmjax.training import init_state, make_train_step, muon, with_parameters

S, R, V, Q, A = 6, 5, 13, 4, 3
CONFIG = AnswererConfig(R, S, V, Q, A, TransformerConfig(layers=2, width=6, heads=2, hidden=7))
ENCODER = StripEncoderConfig(2, 6, 8, 3, TransformerConfig(layers=1, width=R, heads=1), filters=3)


def draw(model, seed):
    rng = np.random.default_rng(seed)
    graph, state = nnx.split(model)
    return nnx.merge(
        graph, jax.tree.map(lambda p: jnp.asarray(0.5 * rng.normal(size=p.shape), p.dtype), state)
    )


@pytest.fixture(scope="module")
def model():
    return draw(Answerer(CONFIG, rngs=nnx.Rngs(0)), 1)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(2)
    mask = np.arange(Q) < np.array([[4], [2], [3]])
    return {
        "tokens": jnp.asarray(rng.normal(size=(3, S, R)), jnp.float32),
        "question": jnp.asarray(rng.integers(4, V, (3, Q)), jnp.int32),
        "question_mask": jnp.asarray(mask),
        "answer": jnp.asarray(rng.integers(4, V, (3, A)), jnp.int32),
    }


@nnx.jit
def run(model, batch):
    return model(**batch)


def test_a_word_sees_those_before_it_and_no_later_one(model, batch):
    changed = batch | {"answer": batch["answer"].at[:, 1].set(4)}
    before, after = run(model, batch), run(model, changed)
    np.testing.assert_allclose(before[:, 0], after[:, 0], atol=1e-6)
    assert np.abs(before[:, 1:] - after[:, 1:]).max() > 1e-3


def test_every_word_sees_the_image_and_the_question(model, batch):
    other_image = batch | {"tokens": batch["tokens"].at[:, 3].add(1.0)}
    other_question = batch | {"question": batch["question"].at[:, 0].set(5)}
    for changed in (other_image, other_question):
        difference = np.abs(run(model, batch) - run(model, changed)).max(2)
        assert (difference > 1e-4).all()


def test_padding_of_the_question_and_a_hidden_image_have_no_influence(model, batch):
    padded = batch["question"].at[1, 2:].set(7)
    got = run(model, batch | {"question": padded})
    np.testing.assert_allclose(got, run(model, batch), atol=1e-6)
    hidden = batch | {"image_mask": jnp.zeros((3, S), bool)}
    other = hidden | {"tokens": batch["tokens"] + 3}
    np.testing.assert_allclose(run(model, hidden), run(model, other), atol=1e-6)


def test_image_tokens_know_their_places(model, batch):
    turned = batch | {"tokens": batch["tokens"][:, ::-1]}
    assert np.abs(run(model, batch) - run(model, turned)).max() > 1e-3


def test_words_may_be_of_two_widths(model, batch):
    narrow = batch | {"question": batch["question"].astype(jnp.int8)}
    np.testing.assert_array_equal(run(model, narrow), run(model, batch))


def test_greedy_answers_are_those_of_a_loop(model, batch):
    inputs = [batch[name] for name in ("tokens", "question", "question_mask")]
    got = np.asarray(nnx.jit(answer_greedily)(model, *inputs))
    words = np.ones((3, A), np.int32)
    for t in range(A):
        z = run(model, batch | {"answer": jnp.asarray(words)})
        chosen = np.asarray(z[:, t]).argmax(1)
        np.testing.assert_array_equal(got[:, t], chosen)
        if t + 1 < A:
            words[:, t + 1] = chosen


class Both(nnx.Module):
    """The wrong way and the right way to freeze, in one: is the encoder part of the model?"""

    def __init__(self, encoder, answerer):
        self.encoder, self.answerer = encoder, answerer


def test_a_frozen_encoder_has_a_zero_gradient_and_yet_it_would_decay(model, batch):
    encoder = draw(StripEncoder(ENCODER, rngs=nnx.Rngs(0)), 3)
    video = jnp.asarray(np.random.default_rng(4).random((3, 2, 6, 8, 3)), jnp.float32)
    data = batch | {"video": video}
    del data["tokens"]

    def loss(model, batch, key):
        tokens = jax.lax.stop_gradient(model.encoder(batch["video"]))
        inputs = {name: batch[name] for name in ("question", "question_mask", "answer")}
        logits = model.answerer(tokens, **inputs)
        return next_token_loss(logits, batch["answer"], jnp.ones((3, A), bool))

    both = Both(encoder, model)
    slope = nnx.jit(nnx.grad(lambda m: loss(m, data, None)))(both)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slope["encoder"]))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(slope["answerer"]))
    optimizer = muon(0.1, 10, warmup=0, weight_decay=0.3)
    state, _ = make_train_step(both, loss, optimizer)(
        init_state(both, optimizer), data, jax.random.key(0)
    )
    moved = with_parameters(both, state.parameters).encoder
    kernel, before = moved.read.kernel[...], encoder.read.kernel[...]
    np.testing.assert_allclose(kernel, (1 - 0.1 * 0.3) * before, rtol=1e-5)  # (6.1.8)


def test_the_encoder_is_no_part_of_the_model(model):
    names = {path[0] for path, _ in nnx.to_flat_state(nnx.state(model))}
    assert names == {"expand", "contract", "places", "text", "transformer"}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"tokens": jnp.zeros((3, S, R + 1))}, ValueError, r"'tokens': expected \[B, 6, 5\]"),
        ({"tokens": jnp.zeros((3, S, R), int)}, TypeError, "'tokens'"),
        ({"question": jnp.zeros((3, Q + 1), int)}, ValueError, "'question'"),
        ({"answer": jnp.zeros((2, A), int)}, ValueError, "'answer'"),
        ({"question": jnp.zeros((3, Q))}, TypeError, r"'question': expected int \[3, 4\]"),
        ({"question_mask": jnp.ones((3, Q), int)}, TypeError, "'mask'"),
        ({"image_mask": jnp.ones((3, S + 1), bool)}, ValueError, "'mask'"),
    ],
)
def test_bad_arguments_are_named(model, batch, change, error, words):
    with pytest.raises(error, match=words):
        model(**(batch | change))


def test_a_bad_configuration_is_named():
    with pytest.raises(ValueError, match="'image_length'"):
        AnswererConfig(R, 0, V, Q, A, CONFIG.transformer)
