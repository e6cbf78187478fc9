"""The fields of a Protocol Buffers message by their numbers, as whole numbers and bytes."""

from collections.abc import Iterator

SIZES = {1: 8, 5: 4}
"""Bytes of a value by the type of its field."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of every field: a whole number, or bytes (which may be a message again).

    A field is a key, number · 8 + type, and a value: type 0 is a whole number in groups of 7 bits,
    1 and 5 are 8 and 4 bytes, 2 is a length and as many bytes.
    """
    place = 0
    while place < len(data):
        key, place = _whole_number(data, place)
        if key % 8 == 0:
            value, place = _whole_number(data, place)
        else:
            size, place = _whole_number(data, place) if key % 8 == 2 else (SIZES[key % 8], place)
            value, place = data[place : place + size], place + size
            if place > len(data):
                raise IndexError(f"a field of {size} bytes ends behind the message")
        yield key // 8, value


def _whole_number(data: bytes, place: int) -> tuple[int, int]:
    """The lowest 7 bits first; the highest bit of a byte says that another one follows."""
    value = shift = 0
    while True:
        if shift > 63:
            raise ValueError("a whole number of more than 64 bits")
        byte = data[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
