"""Parts of words as tokens: byte-pair encoding, trained from scratch.

Sennrich, Haddow, Birch 2016, "Neural Machine Translation of Rare Words with Subword Units",
algorithm 1, on characters. Differences: a word carries the space before it (as in GPT-2), so
decoding gives back the text exactly; digits and punctuation are never merged, so that a number is
read digit by digit and DOTS-1458 has parts that other names share.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mmjax.checks import require
from mmjax.modalities.text import SPECIALS, UNKNOWN, Vocabulary, check_texts

_CHUNK = re.compile(r" ?[^\W\d_]+|[\s\S]")  # letters with the space before them, or one character

Pair = tuple[str, str]


@dataclass(frozen=True)
class BytePairVocabulary(Vocabulary):
    """Frequent parts of words as tokens; a new word is spelled from the parts it shares.

    Attributes:
        alphabet: the characters met in training, sorted; any other becomes <unknown>.
        merges: pairs of parts that are joined, in the order they were learned.
    """

    alphabet: tuple[str, ...]
    merges: tuple[Pair, ...]

    @classmethod
    def train(cls, texts: Iterable[str], merges: int) -> "BytePairVocabulary":
        """Joins the most frequent neighbours, `merges` times.

        Ties go to the pair that is first in the order of the alphabet. Training ends early when no
        pair occurs twice, so the vocabulary has at most 4 + characters + `merges` tokens.

        Raises:
            TypeError, ValueError: as `encode`, and for a negative number of merges.
        """
        texts = check_texts(texts, "BytePairVocabulary.train")
        require(merges >= 0, "BytePairVocabulary.train", "merges", expected=">= 0", got=merges)
        chunks = Counter(chunk for text in texts for chunk in _CHUNK.findall(text))
        alphabet = tuple(sorted({character for chunk in chunks for character in chunk}))
        return cls(alphabet, tuple(_learn(chunks, merges)))

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        # Two ways of joining may spell the same part; it is one token.
        parts = dict.fromkeys(left + right for left, right in self.merges)
        return SPECIALS + self.alphabet + tuple(parts)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols) if i > UNKNOWN}

    @cached_property
    def _ranks(self) -> dict[Pair, int]:
        return {pair: rank for rank, pair in enumerate(self.merges)}

    @cached_property
    def _known_chunks(self) -> dict[str, list[int]]:
        return {}  # words come back often, and splitting one is slow

    def parts(self, text: str) -> list[str]:
        """The parts of a text, which joined give the text again."""
        return [
            part for chunk in _CHUNK.findall(text) for part in split_parts(list(chunk), self._ranks)
        ]

    def token_ids(self, text: str) -> list[int]:
        ids: list[int] = []
        for chunk in _CHUNK.findall(text):
            if chunk not in self._known_chunks:
                parts = split_parts(list(chunk), self._ranks)
                self._known_chunks[chunk] = [self._index.get(part, UNKNOWN) for part in parts]
            ids += self._known_chunks[chunk]
        return ids

    def join(self, token_ids: Sequence[int]) -> str:
        return "".join(self.symbols[token] for token in token_ids)


def split_parts(parts: list[str], ranks: dict[Pair, int]) -> list[str]:
    """Applies the merges to the characters of one chunk, the earliest learned first."""
    while len(parts) > 1:
        pair = min(zip(parts, parts[1:], strict=False), key=lambda p: ranks.get(p, len(ranks)))
        if pair not in ranks:
            break
        parts = _merge(parts, pair)
    return parts


def _merge(parts: Sequence[str], pair: Pair) -> list[str]:
    """Joins every occurrence of `pair`, from left to right."""
    merged: list[str] = []
    i = 0
    while i < len(parts):
        found = i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair
        merged.append(parts[i] + parts[i + 1] if found else parts[i])
        i += 2 if found else 1
    return merged


def _learn(chunks: Counter[str], merges: int) -> list[Pair]:
    """The merges, best first. Only the chunks that hold the joined pair are counted again."""
    split = {chunk: list(chunk) for chunk in chunks}
    counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[str]] = defaultdict(set)  # may name chunks that lost the pair

    def count(chunk: str, sign: int) -> None:
        parts = split[chunk]
        for pair in zip(parts, parts[1:], strict=False):
            counts[pair] += sign * chunks[chunk]
            holders[pair].add(chunk)

    for chunk in split:
        count(chunk, +1)
    learned: list[Pair] = []
    while len(learned) < merges and counts:
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        if counts[best] < 2:
            break
        learned.append(best)
        for chunk in holders.pop(best):
            count(chunk, -1)
            split[chunk] = _merge(split[chunk], best)
            count(chunk, +1)
        del counts[best]
    return learned
