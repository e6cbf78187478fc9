"""From raw signals to tokens and a mask, one file a modality."""

from mmjax.modalities.audio import (
    audio_tokens,
    frame,
    hann_window,
    inverse_short_time_fourier_transform,
    log_mel_spectrogram,
    short_time_fourier_transform,
)
from mmjax.modalities.byte_pairs import BytePairVocabulary
from mmjax.modalities.image import image_tokens, patchify, unpatchify
from mmjax.modalities.mel import hertz_to_mel, mel_filter_bank, mel_to_hertz
from mmjax.modalities.positions import grid_positions
from mmjax.modalities.text import (
    END,
    PAD,
    START,
    UNKNOWN,
    ByteVocabulary,
    Vocabulary,
    WordVocabulary,
)
from mmjax.modalities.video import tubelets, untubelets, video_tokens

__all__ = [
    "END",
    "PAD",
    "START",
    "UNKNOWN",
    "BytePairVocabulary",
    "ByteVocabulary",
    "Vocabulary",
    "WordVocabulary",
    "audio_tokens",
    "frame",
    "grid_positions",
    "hann_window",
    "hertz_to_mel",
    "image_tokens",
    "inverse_short_time_fourier_transform",
    "log_mel_spectrogram",
    "mel_filter_bank",
    "mel_to_hertz",
    "patchify",
    "short_time_fourier_transform",
    "tubelets",
    "unpatchify",
    "untubelets",
    "video_tokens",
]
