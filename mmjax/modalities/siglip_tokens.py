"""SigLIP's own tokens, so that published weights can be used.

Zhai et al. (2023), section 3.1: 32,000 pieces of a unigram vocabulary, texts of 64 tokens, lower
case. The rules are those of transformers: punctuation of ASCII is dropped, and what follows the
text are end tokens, which are the padding too. Padding is attended to, so it must be this.
"""

import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.modalities.sentencepiece import Kind, UnigramVocabulary
from mmjax.modalities.text import check_texts

END = "</s>"
LENGTH = 64
"""Tokens of a text in every published SigLIP but one (SO-400M at 224 pixels: 16), end included."""
PUNCTUATION = str.maketrans("", "", string.punctuation)


def canonical(text: str) -> str:
    """Lower case, no ASCII punctuation, every run of white space one space, none at the ends."""
    return re.sub(r"\s+", " ", text.lower().translate(PUNCTUATION)).strip()


@dataclass(frozen=True)
class SigLIPVocabulary:
    """The pieces of `spiece.model`, used as SigLIP uses them.

    A text that spells "</s>" is text, as in the released code; transformers takes it for the token.
    """

    pieces: UnigramVocabulary

    @classmethod
    def from_file(cls, path: str | Path) -> "SigLIPVocabulary":
        """Reads a checkpoint's `spiece.model`. Raises as `UnigramVocabulary.from_file`."""
        return cls(UnigramVocabulary.from_file(path))

    def __post_init__(self):
        control = dict(zip(self.pieces.symbols, self.pieces.kinds, strict=True)).get(END)
        expected = f"a control piece {END!r}"
        require(
            control == Kind.CONTROL, "SigLIPVocabulary", "pieces", expected=expected, got="none"
        )

    @property
    def size(self) -> int:
        """V, the number of tokens."""
        return self.pieces.size

    @property
    def end(self) -> int:
        """The token at the end of a text and of the padding: 1 in the published vocabularies."""
        return self.pieces.symbols.index(END)

    def token_ids(self, text: str) -> list[int]:
        """The tokens of one text, without its end."""
        return self.pieces.token_ids(canonical(text))

    def encode(
        self, texts: Iterable[str], length: int = LENGTH, *, on_overflow: str = "truncate"
    ) -> tuple[np.ndarray, np.ndarray]:
        """B texts as rows of `length` tokens: the text, its end, then padding by end tokens.

        A text that is too long keeps its first tokens and its end, or raises as asked.
        Returns tokens int32 [B, length] and the mask bool [B, length], True up to the first end.
        Raises TypeError or ValueError for texts or a length that do not fit.
        """
        texts = check_texts(texts, "encode")
        require(length >= 2, "encode", "length", expected="at least 2", got=length)
        require_one_of(on_overflow, ("raise", "truncate"), "encode", "on_overflow")
        tokens = np.full((len(texts), length), self.end, np.int32)
        mask = np.zeros(tokens.shape, bool)
        for row, real, text in zip(tokens, mask, texts, strict=True):
            ids = self.token_ids(text)
            fits = len(ids) < length or on_overflow == "truncate"
            expected = f"at least {len(ids) + 1} for {text!r}, or on_overflow='truncate'"
            require(fits, "encode", "length", expected=expected, got=length)
            ids = ids[: length - 1]
            row[: len(ids)] = ids
            real[: len(ids) + 1] = True
        return tokens, mask

    def decode(self, token_ids: Iterable[int]) -> str:
        """The text of tokens, ends left out."""
        return self.pieces.join(list(token_ids))
