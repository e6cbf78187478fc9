"""What is said about an exercise: a line, a word for it, and how to show what a stranger wrote."""

import re


class Refused(Exception):
    """A submission cannot be graded; the message says why."""


def word(line: str) -> str:
    """The word in the table for a line such as 'stopped: it took longer than 60 s.'"""
    if line in ("correct.", "not solved yet."):
        return "correct" if line == "correct." else "not solved"
    known = re.match("look at it|stopped|missing|there twice", line)
    return known[0] if known else "not yet right"


def clean(text: str) -> str:
    """One line that a terminal shows as it is, whatever a submission has put into it."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())[:500]


def told(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # its own __str__ raised
        return type(error).__name__
