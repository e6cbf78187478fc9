"""Scenes: the four signals say the same thing, in sync, and the posterior is the exact one."""

import dataclasses
import itertools

import numpy as np
import pytest

from mmjax.data import scenes as world
from mmjax.data.scenes import bayes, captions, questions, video
from mmjax.data.scenes.audio import SEGMENT, lane_sounds

MANY = world.sample_scenes(4000, seed=0)
FEW = MANY[:60]


def one_object(count, seed=1, **options):
    return world.sample_scenes(count, seed=seed, objects=(1,), **options)


def state_of(scenes, i, lane):
    """Column of the tables of `bayes`."""
    if not scenes.present[i, lane]:
        return bayes.EMPTY
    values = [getattr(scenes, name)[i, lane] for name in bayes.NAMES]
    return 1 + np.ravel_multi_index(values, bayes.STATES)


def test_every_choice_is_as_likely_as_the_model_says():
    assert np.allclose(np.bincount(MANY.objects, minlength=4)[1:] / len(MANY), 1 / 3, atol=0.03)
    assert np.allclose(MANY.present.mean(0), 2 / 3, atol=0.03)
    for name, values in world.ATTRIBUTES.items():
        drawn = getattr(MANY, name)[MANY.present]
        assert np.allclose(np.bincount(drawn) / len(drawn), 1 / len(values), atol=0.03)
        assert (getattr(MANY, name)[~MANY.present] == 0).all()


def test_a_seed_repeats_and_another_does_not():
    again, other = world.sample_scenes(4000, seed=0), world.sample_scenes(4000, seed=1)
    for field in dataclasses.fields(MANY):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(MANY, field.name))
    assert (other.colour != MANY.colour).any()


def test_held_back_pairs_do_not_occur():
    allowed = np.ones((4, 3), bool)
    allowed[[0, 1, 2], [0, 1, 2]] = False
    scenes = world.sample_scenes(2000, seed=0, allowed=allowed)
    colours, shapes = scenes.colour[scenes.present], scenes.shape[scenes.present]
    assert allowed[colours, shapes].all()
    assert len(set(zip(colours, shapes, strict=True))) == allowed.sum()


def test_an_object_is_in_its_lane_in_its_colour():
    clean = world.render_video(FEW)
    assert clean.shape == (60, 8, 32, 32, 3) and clean.dtype == np.float32
    assert clean.min() == 0 and clean.max() <= 1
    for lane, top in enumerate(video.TOPS):
        lit = clean[:, :, top : top + video.LANE].sum((1, 2, 3))
        np.testing.assert_array_equal(lit.any(-1), FEW.present[:, lane])
        held = FEW.present[:, lane]
        rgb = video.RGB[FEW.colour[held, lane]]
        np.testing.assert_allclose(
            lit[held] / lit[held].sum(-1, keepdims=True),
            rgb / rgb.sum(-1, keepdims=True),
            atol=1e-5,
        )
    assert (clean[:, :, 0] == 0).all() and (clean[:, :, 31] == 0).all()


def test_motion_is_what_its_name_says():
    for phase in range(world.PHASES):
        places = {name: video.path(i, phase)[0] for i, name in enumerate(world.MOTIONS)}
        assert np.ptp(places["stays"]) == 0 and (np.diff(places["slides right"]) > 0).all()
        assert (np.diff(places["slides left"]) < 0).all()
        assert {0.0, 1.0} <= set(places["bounces"])
        assert video.path(4, phase)[1].sum() == 4
    assert all(
        0 <= video.path(m, p)[0].min() <= video.path(m, p)[0].max() <= 1
        for m, p in itertools.product(range(5), range(4))
    )


