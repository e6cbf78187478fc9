"""Reads a SentencePiece file with a unigram vocabulary, and cuts texts as SentencePiece does.

Kudo and Richardson 2018, "SentencePiece"; the file `spiece.model` or `sentencepiece.model` is a
message of Protocol Buffers, of which this needs a few fields: the pieces with their ln p and kind,
and how a text is normalised before it is cut. Nothing in the file is run.
"""

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path

import numpy as np

from mmjax.checks import require
from mmjax.modalities.character_map import CharacterMap
from mmjax.modalities.protobuf import fields
from mmjax.modalities.unigram import UNKNOWN_PENALTY, best_split

SPACE = "\u2581"
"""The sign that stands for a space inside of pieces: ▁."""


_BYTES = {f"<0x{byte:02X}>" for byte in range(256)}


class Kind(IntEnum):
    """What a piece is; only ordinary ones are found in a text."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class UnigramVocabulary:
    """Pieces with their log-probabilities; a token's id is its place.

    Attributes:
        symbols: every piece; "▁" in it is a space.
        scores: ln p of each.
        kinds: what each is.
        characters: how single characters are written before the text is cut.
        leading_space: puts a space in front of a text, so its first word is as any other.
        single_spaces: drops spaces at both ends and makes every run of them one.
        spell_bytes: writes an unknown character as its bytes, each a piece "<0x..>".
    """

    symbols: tuple[str, ...]
    scores: tuple[float, ...]
    kinds: tuple[Kind, ...]
    characters: CharacterMap = field(default_factory=CharacterMap)
    leading_space: bool = True
    single_spaces: bool = True
    spell_bytes: bool = False

    @classmethod
    def from_file(cls, path: str | Path) -> "UnigramVocabulary":
        """Reads a SentencePiece model.

        Raises ValueError for a file that is none, or that needs what is not here: byte pairs in
        place of probabilities, pieces defined by the user, spaces behind the words; OSError if it
        cannot be opened.
        """
        data = Path(path).read_bytes()
        try:
            return cls(**_parse(data))
        except ValueError as error:
            problem = str(error)
        except (AttributeError, IndexError, KeyError, TypeError, struct.error) as error:
            problem = repr(error)
        raise ValueError(f"{Path(path).name}: cannot be used as a unigram model: {problem}")

    def __post_init__(self):
        where, kinds = type(self).__name__, self.kinds
        same = len(self.symbols) == len(self.scores) == len(kinds) > 0
        got = f"{len(self.symbols)}, {len(self.scores)} and {len(kinds)}"
        require(same, where, "symbols", expected="as many scores and kinds", got=got)
        got = f"{kinds.count(Kind.UNKNOWN)}"
        require(got == "1", where, "kinds", expected="one unknown piece", got=got)
        require(Kind.NORMAL in kinds, where, "kinds", expected="an ordinary piece", got="none")
        defined = Kind.USER_DEFINED in kinds
        require(not defined, where, "kinds", expected="no piece defined by the user", got="one")
        finite = bool(np.isfinite(self.scores).all())
        require(finite, where, "scores", expected="finite numbers", got="others")
        spelled = not self.spell_bytes or _BYTES <= set(self.symbols)
        require(spelled, where, "symbols", expected="a piece for each byte", got="fewer")

    @property
    def size(self) -> int:
        """V, the number of tokens."""
        return len(self.symbols)

    @property
    def unknown(self) -> int:
        """The token of what no piece covers."""
        return self.kinds.index(Kind.UNKNOWN)

    @cached_property
    def _index(self) -> dict[str, int]:
        kinds = enumerate(self.kinds)
        return {self.symbols[i]: i for i, kind in kinds if kind == Kind.NORMAL}

    @cached_property
    def _bytes(self) -> list[int]:
        index = {symbol: i for i, symbol in enumerate(self.symbols)}
        return [index[f"<0x{byte:02X}>"] for byte in range(256)] if self.spell_bytes else []

    @cached_property
    def _log_probabilities(self) -> dict[str, np.float32]:
        return {symbol: np.float32(self.scores[i]) for symbol, i in self._index.items()}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._index))

    @cached_property
    def _unknown_score(self) -> np.float32:
        return min(self._log_probabilities.values()) - UNKNOWN_PENALTY

    def normalise(self, text: str) -> str:
        """The text as it is cut: characters replaced, spaces as "▁".

        Raises ValueError for a text that has no UTF-8, as half of a surrogate pair has none.
        """
        text = self.characters(text)
        if self.single_spaces:
            text = " ".join(part for part in text.split(" ") if part)
        text = text.replace(" ", SPACE)
        if self.single_spaces:
            text = text.rstrip(SPACE)
        return SPACE + text if self.leading_space and text else text

    def token_ids(self, text: str) -> list[int]:
        """The tokens of one text; a run of unknown characters is one token."""
        text, ids = self.normalise(text), []
        pieces = best_split(text, self._log_probabilities, self._longest, self._unknown_score)
        for piece in pieces:
            token = self._index.get(piece, self.unknown)
            if token == self.unknown and self.spell_bytes:
                ids += [self._bytes[byte] for byte in piece.encode()]
            elif token != self.unknown or ids[-1:] != [token]:
                ids.append(token)
        return ids

    def join(self, token_ids: list[int]) -> str:
        """The text of tokens, as it was after `normalise`; what is no piece is left out.

        Raises ValueError for a token that is none of the vocabulary.
        """
        parts, expected = bytearray(), f"tokens from 0 to {self.size - 1}"
        for token in token_ids:
            require(0 <= token < self.size, "join", "token_ids", expected=expected, got=token)
            if self.kinds[token] == Kind.BYTE:
                parts.append(int(self.symbols[token][1:-1], 16))
            elif self.kinds[token] == Kind.NORMAL:
                parts += self.symbols[token].encode()
        text = parts.decode(errors="replace").replace(SPACE, " ")
        return text.removeprefix(" ") if self.leading_space else text


def _parse(data: bytes) -> dict:
    """The fields of ModelProto: 1 pieces, 2 how it was trained, 3 how texts are normalised."""
    message = list(fields(data))
    pieces = [dict(fields(value)) for number, value in message if number == 1]
    trained, normal = (_last(message, number) for number in (2, 3))
    unigram = trained.get(3, 1) == 1
    require(unigram, "UnigramVocabulary", "path", expected="a unigram model", got="another kind")
    plain = not trained.get(24, 0) and normal.get(5, 1)
    require(plain, "UnigramVocabulary", "path", expected="spaces as ▁ before words", got="others")
    return {
        "symbols": tuple(piece[1].decode() for piece in pieces),
        "scores": tuple(struct.unpack("<f", piece.get(2, bytes(4)))[0] for piece in pieces),
        "kinds": tuple(Kind(piece.get(3, Kind.NORMAL)) for piece in pieces),
        "characters": CharacterMap.from_bytes(normal.get(2, b"")),
        "leading_space": bool(normal.get(3, 1)),
        "single_spaces": bool(normal.get(4, 1)),
        "spell_bytes": bool(trained.get(35, 0)),
    }


def _last(message: list, number: int) -> dict:
    """A message inside of the message; of several the fields of later ones win."""
    return {key: value for n, inner in message if n == number for key, value in fields(inner)}
