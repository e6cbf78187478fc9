"""The table of deliberate mistakes is not stale: each can still be made, and names real tests."""

from pathlib import Path

import pytest

from tools.break_mathematics import first_line, main, occurrences
from tools.mistakes import MISTAKES

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_can_be_made_and_has_tests(mistake):
    assert occurrences(mistake) == 1, f"{mistake.file} does not hold {mistake.old!r} once"
    assert mistake.new != mistake.old
    for test in mistake.tests:
        path, _, function = test.partition("::")
        assert f"def {function}" in (ROOT / path).read_text(encoding="utf-8")


def test_names_are_unique():
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES)


def test_the_most_telling_line_of_a_failure():
    message = "AssertionError: \nNot equal\nMax absolute difference among violations: 0.3\n"
    assert first_line(message) == "Max absolute difference among violations: 0.3"
    assert first_line("AssertionError: assert 1 == 2\n more") == "AssertionError: assert 1 == 2"


def test_one_mistake_from_beginning_to_end(capsys):
    """The copy is complete, the tests pass in it, the mistake is made there and caught."""
    assert main(["recall@K"]) == 0
    assert "1 of 1 mistakes caught" in capsys.readouterr().out
