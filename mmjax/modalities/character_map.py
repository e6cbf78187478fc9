"""The character map of a SentencePiece file: which pieces of text are written in another way.

NFKC and lower case, for example, as one table: "ﬁ" → "fi", "Ａ" → "A". The table is a trie of
bytes in one array of whole numbers, a "double array" (Aoe 1989), and the texts that it points to.
"""

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class CharacterMap:
    """`units`: the trie; `texts`: what is written instead, in UTF-8, each ended by a zero byte.

    A unit has these bits: 0 to 7 the byte that leads here, 8 that a key ends here, 9 to 31 how far
    the units of the next bytes lie. Where a key ends, the number at that distance is the place of
    its replacement in `texts`. An empty map changes nothing.
    """

    units: tuple[int, ...] = ()
    texts: bytes = b""

    @classmethod
    def from_bytes(cls, data: bytes) -> "CharacterMap":
        """4 bytes with the size of the trie, the trie, the texts. Raises ValueError otherwise."""
        if not data:
            return cls()
        size = int.from_bytes(data[:4], "little")
        if size % 4 or not 0 < size <= len(data) - 4:
            raise ValueError(f"a character map of {len(data)} bytes with a trie of {size}")
        return cls(struct.unpack(f"<{size // 4}I", data[4 : 4 + size]), data[4 + size :])

    def __call__(self, text: str) -> str:
        """Replaces the longest key at each place; a character that begins none stays as it is.

        Raises ValueError for a text without UTF-8 or a map that points outside of itself.
        """
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"a text that has no UTF-8: {error}") from None
        if not self.units:
            return text
        parts, place = [], 0
        try:
            while place < len(data):
                length, replacement = self._longest(data, place)
                parts.append(replacement)
                place += length
        except (IndexError, ValueError) as error:
            raise ValueError(f"a damaged character map: {error}") from None
        return "".join(parts)

    def _longest(self, data: bytes, place: int) -> tuple[int, str]:
        node = _offset(self.units[0])
        found = None
        for i in range(place, len(data)):
            node ^= data[i]
            unit = self.units[node]
            if unit & 0x800000FF != data[i]:
                break
            node ^= _offset(unit)
            if unit >> 8 & 1:
                found = i + 1 - place, self.units[node] & 0x7FFFFFFF
        if found is None:
            length = _bytes_of_character(data[place])
            return length, data[place : place + length].decode()
        length, start = found
        return length, self.texts[start : self.texts.index(0, start)].decode()


def _offset(unit: int) -> int:
    """The distance, in bits 10 to 31; bit 9 says that it counts in steps of 256."""
    return unit >> 10 << (8 if unit >> 9 & 1 else 0)


def _bytes_of_character(first: int) -> int:
    """How many bytes of UTF-8 a character has, from the first of them."""
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