def test_sound_is_in_sync_with_the_picture():
    """What blinks sounds in the frames in which it is seen; what bounces, at the walls."""
    scenes = one_object(400)
    clean, sound = world.render_video(scenes), world.render_audio(scenes)
    seen = clean.sum((2, 3, 4)) > 0
    heard = (sound.reshape(len(scenes), 8, SEGMENT) ** 2).sum(-1) > 1e-6
    bounces = scenes.only("motion") == world.MOTIONS.index("bounces")
    np.testing.assert_array_equal(heard[~bounces], seen[~bounces])
    column = np.abs(clean).sum((2, 4)) > 0  # [N, 8, 32]: columns with something in them
    at_wall = column[..., 0] | column[..., -1]
    small = scenes.only("size") == 0
    square = scenes.only("shape") == 1  # fills its columns least at the wall: 0.9 of its half
    chosen = bounces & ~small & ~square
    np.testing.assert_array_equal(heard[chosen], at_wall[chosen])


def test_pitch_follows_lane_size_and_slide():
    scenes = one_object(300)
    spectrum = np.abs(np.fft.rfft(world.render_audio(scenes).reshape(-1, 8, SEGMENT)))
    lowest = (spectrum > 0.4 * spectrum.max((1, 2), keepdims=True)).argmax(-1)  # [N, 8]
    lane, motion, size = scenes.present.argmax(1), scenes.only("motion"), scenes.only("size")
    circles = scenes.only("shape") == 0
    for at, name, step in ((1, "slides left", -1), (2, "slides right", 1), (0, "stays", 0)):
        assert (np.diff(lowest[circles & (motion == at)]) == step).all(), name
    still = circles & (motion == 0)
    for low, high in ((2, 1), (1, 0)):  # a higher lane sounds higher
        assert lowest[still & (lane == low)].max() < lowest[still & (lane == high)].min()
    for k in range(3):  # and a smaller object
        big, little = still & (lane == k) & (size == 1), still & (lane == k) & (size == 0)
        assert lowest[big].max() < lowest[little].min()


def test_sounds_of_different_lanes_are_orthogonal():
    flat = lane_sounds().reshape(3, -1, 4096).astype(np.float64)
    for a, b in itertools.combinations(range(3), 2):
        assert np.abs(flat[a] @ flat[b].T).max() < 1e-3
    assert (flat**2).sum(-1).min() > 100


def test_captions_say_what_is_there_and_read_back():
    texts = world.render_captions(MANY, seed=0)
    assert len(set(texts)) > 3500
    for i, text in enumerate(texts[:300]):
        assert list(world.parse_caption(text)) == np.flatnonzero(MANY.present[i]).tolist()
        for name in world.ATTRIBUTES:
            for lane, value in world.said(text, name).items():
                assert value == getattr(MANY, name)[i, lane]
    plain = world.render_captions(MANY[:1])[0]
    assert plain == world.render_captions(MANY[:1])[0] and plain.startswith("a ")


def test_words_are_replaced_and_left_out_as_often_as_asked():
    scenes = one_object(4000)
    noisy = world.render_captions(scenes, noise=0.5, seed=0)
    right = [
        world.said(t, "colour")[k] == c
        for t, k, c in zip(noisy, scenes.present.argmax(1), scenes.only("colour"), strict=True)
    ]
    assert np.mean(right) == pytest.approx(0.5 + 0.5 / 4, abs=0.03)
    short = world.render_captions(scenes, omit=0.3, seed=0)
    assert np.mean([not world.said(t, "size") for t in short]) == pytest.approx(0.3, abs=0.03)
    assert all(world.said(t, "shape") for t in short)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a circle",
        "a red small circle stays at the top",
        "a circle stays at the top and a box rests at the top",
    ],
)
def test_a_sentence_outside_the_grammar_is_refused(text):
    with pytest.raises(ValueError, match="argument 'caption'"):
        world.parse_caption(text)


def test_questions_are_answered_by_the_scene():
    asked = world.ask_questions(MANY, seed=0)
    assert {q.kind for q in asked} == set(world.KINDS) and {q.answer for q in asked} <= set(
        world.ANSWERS
    )
    exists = [q for q in asked if q.kind == "exists"]
    assert np.mean([q.answer == "yes" for q in exists]) == pytest.approx(0.5, abs=0.06)
    for i, q in enumerate(asked[:500]):
        lanes = np.flatnonzero(MANY.present[i])
        there = {
            f"{world.COLOURS[MANY.colour[i, k]]} {world.SHAPES[MANY.shape[i, k]]}" for k in lanes
        }
        if q.kind == "count":
            assert questions.NUMBERS.index(q.answer) + 1 == len(lanes)
        elif q.kind == "exists":
            assert (q.answer == "yes") == (q.text.removeprefix("is there a ") in there)
        else:
            lane = next(k for k, name in enumerate(world.LANES) if name in q.text)
            value = getattr(MANY, q.kind)[i, lane]
            assert MANY.present[i, lane] and q.answer == world.ATTRIBUTES[q.kind][value]


