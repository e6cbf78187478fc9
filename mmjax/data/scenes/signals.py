"""A scene four ways at once: text, image, audio and video, with noise and with gaps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.data.scenes.audio import render_audio
from mmjax.data.scenes.captions import render_captions
from mmjax.data.scenes.video import render_video
from mmjax.data.scenes.world import Scenes

MODALITIES = ("text", "image", "audio", "video")
IMAGE_FRAME = 3
"""The frame of the video that is the image."""


@dataclass(frozen=True)
class Signals:
    """What can be seen, heard and read of N scenes.

    Attributes:
        text: N captions; "" where the caption is missing.
        image: float32 [N, 32, 32, 3], a frame of the video with that frame's noise.
        audio: float32 [N, 4096].
        video: float32 [N, 8, 32, 32, 3].
        here: for each modality bool [N]; where it is False, the signal is "" or zeros.
    """

    text: list[str]
    image: np.ndarray
    audio: np.ndarray
    video: np.ndarray
    here: dict[str, np.ndarray]


def render(
    scenes: Scenes,
    *,
    seed: int,
    noise: Mapping[str, float] | None = None,
    omit: float = 0.0,
    missing: Mapping[str, float] | None = None,
) -> Signals:
    """Renders N scenes in all modalities.

    noise: σ of "video" (and of "image", which is a frame of it) and "audio", and the probability
    of a wrong word of "text"; 0 where not given. omit: the probability that a caption does not
    name a size or a colour. missing: for each modality the probability that it is lost,
    independently of everything else; a lost image and a lost video are two things.

    Raises ValueError for unknown modalities, negative noise or no probability.
    """
    noise, missing = dict(noise or {}), dict(missing or {})
    for name in noise:
        require_one_of(name, ("text", "audio", "video"), "render", "noise")
    for name, share in missing.items():
        require_one_of(name, MODALITIES, "render", "missing")
        require(0 <= share <= 1, "render", "missing", expected="probabilities", got=share)
    seeds = np.random.SeedSequence(seed).generate_state(4)
    video = render_video(scenes, noise=noise.get("video", 0.0), seed=seeds[0])
    audio = render_audio(scenes, noise=noise.get("audio", 0.0), seed=seeds[1])
    text = render_captions(scenes, noise=noise.get("text", 0.0), omit=omit, seed=seeds[2])
    image = video[:, IMAGE_FRAME].copy()
    rng = np.random.default_rng(seeds[3])
    here = {name: rng.random(len(scenes)) >= missing.get(name, 0.0) for name in MODALITIES}
    for name, signal in (("image", image), ("audio", audio), ("video", video)):
        signal[~here[name]] = 0
    text = [t if kept else "" for t, kept in zip(text, here["text"], strict=True)]
    return Signals(text, image, audio, video, here)
