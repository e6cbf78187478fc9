"""Clips: what they are made of and how likely, what is seen, heard and told."""

import math
from collections import Counter

import numpy as np
import pytest

from mmjax.data import clips as world
from mmjax.data import scenes
from mmjax.data.clips.world import MAX_GROUND, SPACING, sample_times
from mmjax.data.scenes.audio import lane_sounds

N = 400


@pytest.fixture(scope="module")
def clips():
    return world.sample_clips(N, seed=0)


@pytest.fixture(scope="module")
def few():
    clips = world.sample_clips(3, seed=1)
    return clips, world.render_frames(clips), world.render_sound(clips).reshape(3, 48, 512)


def test_the_same_seed_gives_the_same_clips(clips):
    again, other = world.sample_clips(N, seed=0), world.sample_clips(N, seed=1)
    for name in ("ground", "resident", "view", "kind", "time", "lane", "colour", "shape", "place"):
        np.testing.assert_array_equal(getattr(clips, name), getattr(again, name))
        assert (getattr(clips, name) != getattr(other, name)).any()


def test_every_clip_is_as_the_model_says(clips):
    assert (np.diff(clips.view, axis=1) != 0).all()
    assert clips.time.min() >= 1 and clips.time.max() <= world.FRAMES - 2
    assert (np.diff(clips.time, axis=1) >= SPACING).all()
    for kind in clips.kind:
        assert np.isin(kind, (world.EVENT, world.SEEN)).sum() == world.PERCEIVED
        assert np.isin(kind, (world.EVENT, world.HEARD)).sum() == world.PERCEIVED
    seen = np.isin(clips.kind, (world.EVENT, world.SEEN))
    pairs = 3 * clips.colour + clips.shape
    assert all(len(set(p[s])) == world.PERCEIVED for p, s in zip(pairs, seen, strict=True))
    heard = np.isin(clips.kind, (world.EVENT, world.HEARD))
    assert all(len(set(p[h])) == world.PERCEIVED for p, h in zip(pairs, heard, strict=True))
    assert (clips.residents().motion < scenes.MOTIONS.index("blinks")).all()
    assert clips.ground.min() >= 0 and clips.ground.max() <= MAX_GROUND


def near_uniform(counted, values):
    """Every value about as often, five standard deviations allowed."""
    total = sum(counted.values())
    assert set(counted) == set(values)
    share = 1 / len(values)
    spread = 5 * math.sqrt(total * share * (1 - share))
    assert all(abs(n - total * share) < spread for n in counted.values())


def test_what_is_uniform_is_uniform(clips):
    near_uniform(Counter((clips.kind == world.EVENT).sum(1).tolist()), world.EVENTS)
    near_uniform(Counter(clips.view[:, 0].tolist()), range(3))
    near_uniform(Counter((np.diff(clips.view, axis=1) % 3).ravel().tolist()), (1, 2))
    near_uniform(Counter(clips.lane.ravel().tolist()), (0, 1))
    near_uniform(Counter((3 * clips.colour + clips.shape).ravel().tolist()), range(12))
    near_uniform(Counter(np.nonzero(clips.kind == world.EVENT)[1].tolist()), range(8))
    near_uniform(Counter(clips.resident[..., 3].ravel().tolist()), range(4))


def test_what_is_heard_does_not_tell_the_events(clips):
    """Of two things heard in a row that differ, the event has either shape as often."""
    first = []
    for kind, shape in zip(clips.kind, clips.shape, strict=True):
        events, others = shape[kind == world.EVENT], shape[kind == world.HEARD]
        first += [int(a) for a, b in zip(events, others, strict=False) if a != b]
    near_uniform(Counter(first), range(3))
    alike = Counter()  # two events share a shape as often as two that are heard only
    for kind, shape in zip(clips.kind, clips.shape, strict=True):
        for name in (world.EVENT, world.HEARD):
            a, b = shape[kind == name][:2]
            alike[name] += a == b
    expected = len(clips) * 3 / 11  # the second of 11 pairs left, 3 of them of this shape
    spread = 5 * math.sqrt(expected * 8 / 11)
    assert all(abs(alike[name] - expected) < spread for name in (world.EVENT, world.HEARD))


