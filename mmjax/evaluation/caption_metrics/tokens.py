"""What all caption metrics share: words, n-grams, and checks of the arguments."""

from collections import Counter
from collections.abc import Sequence

from mmjax.checks import require, require_type

Words = list[str]
References = Sequence[Sequence[str]]


def check_captions(
    candidates: Sequence[str], references: References, where: str
) -> tuple[list[Words], list[list[Words]]]:
    """The words of N candidates and of their references.

    Raises TypeError where a text stands in place of a sequence of texts, or something that is no
    text in place of one; ValueError for no candidates, other than N sequences of references, or a
    candidate without a reference.
    """
    sequence = not isinstance(candidates, str)
    expected = "a sequence of texts"
    require_type(sequence, where, "candidates", expected=expected, got=repr(candidates))
    require(len(candidates) > 0, where, "candidates", expected="at least one text", got="none")
    same = len(references) == len(candidates)
    expected = f"{len(candidates)} sequences of texts, one a candidate"
    require(same, where, "references", expected=expected, got=f"{len(references)}")
    for texts in references:
        sequence, expected = not isinstance(texts, str), "sequences of texts, one a candidate"
        require_type(sequence, where, "references", expected=expected, got=repr(texts))
        require(len(texts) > 0, where, "references", expected="at least one each", got="none")
    rows = [_words(text, where, "candidates") for text in candidates]
    return rows, [[_words(text, where, "references") for text in texts] for texts in references]


def _words(text: str, where: str, argument: str) -> Words:
    require_type(isinstance(text, str), where, argument, expected="texts only", got=repr(text))
    return text.split()


def ngrams(words: Words, n: int) -> Counter:
    """How often each run of n words occurs; nothing where there are fewer than n words."""
    return Counter(zip(*(words[k:] for k in range(n)), strict=False))
