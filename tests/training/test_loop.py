"""The loop: each example once an epoch, seeds that reproduce, a loss that must stay finite."""

import itertools
import unicodedata

import jax
import jax.numpy as jnp
import matplotlib.font_manager
import numpy as np
import optax
import pytest
from flax import nnx
from matplotlib.ft2font import FT2Font

from mmjax.attention import Linear, TransformerConfig
from mmjax.losses import clip_loss
from mmjax.modalities import WordVocabulary
from mmjax.models.clip import CLIP, CLIPConfig
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig
from mmjax.training import History, adamw, batches, fit

DATA = {"x": np.arange(11), "y": np.arange(11) * 10}


def take(count, *arguments, **options):
    return list(itertools.islice(batches(*arguments, **options), count))


def test_every_example_comes_once_an_epoch():
    """3 batches of 3 out of 11: nine different ones, and images and texts stay together."""
    chunk = take(9, DATA, 3, seed=0)
    for epoch in (chunk[:3], chunk[3:6], chunk[6:]):
        seen = np.concatenate([batch["x"] for batch in epoch])
        assert len(set(seen.tolist())) == 9
        np.testing.assert_array_equal(np.concatenate([b["y"] for b in epoch]), seen * 10)


def test_every_example_gets_its_turn_also_where_epochs_leave_some_out():
    seen = np.concatenate([batch["x"] for batch in take(60, DATA, 3, seed=0)])
    assert set(seen.tolist()) == set(range(11))


def test_a_batch_of_all_is_a_permutation():
    (first, second) = take(2, DATA, 11, seed=0)
    assert sorted(first["x"]) == sorted(second["x"]) == list(range(11))
    assert first["x"].tolist() != second["x"].tolist(), "each epoch has an order of its own"


def test_the_seed_fixes_the_order():
    first, again, other = ([b["x"].tolist() for b in take(5, DATA, 3, seed=s)] for s in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("data", "size", "message"),
    [
        ({}, 1, "'data'.*at least one array"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, 2, "'data'.*one length.*'x': 3, 'y': 4"),
        (DATA, 0, "'batch_size'.*between 1 and 11, got 0"),
        (DATA, 12, "'batch_size'.*between 1 and 11, got 12"),
    ],
)
def test_batches_name_wrong_arguments_at_once(data, size, message):
    with pytest.raises(ValueError, match=message):
        batches(data, size, seed=0)


def line_data():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    return {"x": x, "y": x @ np.array([[1.0], [-2.0], [3.0]], np.float32) + 0.5}


def noisy_error(model, batch, key):
    """The targets are blurred with the step's key, so the key's seed shows in the result."""
    noise = 0.1 * jax.random.normal(key, batch["y"].shape)
    return ((model(batch["x"]) - batch["y"] - noise) ** 2).mean()


def train(seed=0, steps=60, loss=noisy_error, **options):
    model = Linear(3, 1, rngs=nnx.Rngs(0))
    options = {"batch_size": 8, "progress": False, "seed": seed} | options
    return model, *fit(model, loss, line_data(), optax.sgd(0.2), steps=steps, **options)


def test_fit_finds_the_line_and_leaves_the_model_alone():
    model, trained, history = train(steps=200)
    np.testing.assert_allclose(trained.kernel[...][:, 0], [1, -2, 3], atol=0.1)
    np.testing.assert_allclose(trained.bias[...], 0.5, atol=0.1)
    np.testing.assert_array_equal(model.kernel[...], Linear(3, 1, rngs=nnx.Rngs(0)).kernel[...])
    losses = history.metrics["loss"]
    assert len(losses) == len(history.metrics["gradient_norm"]) == 200
    assert losses[-1] < 0.05 < losses[0]
    assert history.examples == 8 * 190 and history.speed > 0 and history.compile_seconds > 0


def test_the_seed_reproduces_every_number():
    (_, one, first), (_, same, again), (_, two, other) = train(0), train(0), train(1)
    np.testing.assert_array_equal(one.kernel[...], same.kernel[...])
    assert first.metrics == again.metrics
    assert not np.any(one.kernel[...] == two.kernel[...])
    assert not np.any(np.equal(first.metrics["loss"], other.metrics["loss"]))


def test_steps_per_call_changes_the_speed_only():
    (_, one, first), (_, two, other) = train(steps_per_call=1), train(steps_per_call=20)
    np.testing.assert_allclose(one.kernel[...], two.kernel[...], rtol=1e-5)
    np.testing.assert_allclose(first.metrics["loss"], other.metrics["loss"], rtol=1e-3)


