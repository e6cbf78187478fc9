"""The grades of many files: a line each for the terminal, a row each for a spreadsheet."""

import csv
from typing import TextIO

from tools import notebooks
from tools.grading import cells, submission
from tools.grading.runner import Grades
from tools.grading.verdicts import clean


def row(grades: Grades, width: int = 0) -> str:
    name = clean(str(grades.path)).ljust(width)
    if grades.refused:
        return f"{name}  NOT GRADED: {grades.refused}"
    words = grades.words()
    verdicts = "".join(f"{n} {w:<15}" for n, w in enumerate(words, start=1))
    right = words.count("correct")
    return f"{name}  {verdicts}{right} of {len(words)} correct, {grades.seconds:.1f} s"


class Table:
    """The rows of a CSV file, each written when it is there: an interrupted run keeps its rows."""

    def __init__(self, file: TextIO):
        found = notebooks.find(folder=submission.NOTEBOOKS)
        self.most = max(len(cells.tagged(cells.read(path), "exercise")) for path in found)
        self.file, self.writer = file, csv.writer(file)
        self.write(
            ["file", "notebook", "correct", "exercises"]
            + [f"exercise {n}" for n in range(1, self.most + 1)]
            + ["not graded because"]
        )

    def add(self, grades: Grades) -> None:
        words = grades.words()
        self.write(
            [plain(clean(str(grades.path))), grades.notebook, words.count("correct"), len(words)]
            + words
            + [""] * (self.most - len(words))
            + [plain(grades.refused)]
        )

    def write(self, columns: list) -> None:
        self.writer.writerow(columns)
        self.file.flush()


def plain(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