def test_every_set_of_middles_is_as_likely():
    rng = np.random.default_rng(2)
    drawn = Counter(tuple(sample_times(rng, 11, 2, 4).tolist()) for _ in range(3000))
    near_uniform(drawn, [(a, b) for a in range(1, 10) for b in range(a + 4, 10)])


def test_the_truth_and_the_sentence(clips):
    for i in range(20):
        events = [m for m in range(8) if clips.kind[i, m] == world.EVENT]
        assert clips.key_frames[i].tolist() == [clips.time[i, m] for m in events]
        named = [
            (scenes.COLOURS[clips.colour[i, m]], scenes.SHAPES[clips.shape[i, m]]) for m in events
        ]
        assert world.parse_sentence(world.sentences(clips)[i]) == named
        pairs = {3 * scenes.COLOURS.index(c) + scenes.SHAPES.index(s) for c, s in named}
        assert set(np.flatnonzero(clips.happened()[i])) == pairs


def test_what_is_seen_stands_in_its_lane_and_nowhere_else(few):
    clips, frames, _ = few
    assert frames.shape == (3, 48, 32, 32, 3) and frames.dtype == np.uint8
    rgb = scenes.video.RGB
    for i in range(3):
        moments = {}
        for m in range(8):
            for step in (-1, 0, 1):
                moments[clips.time[i, m] + step] = (m, 1 - abs(step) / 2)
        for t in range(48):
            ground = clips.ground[i, clips.view[i, t // 8]] * (0.8 + 0.05 * (t % 8))
            upper = np.rint(255 * ground) * np.ones((21, 32, 1))
            m, strength = moments.get(t, (0, 0))
            if strength and clips.kind[i, m] in (world.EVENT, world.SEEN):
                state = (clips.shape[i, m], 1, 0, clips.place[i, m], 0)
                shown = strength * scenes.video.lane_templates()[state][..., None]
                top = (1, 11)[clips.lane[i, m]]
                strip = (1 - shown) * ground + shown * rgb[clips.colour[i, m]]
                upper[top : top + 10] = 255 * strip
            np.testing.assert_allclose(frames[i, t, :21], upper, atol=0.51)


def test_the_background_is_the_scene_of_the_view(few):
    clips, frames, _ = few
    black = world.Clips(0 * clips.ground, *(getattr(clips, f) for f in list(vars(clips))[1:]))
    shown = scenes.render_video(clips.residents()).reshape(3, 48, 32, 32, 3)[:, :, 21:31]
    np.testing.assert_allclose(world.render_frames(black)[:, :, 21:31], 255 * shown, atol=0.51)
    assert (frames[:, :, 21:31] != world.render_frames(black)[:, :, 21:31]).any()


def test_what_is_heard_is_added_to_the_hum_of_the_resident(few):
    clips, _, sound = few
    expected = scenes.render_audio(clips.residents()).reshape(3, 48, 512).copy()
    for i in range(3):
        for m in range(8):
            if world.KINDS[clips.kind[i, m]] in ("event", "heard"):
                hum = lane_sounds()[clips.lane[i, m], clips.shape[i, m], 1, 0, 0].reshape(8, 512)[0]
                for step, strength in ((-1, 0.5), (0, 1.0), (1, 0.5)):
                    expected[i, clips.time[i, m] + step] += strength * hum
    np.testing.assert_allclose(sound, expected, atol=1e-6)


def test_a_part_of_the_clips(clips):
    some = clips[[3, 5]]
    assert len(some) == 2 and world.sentences(some)[1] == world.sentences(clips)[5]


def test_errors():
    with pytest.raises(ValueError, match="'count': expected at least 1, got 0"):
        world.sample_clips(0, seed=0)
    for wrong in ("a red circle and a blue square", "a red cube", "red circle", ""):
        with pytest.raises(ValueError, match="'sentence'"):
            world.parse_sentence(wrong)
