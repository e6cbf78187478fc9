"""Longer clips: scenes strung together, in which a few things happen that are worth telling.

`world` says what a clip is and how likely, `signals` shows it, plays it and tells it in a sentence.
"""

from mmjax.data.clips.signals import parse_sentence, render_frames, render_sound, sentences
from mmjax.data.clips.world import (
    EVENT,
    EVENTS,
    FRAMES,
    HEARD,
    KINDS,
    MOMENTS,
    NOTHING,
    PERCEIVED,
    SCENES,
    SEEN,
    VIEWS,
    Clips,
    sample_clips,
)

__all__ = [
    "EVENT",
    "EVENTS",
    "FRAMES",
    "HEARD",
    "KINDS",
    "MOMENTS",
    "NOTHING",
    "PERCEIVED",
    "SCENES",
    "SEEN",
    "VIEWS",
    "Clips",
    "parse_sentence",
    "render_frames",
    "render_sound",
    "sample_clips",
    "sentences",
]
