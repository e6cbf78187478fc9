"""A small audio-visual world: scenes that can be seen, heard, read and asked about.

`world` says what there is and how likely it is, `video`, `audio` and `captions` make the signals,
`signals` all of them at once, `questions` asks, and `bayes` computes the best possible answers.
"""

from mmjax.data.scenes.audio import SAMPLE_RATE, render_audio
from mmjax.data.scenes.bayes import (
    audio_log_likelihood,
    bayes_accuracy,
    caption_log_likelihood,
    image_log_likelihood,
    marginal,
    posterior,
    video_log_likelihood,
)
from mmjax.data.scenes.captions import parse_caption, render_captions, said
from mmjax.data.scenes.matching import best_match
from mmjax.data.scenes.questions import ANSWERS, KINDS, Question, ask_questions
from mmjax.data.scenes.signals import IMAGE_FRAME, MODALITIES, Signals, render
from mmjax.data.scenes.video import render_video
from mmjax.data.scenes.wordings import render_wordings
from mmjax.data.scenes.world import (
    ATTRIBUTES,
    COLOURS,
    FRAMES,
    LANES,
    MOTIONS,
    PHASES,
    SHAPES,
    SIZES,
    Scenes,
    sample_scenes,
)

__all__ = [
    "ANSWERS",
    "ATTRIBUTES",
    "COLOURS",
    "FRAMES",
    "IMAGE_FRAME",
    "KINDS",
    "LANES",
    "MODALITIES",
    "MOTIONS",
    "PHASES",
    "SAMPLE_RATE",
    "SHAPES",
    "SIZES",
    "Question",
    "Scenes",
    "Signals",
    "ask_questions",
    "audio_log_likelihood",
    "bayes_accuracy",
    "best_match",
    "caption_log_likelihood",
    "image_log_likelihood",
    "marginal",
    "parse_caption",
    "posterior",
    "render",
    "render_audio",
    "render_captions",
    "render_video",
    "render_wordings",
    "said",
    "sample_scenes",
    "video_log_likelihood",
]
