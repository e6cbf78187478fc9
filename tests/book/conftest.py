"""The exercises of a notebook, run as a student would: blanks, solutions and wrong answers.

The cells are taken from the notebook by their tags: "setup" (imports and what the checks need),
"exercise" (the blank) and "check". So a check that drifts from its exercise, or a solution from its
check, is noticed. The grader runs them in the same way.
"""

import jax
import matplotlib as mpl
import pytest

from tools.grading import exercises as grading
from tools.notebooks import NOTEBOOKS


class Exercises(grading.Exercises):
    """The tagged cells of one notebook in a namespace of their own, with the blanks in place."""

    def __init__(self, notebook: str, solutions: str, capsys):
        self.capsys = capsys
        path = grading.ROOT / "coursework" / "solutions" / f"{solutions}.py"
        self.solutions = grading.load(solutions, path)
        super().__init__(NOTEBOOKS / f"{notebook}.ipynb")

    def verdict(self, number: int, **answer) -> str:
        """As the grader's; and nothing but the verdict is printed."""
        self.capsys.readouterr()
        line = super().verdict(number, **answer)
        assert not self.capsys.readouterr().out
        return line


@pytest.fixture
def exercises(capsys):
    """exercises(notebook, solutions) → Exercises; nothing of a notebook stays for other tests."""
    with mpl.rc_context(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield lambda notebook, solutions: Exercises(notebook, solutions, capsys)
    jax.config.update("jax_enable_x64", False)
