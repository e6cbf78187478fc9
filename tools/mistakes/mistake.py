"""Mistakes that published courses and libraries made, as edits to our files, with their tests.

`tools/break_mathematics.py` makes one at a time and expects a test to fail.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """Replacing `old`, which occurs once in `file`, by `new` must make one of `tests` fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
