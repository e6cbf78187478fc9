"""CLIP's own tokens: byte-pair encoding of lower-case words, so that published weights can be used.

Radford et al. (2021), section 2.4: 49,408 tokens, texts of at most 77. A word is first written as
bytes, each byte as a character of its own, and the last one carries "</w>", the end of the word.
The rules are those of the tokenizer of Hugging Face, which leaves out OpenAI's repair of broken
Unicode and of HTML.
"""

import gzip
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.modalities.byte_pairs import Pair, split_parts
from mmjax.modalities.text import check_texts

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
"""Tokens of a text in every published CLIP, start and end included."""
MERGES = 49152 - 256 - 2
"""How many lines of the published file count; the rest of it was never used."""
SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
SPECIAL = re.compile(f"({re.escape(START)}|{re.escape(END)})")


@dataclass(frozen=True)
class CLIPVocabulary:
    """CLIP's vocabulary, made from the list of its merges, the most frequent first.

    The ids: 256 bytes, the same at the end of a word, one for each merge, start and end.
    """

    merges: tuple[Pair, ...]

    @classmethod
    def from_file(cls, path: str | Path) -> "CLIPVocabulary":
        """Reads `bpe_simple_vocab_16e6.txt.gz`, the file that CLIP was published with.

        Raises ValueError for a file that is another one, OSError if it cannot be opened.
        """
        lines = gzip.decompress(Path(path).read_bytes()).decode().split("\n")[1 : MERGES + 1]
        pairs = tuple(tuple(line.split()) for line in lines)
        whole = len(pairs) == MERGES and all(len(pair) == 2 for pair in pairs)
        expected = f"a file with {MERGES:,} merges"
        require(whole, "CLIPVocabulary", "path", expected=expected, got=f"{len(pairs):,}")
        return cls(pairs)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Every token by its id."""
        # The ids follow the order in which the published code lists the bytes.
        bytes_ = sorted(_BYTES.values())
        ends = [character + "</w>" for character in bytes_]
        return (*bytes_, *ends, *("".join(pair) for pair in self.merges), START, END)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    @cached_property
    def _ranks(self) -> dict[Pair, int]:
        return {pair: rank for rank, pair in enumerate(self.merges)}

    @cached_property
    def _known_words(self) -> dict[str, list[int]]:
        return {}

    @property
    def size(self) -> int:
        """V, the number of tokens."""
        return len(self.symbols)

    def token_ids(self, text: str) -> list[int]:
        """The tokens of one text, without start and end."""
        ids: list[int] = []
        for piece in SPECIAL.split(text):
            if piece in (START, END):
                ids.append(self._index[piece])
                continue
            for word in words(normalise(piece)):
                ids += self._word(word)
        return ids

    def _word(self, word: str) -> list[int]:
        if word not in self._known_words:
            characters = [_BYTES[byte] for byte in word.encode()]
            characters[-1] += "</w>"
            parts = split_parts(characters, self._ranks)
            self._known_words[word] = [self._index[part] for part in parts]
        return self._known_words[word]

    def encode(
        self, texts: Iterable[str], length: int = LENGTH, *, on_overflow: str = "truncate"
    ) -> tuple[np.ndarray, np.ndarray]:
        """B texts as rows of `length` tokens: start, the text, end, then padding by end tokens.

        A text that is too long keeps its first tokens and its end, or raises as asked.
        Returns tokens int32 [B, length] and the mask bool [B, length], True up to the first end.
        Raises TypeError or ValueError for texts or a length that do not fit.
        """
        texts = check_texts(texts, "encode")
        require(length >= 3, "encode", "length", expected="at least 3", got=length)
        require_one_of(on_overflow, ("raise", "truncate"), "encode", "on_overflow")
        start, end = self._index[START], self._index[END]
        tokens = np.full((len(texts), length), end, np.int32)
        mask = np.zeros(tokens.shape, bool)
        for row, real, text in zip(tokens, mask, texts, strict=True):
            ids = self.token_ids(text)
            fits = len(ids) <= length - 2 or on_overflow == "truncate"
            expected = f"at least {len(ids) + 2} for {text!r}, or on_overflow='truncate'"
            require(fits, "encode", "length", expected=expected, got=length)
            ids = [start, *ids[: length - 2]]
            row[: len(ids)] = ids
            real[: len(ids) + 1] = True
        return tokens, mask

    def decode(self, token_ids: Iterable[int]) -> str:
        """The text of tokens, start and end left out, words with a space between them."""
        symbols = [self.symbols[i] for i in token_ids]
        text = "".join(s for s in symbols if s not in (START, END))
        back = {character: byte for byte, character in _BYTES.items()}
        raw = [" " if c == "\0" else c for c in text.replace("</w>", "\0")]
        data = b"".join(bytes([back[c]]) if c in back else c.encode() for c in raw)
        return data.decode(errors="replace").strip()


def normalise(text: str) -> str:
    """Composed characters (NFC), every run of white space one space, each character lower-case."""
    text = unicodedata.normalize("NFC", text)
    text = re.sub(f"[{SPACE}]+", " ", text)
    return "".join(character.lower() for character in text)


def words(text: str) -> list[str]:
    """Words, single digits and runs of other signs; 's, 't, 're, 've, 'm, 'll, 'd stand alone."""
    found, i = [], 0
    while i < len(text):
        kind = _kind(text[i])
        special = next((s for s in CONTRACTIONS if text.startswith(s, i)), "")
        end = i + max(1, len(special))
        if not special and kind in "LS":
            while end < len(text) and _kind(text[end]) == kind:
                end += 1
        if special or kind != " ":
            found.append(text[i:end])
        i = end
    return found


def _kind(character: str) -> str:
    """L letter, N number, a space, or S for any other sign."""
    if character in SPACE:
        return " "
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "S"


def _byte_characters() -> dict[int, str]:
    """A visible character for each byte: itself where it has one, else one from 256 on."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    pairs = {byte: chr(byte) for byte in visible}
    return pairs | {byte: chr(256 + place) for place, byte in enumerate(hidden)}


_BYTES = _byte_characters()