def test_a_loss_that_is_not_finite_stops_the_training():
    def explodes(model, batch, key):
        return noisy_error(model, batch, key) * 1e30

    with pytest.raises(FloatingPointError, match="fit: the loss is not finite near step [0-9]:"):
        train(loss=explodes, steps_per_call=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "'steps'.*positive multiple of steps_per_call = 10, got 0"),
        ({"steps": 15}, "'steps'.*multiple of steps_per_call = 10, got 15"),
        ({"steps": -10}, "'steps'.*got -10"),
        ({"steps_per_call": 0}, "'steps_per_call'.*at least 1, got 0"),
        ({"batch_size": 41}, "'batch_size'.*between 1 and 40"),
    ],
)
def test_fit_names_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        train(**options)


def test_a_sampler_says_which_rows_meet():
    """Rows 3 and 5 and no others: the loss sees them, in this order, at every step."""

    def loss(model, batch, key):
        return noisy_error(model, batch, key), {"first": batch["x"][:, 0]}

    rows = itertools.repeat(np.array([3, 5]))
    _, _, history = train(steps=20, loss=loss, batch_size=2, sampler=rows)
    np.testing.assert_array_equal(history.metrics["first"], [line_data()["x"][[3, 5], 0]] * 20)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([np.array([3, 5])] * 20, r"'sampler': expected 4 rows for each batch, got 2 rows"),
        ([np.arange(4)] * 19, r"'sampler': expected rows for every step, got an end"),
    ],
)
def test_a_sampler_that_does_not_fit_is_named(rows, message):
    with pytest.raises(ValueError, match=message):
        train(steps=20, batch_size=4, sampler=iter(rows))


def test_a_sampler_for_exactly_these_steps_is_enough():
    train(steps=20, batch_size=4, sampler=iter([np.arange(4)] * 20))


def test_progress_is_one_line_with_loss_and_speed(capsys):
    _, _, history = train(steps=20, progress=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out.endswith("examples/s\n")
    last = out.split("\r")[-1]
    assert "█" * 20 in last and "20/20" in last
    assert f"loss {history.metrics['loss'][-1]:.3f}" in last


def test_history_counts_time_without_compilation():
    history = History()
    history.record({"loss": np.ones(5)}, seconds=7.0, examples=50)
    assert (history.compile_seconds, history.speed) == (7.0, 0.0)
    history.record({"loss": np.zeros(5)}, seconds=2.0, examples=50)
    assert history.speed == 25 and history.metrics["loss"] == [1.0] * 5 + [0.0] * 5


def draw_glyph(character):
    """A picture [16, 16, 1] of the character in Matplotlib's default font."""
    font = FT2Font(matplotlib.font_manager.findfont("DejaVu Sans"))
    font.set_size(12, 72)
    glyph = font.load_char(ord(character))
    image = np.zeros((16, 16), np.uint8)
    font.draw_glyph_to_bitmap(image, 2, 2, glyph)
    return image[..., None].astype(np.float32) / 255


def test_a_tiny_clip_learns_eight_glyphs_by_heart():
    """Each picture finds its name among all eight: encoders, loss, optimizer and loop together."""
    characters = "oxO8+%&?"
    images = np.stack([draw_glyph(character) for character in characters])
    assert len({image.tobytes() for image in images}) == 8 and images.max(axis=(1, 2, 3)).min() > 0
    names = [unicodedata.name(character) for character in characters]
    words = WordVocabulary.from_texts(names)
    tokens, real = words.encode(names, words.longest(names))
    small = TransformerConfig(layers=1, width=32, heads=2)
    config = CLIPConfig(
        image=ImageEncoderConfig(image_size=16, patch_size=8, transformer=small),
        text=TextEncoderConfig(words.size, tokens.shape[1], transformer=small),
        embedding=16,
    )
    data = {"images": images, "tokens": tokens, "real": real}

    def loss(model, batch, key):
        return clip_loss(*model(batch["images"], batch["tokens"], batch["real"]))

    model = CLIP(config, rngs=nnx.Rngs(0))
    optimizer = adamw(3e-3, 100, warmup=10)
    options = {"steps": 100, "batch_size": 8, "progress": False}
    trained, history = fit(model, loss, data, optimizer, **options)
    assert history.metrics["loss"][-1] < 0.05
    out = trained(*(jnp.asarray(array) for array in data.values()))
    scores = out.image_embeddings @ out.text_embeddings.T
    assert scores.argmax(axis=1).tolist() == scores.argmax(axis=0).tolist() == list(range(8))