def direct(scenes, videos, sounds, texts, video_noise, audio_noise, word_noise, truth):
    """log p(signals | scene) + log p(scene) of one scene, straight from the model's definition."""
    clean_video, clean_sound = world.render_video(truth)[0], world.render_audio(truth)[0]
    total = -((videos.astype(float) - clean_video) ** 2).sum() / (2 * video_noise**2)
    total -= ((sounds.astype(float) - clean_sound) ** 2).sum() / (2 * audio_noise**2)
    for lane, words in world.parse_caption(texts).items():
        if not truth.present[0, lane]:
            return -np.inf
        for name, word in words.items():
            options = captions.WORDS[name][getattr(truth, name)[0, lane]]
            chance = (word in options) / len(options) * (1 - word_noise)
            total += np.log(chance + word_noise / len(captions.VALUE_OF[name]))
    if len(world.parse_caption(texts)) != truth.objects[0]:
        return -np.inf
    return total


def test_posterior_is_bayes_rule_over_all_scenes():
    """Ratios of posteriors against the densities written out, for scenes of up to three objects."""
    noise = {"video": 1.5, "audio": 1.0, "text": 0.4}
    signals = world.render(FEW, seed=3, noise=noise)
    tables = [
        world.video_log_likelihood(signals.video, 1.5),
        world.audio_log_likelihood(signals.audio, 1.0),
        world.caption_log_likelihood(signals.text, 0.4),
    ]
    result = world.posterior(*tables)
    np.testing.assert_allclose(result.sum(-1), 1, rtol=1e-9)
    for i in range(12):
        lane = int(np.flatnonzero(FEW.present[i])[0])
        truth = FEW[i : i + 1]
        changed = dataclasses.replace(truth, motion=truth.motion.copy())
        changed.motion[0, lane] = (truth.motion[0, lane] + 1) % 5
        ours = [result[i, lane, state_of(s, 0, lane)] for s in (truth, changed)]
        theirs = [
            direct(FEW, signals.video[i], signals.audio[i], signals.text[i], 1.5, 1.0, 0.4, s)
            for s in (truth, changed)
        ]
        if min(ours) > 0:  # neither underflows
            np.testing.assert_allclose(np.log(ours[1] / ours[0]), theirs[1] - theirs[0], rtol=1e-3)


def test_which_lanes_are_full_is_inferred_exactly():
    """Without any signal the posterior is the prior: 2 of 3 lanes hold an object on average."""
    nothing = np.zeros((2, 3, bayes.COLUMNS))
    result = world.posterior(nothing)
    np.testing.assert_allclose(result[..., 0], 1 / 3, rtol=1e-12)
    np.testing.assert_allclose(result[..., 1:], 2 / 3 / 480, rtol=1e-12)
    one = world.posterior(nothing, objects=(1,))
    np.testing.assert_allclose(one[..., 0], 2 / 3, rtol=1e-12)
    np.testing.assert_allclose(world.marginal(one, "shape", "motion"), 1 / 15, rtol=1e-12)


def test_signals_that_contradict_each_other_are_refused():
    said = ["a red circle stays at the top", "a blue circle stays at the top"]
    red, blue = (world.caption_log_likelihood([text] * 2, 0.0) for text in said)
    assert np.isfinite(world.posterior(red, red)).all()
    mixed = np.stack([red[0], blue[0]])
    with pytest.raises(ValueError, match=r"some scene allows, got none for the rows \[1\]"):
        world.posterior(red, mixed)


