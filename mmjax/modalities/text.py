"""Text as tokens: every text becomes a row of whole numbers and a mask that says which are real.

Three vocabularies, one interface: whole words (here), bytes (here), and parts of words
(`mmjax.modalities.byte_pairs`). A row is start, the text's own tokens, end, then padding:

    "a cat" -> [1, 17, 42, 2, 0, 0], mask [T, T, T, T, F, F]
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmjax.checks import require, require_one_of, require_type

PAD, START, END, UNKNOWN = range(4)
SPECIALS = ("<pad>", "<start>", "<end>", "<unknown>")


class Vocabulary(ABC):
    """What all vocabularies share. A subclass has `symbols`, `token_ids` and `join`.

    `symbols` names every token, the special ones first: 0 padding, 1 start, 2 end, 3 unknown.
    """

    symbols: tuple[str, ...]

    @property
    def size(self) -> int:
        """V, the number of tokens, the four special ones included."""
        return len(self.symbols)

    @abstractmethod
    def token_ids(self, text: str) -> list[int]:
        """The tokens of one text, without start and end."""

    @abstractmethod
    def join(self, token_ids: Sequence[int]) -> str:
        """The text of ordinary tokens; inverse of `token_ids` where nothing is unknown."""

    def longest(self, texts: Iterable[str]) -> int:
        """The smallest `length` that `encode` needs for these texts, start and end included."""
        texts = check_texts(texts, "longest")
        return max(3, 2 + max(len(self.token_ids(text)) for text in texts))

    def encode(
        self, texts: Iterable[str], length: int, *, on_overflow: str = "raise"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encodes B texts as rows of T = `length` tokens.

        Args:
            texts: B texts, at least one.
            length: T, at least 3: start, one token, end.
            on_overflow: "raise", or "truncate" to keep a text's first T - 2 tokens (and its end).

        Returns:
            tokens int32 [B, T], mask bool [B, T]; the mask is True where a token is not padding.

        Raises:
            TypeError: for a single string in place of a sequence of them, or a text that is none.
            ValueError: for an empty batch, a short `length`, or a text that does not fit.
        """
        texts = check_texts(texts, "encode")
        require(length >= 3, "encode", "length", expected="at least 3", got=length)
        require_one_of(on_overflow, ("raise", "truncate"), "encode", "on_overflow")
        tokens = np.full((len(texts), length), PAD, np.int32)
        for row, text in zip(tokens, texts, strict=True):
            ids = self.token_ids(text)
            fits = len(ids) <= length - 2 or on_overflow == "truncate"
            expected = f"at least {len(ids) + 2} for {text!r}, or on_overflow='truncate'"
            require(fits, "encode", "length", expected=expected, got=length)
            ids = [START, *ids[: length - 2], END]
            row[: len(ids)] = ids
        return tokens, tokens != PAD

    def decode(self, tokens: np.ndarray) -> list[str]:
        """The texts of tokens int [B, T]: what comes before the first end; padding is left out.

        Raises:
            TypeError: for tokens that are no whole numbers.
            ValueError: for another rank, or a token outside the vocabulary.
        """
        tokens = np.asarray(tokens)
        whole = np.issubdtype(tokens.dtype, np.integer)
        require_type(whole, "decode", "tokens", expected="whole numbers", got=tokens)
        require(tokens.ndim == 2, "decode", "tokens", expected="shape [B, T]", got=tokens)
        outside = tokens[(tokens < 0) | (tokens >= self.size)]
        expected = f"tokens from 0 to {self.size - 1}"
        require(outside.size == 0, "decode", "tokens", expected=expected, got=str(outside[:5]))
        return [self.join(_own_tokens(row)) for row in tokens.tolist()]


def _own_tokens(row: list[int]) -> list[int]:
    if END in row:
        row = row[: row.index(END)]
    return [token for token in row if token not in (PAD, START)]


def check_texts(texts: Iterable[str], where: str) -> list[str]:
    """The texts as a list, at least one; a lone string is taken for the mistake it is."""
    require_type(
        not isinstance(texts, str), where, "texts", expected="a sequence of texts", got=repr(texts)
    )
    texts = list(texts)
    require(len(texts) > 0, where, "texts", expected="at least one text", got="none")
    for text in texts:
        require_type(isinstance(text, str), where, "texts", expected="texts only", got=text)
    return texts


@dataclass(frozen=True)
class WordVocabulary(Vocabulary):
    """One token a word. A word is what stands between white space; the case is kept.

    Short rows that people can read. A word that was not counted becomes <unknown>, so nothing
    learned about other words carries over to it.

    Attributes:
        symbols: the four special tokens, then the words, the most frequent first.
    """

    symbols: tuple[str, ...]

    @classmethod
    def from_texts(cls, texts: Iterable[str], min_count: int = 1) -> "WordVocabulary":
        """Takes every word that occurs at least `min_count` times; ties in order of the alphabet.

        Raises:
            TypeError, ValueError: as `encode`, and for `min_count` below 1.
        """
        texts = check_texts(texts, "WordVocabulary.from_texts")
        enough = min_count >= 1
        require(enough, "from_texts", "min_count", expected="at least 1", got=min_count)
        counts = Counter(word for text in texts for word in text.split())
        kept = (word for word, count in counts.items() if count >= min_count)
        words = sorted((w for w in kept if w not in SPECIALS), key=lambda w: (-counts[w], w))
        return cls(SPECIALS + tuple(words))

    @cached_property
    def _index(self) -> dict[str, int]:
        # The special tokens are left out: a text that spells "<end>" must not end the row.
        return {word: i for i, word in enumerate(self.symbols) if i > UNKNOWN}

    def token_ids(self, text: str) -> list[int]:
        return [self._index.get(word, UNKNOWN) for word in text.split()]

    def join(self, token_ids: Sequence[int]) -> str:
        return " ".join(self.symbols[token] for token in token_ids)


@dataclass(frozen=True)
class ByteVocabulary(Vocabulary):
    """One token a byte of UTF-8: 260 tokens, every text of every language, nothing unknown."""

    @property
    def symbols(self) -> tuple[str, ...]:
        return SPECIALS + tuple(f"<{byte:02x}>" for byte in range(256))

    def token_ids(self, text: str) -> list[int]:
        return [byte + len(SPECIALS) for byte in text.encode()]

    def join(self, token_ids: Sequence[int]) -> str:
        """Bytes that are no UTF-8 (a model may emit any) become the replacement character."""
        parts = (token - len(SPECIALS) for token in token_ids)
        return bytes(byte for byte in parts if byte >= 0).decode(errors="replace")
