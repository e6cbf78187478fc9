"""The exercises of every notebook: each has a blank, and a check that accepts the solution.

What each check refuses is tested beside this file, a file a section.
"""

import re

import pytest

from tools.notebooks import find

SECTIONS = {
    path.stem: "section_" + re.match(r"\d+(_\d+)?", path.stem)[0]
    for path in find()
    if '"exercise"' in path.read_text(encoding="utf-8")
}


@pytest.mark.parametrize("name", SECTIONS)
def test_blanks_are_not_solved_and_the_solutions_are_correct(exercises, name):
    notebook = exercises(name, SECTIONS[name])
    blanks, checks = notebook.tagged("exercise"), notebook.tagged("check")
    assert len(blanks) == len(checks) > 0
    for number, (blank, check) in enumerate(zip(blanks, checks, strict=True), start=1):
        answer = re.search(r"\bmy_\w+", blank)[0]
        assert answer in check
        assert notebook.verdict(number) == "not solved yet."
        solution = {answer: getattr(notebook.solutions, answer)}
        assert notebook.verdict(number, **solution) == "correct."
