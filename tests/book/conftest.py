"""The exercises of a notebook, run as a student would: blanks, solutions and wrong answers.

The cells are taken from the notebook by their tags: "setup" (imports and what the checks need),
"exercise" (the blank) and "check". So a check that drifts from its exercise, or a solution from its
check, is noticed.
"""

import importlib.util
import json
from pathlib import Path

import jax
import matplotlib as mpl
import pytest

ROOT = Path(__file__).resolve().parents[2]


class Exercises:
    """The tagged cells of one notebook in a namespace of their own, with the blanks in place."""

    def __init__(self, notebook: str, solutions: str, capsys):
        path = ROOT / "notebooks" / f"{notebook}.ipynb"
        self.cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        self.capsys, self.namespace = capsys, {}
        spec = importlib.util.spec_from_file_location(
            solutions, ROOT / "coursework" / "solutions" / f"{solutions}.py"
        )
        self.solutions = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.solutions)
        for source in self.tagged("setup") + self.tagged("exercise"):
            exec(source, self.namespace)

    def tagged(self, tag: str) -> list[str]:
        cells = [c for c in self.cells if tag in c["metadata"].get("tags", [])]
        return ["".join(cell["source"]) for cell in cells]

    def verdict(self, number: int, **answer) -> str:
        """What the check of an exercise prints, without its name; `answer` fills the blank."""
        self.namespace.update(answer)
        self.capsys.readouterr()
        exec(self.tagged("check")[number - 1], self.namespace)
        (line,) = self.capsys.readouterr().out.splitlines()
        assert line.startswith(f"Exercise {number}: ")
        return line.removeprefix(f"Exercise {number}: ")


@pytest.fixture
def exercises(capsys):
    """exercises(notebook, solutions) → Exercises; nothing of a notebook stays for other tests."""
    with mpl.rc_context(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield lambda notebook, solutions: Exercises(notebook, solutions, capsys)
    jax.config.update("jax_enable_x64", False)
