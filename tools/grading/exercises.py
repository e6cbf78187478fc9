"""The exercises of one notebook of the course: its setup, its blanks and its checks."""

import importlib.util
import re
from pathlib import Path

from tools.grading import cells

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"\bmy_\w+")


class Exercises:
    """The tagged cells of a notebook: setup and blanks are run, checks on request.

    The verdict is the line that the checker prints. It is taken from a copy of mmjax.exercises that
    nobody else imports, so that what a student prints or patches there is not taken for it.
    """

    def __init__(self, notebook: Path):
        self.cells = cells.read(notebook)
        self.lines, self.namespace = [], {"__name__": "__main__"}
        for source in self.tagged("setup") + self.tagged("exercise"):
            exec(source, self.namespace)
        # What an answer may use. A name that it overwrites is not overwritten for the checks.
        self.given = dict(self.namespace)
        checker = load("checker_of_the_grader", ROOT / "mmjax" / "exercises.py")
        checker.print = self.lines.append
        self.namespace |= {"check": checker.check, "check_function": checker.check_function}

    def tagged(self, tag: str) -> list[str]:
        return cells.tagged(self.cells, tag)

    def verdict(self, number: int, **answer) -> str:
        """What the check of an exercise says, without its name; `answer` fills the blank."""
        self.namespace.update(answer)
        self.lines.clear()
        exec(self.tagged("check")[number - 1], self.namespace)
        (line,) = self.lines
        assert line.startswith(f"Exercise {number}: ")
        return line.removeprefix(f"Exercise {number}: ")


def load(name: str, path: Path):
    """The module in a file, outside of sys.modules."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