def test_the_posterior_is_calibrated_and_more_signals_help():
    """The largest probability is, on average, how often that guess is right."""
    scenes = one_object(3000)
    signals = world.render(scenes, seed=0, noise={"video": 4.0, "audio": 8.0, "text": 0.6})
    tables = {
        "video": world.video_log_likelihood(signals.video, 4.0),
        "audio": world.audio_log_likelihood(signals.audio, 8.0),
        "text": world.caption_log_likelihood(signals.text, 0.6),
    }
    right = {}
    for name, chosen in [*((k, [v]) for k, v in tables.items()), ("all", tables.values())]:
        result = world.posterior(*chosen, objects=(1,))
        guess = world.marginal(result, "shape", "motion")
        right[name] = world.bayes_accuracy(result, scenes, "shape", "motion")
        assert right[name] == pytest.approx(guess.max((1, 2)).mean(), abs=0.03)
    assert right["all"] > max(right["video"], right["audio"], right["text"]) + 0.05
    assert all(1 / 15 + 0.05 < r < 0.95 for r in right.values()), right


def test_sound_knows_no_colour_and_a_frame_no_motion():
    scenes = one_object(600)
    signals = world.render(scenes, seed=0, noise={"video": 0.1, "audio": 0.1})
    sound = world.posterior(world.audio_log_likelihood(signals.audio, 0.1), objects=(1,))
    np.testing.assert_allclose(world.marginal(sound, "colour"), 1 / 4, rtol=1e-9)
    assert world.bayes_accuracy(sound, scenes, "shape", "motion") == 1
    image = world.posterior(world.image_log_likelihood(signals.image, 0.1), objects=(1,))
    assert world.bayes_accuracy(image, scenes, "colour") > 0.8
    assert world.bayes_accuracy(image, scenes, "motion") < 0.45  # 8 of 20 pairs of motion and phase
    film = world.posterior(world.video_log_likelihood(signals.video, 0.1), objects=(1,))
    assert world.bayes_accuracy(film, scenes, "colour", "shape", "size", "motion") == 1


def test_what_is_missing_is_empty_and_said_so():
    signals = world.render(
        MANY[:500], seed=0, noise={"video": 1.0}, missing={"text": 0.4, "audio": 1}
    )
    assert 0.3 < 1 - signals.here["text"].mean() < 0.5
    assert not signals.here["audio"].any() and (signals.audio == 0).all()
    assert all(
        (t != "") == here for t, here in zip(signals.text, signals.here["text"], strict=True)
    )
    assert signals.here["video"].all() and signals.here["image"].all()
    np.testing.assert_array_equal(signals.image, signals.video[:, world.IMAGE_FRAME])


WRONG = {
    "count": lambda: world.sample_scenes(0, seed=0),
    "objects": lambda: world.sample_scenes(1, seed=0, objects=(0, 1)),
    "allowed": lambda: world.sample_scenes(1, seed=0, allowed=np.zeros((4, 3), bool)),
    "seed": lambda: world.render_video(FEW, noise=1.0),
    "noise": lambda: world.render_audio(FEW, noise=-1.0, seed=0),
    "omit": lambda: world.render_captions(FEW, omit=2.0, seed=0),
    "missing": lambda: world.render(FEW, seed=0, missing={"smell": 0.5}),
    "self": lambda: FEW.only("colour"),
    "attributes": lambda: world.marginal(world.posterior(np.zeros((1, 3, 481))), "weight"),
    "videos": lambda: world.video_log_likelihood(np.zeros((1, 32, 32, 3)), 1.0),
    "images": lambda: world.image_log_likelihood(np.zeros((1, 40, 32, 3)), 1.0),
    "frame": lambda: world.image_log_likelihood(np.zeros((1, 32, 32, 3)), 1.0, frame=8),
    "log_likelihoods": lambda: world.posterior(np.zeros((1, 3, 481)), np.zeros((2, 3, 481))),
    "sounds": lambda: world.audio_log_likelihood(np.zeros((1, 5)), 1.0),
    "attribute": lambda: world.said("a circle stays at the top", "weight"),
}


@pytest.mark.parametrize("argument", WRONG)
def test_wrong_arguments_are_named(argument):
    with pytest.raises(ValueError, match=f"argument '{argument}'"):
        WRONG[argument]()
