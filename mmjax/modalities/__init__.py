"""From raw signals to tokens and a mask, one file a modality."""

from mmjax.modalities.byte_pairs import BytePairVocabulary
from mmjax.modalities.image import patchify, unpatchify
from mmjax.modalities.text import (
    END,
    PAD,
    START,
    UNKNOWN,
    ByteVocabulary,
    Vocabulary,
    WordVocabulary,
)

__all__ = [
    "END",
    "PAD",
    "START",
    "UNKNOWN",
    "BytePairVocabulary",
    "ByteVocabulary",
    "Vocabulary",
    "WordVocabulary",
    "patchify",
    "unpatchify",
]
