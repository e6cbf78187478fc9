"""The best that any model could do: the exact posterior of a scene, given any of its signals.

The signals depend on the scene alone and their noises are independent, so by Bayes' rule

    p(scene | signals) ∝ p(scene) · Π over the signals p(signal | scene)

Each likelihood is a product over the lanes (pixels of different lanes are different pixels, sounds
of different lanes are orthogonal, every clause names its lane), so a posterior over 480³ scenes and
more takes three tables of 481 numbers. All are logarithms, up to a constant of the signal.

The image of `signals.render` is a frame of its video, noise included: use one of the two. A signal
that is missing is zeros there, which is not a likely scene: leave its rows out, or set them to 0.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.data.scenes.audio import lane_sounds
from mmjax.data.scenes.captions import VALUE_OF, WORDS, parse_caption
from mmjax.data.scenes.video import FRAMES, LANE, RGB, SIDE, TOPS, lane_templates
from mmjax.data.scenes.world import LANES, STATES, Scenes

EMPTY = 0
"""Column of an empty lane; column 1 + i is state i, counted in the order of STATES."""
COLUMNS = 1 + math.prod(STATES)
NAMES = ("colour", "shape", "size", "motion", "phase")


def video_log_likelihood(videos: np.ndarray, noise: float) -> np.ndarray:
    """log p(video | state of each lane): videos [N, 8, 32, 32, 3] → float64 [N, 3, 481].

    (⟨x, v⟩ − ‖v‖² / 2) / σ² with the clean lane v: the Gaussian without what all states share.
    Raises ValueError for another shape, or a noise that is not positive.
    """
    templates = lane_templates()
    where, expected = "video_log_likelihood", "shape [N, 8, 32, 32, 3]"
    require(
        videos.shape[1:] == (FRAMES, SIDE, SIDE, 3), where, "videos", expected=expected, got=videos
    )
    return _pixels(videos, templates.reshape(-1, *templates.shape[-3:]), noise, where)


def image_log_likelihood(images: np.ndarray, noise: float, *, frame: int = 3) -> np.ndarray:
    """The same for one frame: images [N, 32, 32, 3] → float64 [N, 3, 481]."""
    where, expected = "image_log_likelihood", "shape [N, 32, 32, 3]"
    inside = 0 <= frame < FRAMES
    require(inside, where, "frame", expected=f"from 0 to {FRAMES - 1}", got=frame)
    templates = lane_templates()[..., frame, :, :]
    require(images.shape[1:] == (SIDE, SIDE, 3), where, "images", expected=expected, got=images)
    return _pixels(images[:, None], templates.reshape(-1, 1, *templates.shape[-2:]), noise, where)


def _pixels(videos, coverage, noise, where) -> np.ndarray:
    """videos [N, F, 32, 32, 3], coverage [120, F, 10, 32] of every state but the colour."""
    require(noise > 0, where, "noise", expected="more than 0", got=noise)
    flat = coverage.reshape(len(coverage), -1).astype(np.float32)
    energy = np.multiply.outer((RGB**2).sum(1), (flat.astype(np.float64) ** 2).sum(1))
    table = np.zeros((len(videos), len(LANES), COLUMNS))
    for lane, top in enumerate(TOPS):
        pixels = np.moveaxis(videos[:, :, top : top + LANE], -1, 1).reshape(len(videos), 3, -1)
        match = np.einsum("kc,ncs->nks", RGB, pixels @ flat.T)  # [N, colours, 120]
        table[:, lane, 1:] = ((match - energy / 2) / noise**2).reshape(len(videos), -1)
    return table


def audio_log_likelihood(sounds: np.ndarray, noise: float) -> np.ndarray:
    """log p(sound | state of each lane): sounds [N, 4096] → float64 [N, 3, 481].

    The sounds of different lanes are orthogonal, so ‖x − Σ s‖² is a sum over the lanes.
    Raises ValueError for another shape, or a noise that is not positive.
    """
    where, templates = "audio_log_likelihood", lane_sounds()
    ok = sounds.ndim == 2 and sounds.shape[1] == templates.shape[-1]
    require(ok, where, "sounds", expected="shape [N, 4096]", got=sounds)
    require(noise > 0, where, "noise", expected="more than 0", got=noise)
    table = np.zeros((len(sounds), len(LANES), COLUMNS))
    for lane in range(len(LANES)):
        flat = templates[lane].reshape(-1, templates.shape[-1])  # [120, 4096]
        energy = (flat.astype(np.float64) ** 2).sum(1)
        match = (sounds @ flat.T - energy / 2) / noise**2
        table[:, lane, 1:] = np.tile(match, STATES[0])  # the colour is silent
    return table


def caption_log_likelihood(captions: Sequence[str], noise: float) -> np.ndarray:
    """log p(caption | state of each lane): N captions → float64 [N, 3, 481], −∞ = impossible.

    A word w for a value v has the probability (1 − ε) [w is a word for v] / (words for v)
    + ε / (words for the attribute). A word left out says nothing; a lane left out is empty.
    Raises ValueError for a sentence outside the grammar, or a noise outside [0, 1].
    """
    where = "caption_log_likelihood"
    require(0 <= noise <= 1, where, "noise", expected="a probability", got=noise)
    table = np.zeros((len(captions), len(LANES), COLUMNS))
    for row, caption in zip(table, captions, strict=True):
        parsed = parse_caption(caption)
        for lane in range(len(LANES)):
            if lane not in parsed:
                row[lane, 1:] = -np.inf
                continue
            row[lane, EMPTY] = -np.inf
            states = row[lane, 1:].reshape(STATES)
            for name, word in parsed[lane].items():
                shape = [-1 if axis == name else 1 for axis in NAMES]
                states += _word(name, word, noise).reshape(shape)
    return table


def _word(name: str, word: str, noise: float) -> np.ndarray:
    """log p(word | value) for each value of an attribute."""
    chance = np.array([(word in words) / len(words) for words in WORDS[name]])
    with np.errstate(divide="ignore"):
        return np.log((1 - noise) * chance + noise / len(VALUE_OF[name]))


def posterior(
    *log_likelihoods: np.ndarray,
    objects: Sequence[int] = (1, 2, 3),
    allowed: np.ndarray | None = None,
) -> np.ndarray:
    """p(state of each lane | all the signals): tables [N, 3, 481] → float64 [N, 3, 481].

    Rows sum to 1; column 0 is an empty lane. `objects` and `allowed` are those of
    `sample_scenes`. Sums over the subsets of lanes that may hold an object, exactly.
    Raises ValueError for no table, tables of other shapes, and signals that no scene allows (two
    captions that contradict each other): given the impossible, there is no posterior.
    """
    where = "posterior"
    require(len(log_likelihoods) > 0, where, "log_likelihoods", expected="a table", got="none")
    shape = (len(log_likelihoods[0]), len(LANES), COLUMNS)
    for table in log_likelihoods:
        expected = f"tables {list(shape)}"
        require(table.shape == shape, where, "log_likelihoods", expected=expected, got=table)
    possible = np.ones(STATES) if allowed is None else np.ones(STATES) * allowed[..., *[None] * 3]
    with np.errstate(divide="ignore"):
        prior = np.log(possible.reshape(-1) / possible.sum())
    total = sum(log_likelihoods)
    occupied = total[..., 1:] + prior
    evidence = np.logaddexp.reduce(occupied, axis=-1)  # [N, 3], of a lane that holds an object

    subsets = [
        (set(lanes), -math.log(len(objects) * math.comb(len(LANES), n)))
        for n in objects
        for lanes in itertools.combinations(range(len(LANES)), n)
    ]
    weights = np.stack(
        [
            log_prior + np.where(np.isin(range(3), list(held)), evidence, total[..., EMPTY]).sum(1)
            for held, log_prior in subsets
        ]
    )
    total_evidence = np.logaddexp.reduce(weights, axis=0)
    impossible = np.flatnonzero(~np.isfinite(total_evidence)).tolist()
    expected, got = "signals that some scene allows", f"none for the rows {impossible[:10]}"
    require(not impossible, where, "log_likelihoods", expected=expected, got=got)
    weights = np.exp(weights - total_evidence)  # [subsets, N]
    result = np.zeros_like(total)
    for lane in range(len(LANES)):
        held = sum(w for w, (s, _) in zip(weights, subsets, strict=True) if lane in s)
        share = occupied[:, lane] - np.where(np.isneginf(evidence), 0, evidence)[:, lane, None]
        result[:, lane, 1:] = held[:, None] * np.exp(share)
        result[:, lane, EMPTY] = 1 - held
    return result


def marginal(posteriors: np.ndarray, *attributes: str) -> np.ndarray:
    """p(attributes of the one object | signals), whatever its lane: [N, values of the first, …].

    posteriors: [N, 3, 481] of scenes with one object. The best guess of a model that sees the same
    signals is the largest entry, and its probability of being right is that entry.
    Raises ValueError for an unknown attribute.
    """
    for attribute in attributes:
        require_one_of(attribute, NAMES, "marginal", "attributes")
    states = posteriors[..., 1:].reshape(len(posteriors), len(LANES), *STATES).sum(1)
    others = tuple(1 + i for i, name in enumerate(NAMES) if name not in attributes)
    kept = [name for name in NAMES if name in attributes]
    order = [0, *(1 + kept.index(name) for name in attributes)]
    return states.sum(others).transpose(order)


def bayes_accuracy(posteriors: np.ndarray, scenes: Scenes, *attributes: str) -> float:
    """Share of one-object scenes in which the largest marginal names the attributes rightly."""
    table = marginal(posteriors, *attributes)
    truth = np.ravel_multi_index([scenes.only(name) for name in attributes], table.shape[1:])
    return float((table.reshape(len(table), -1).argmax(1) == truth).mean())
