"""Runs the exercise cells of a submission as Jupyter would; our checks judge what they answer."""

import ast
import re
import symtable
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tools.grading import cells
from tools.grading.exercises import NAME, Exercises
from tools.grading.verdicts import told

LEFT_OUT = {"pip", "conda", "mamba", "micromamba", "uv"}
SCRIPTS = {"bash", "sh", "script", "perl", "ruby", "python", "python2", "python3", "pypy", "cmd"}
STAR = re.compile(r"^from\s+\S+\s+import\s+\*", re.MULTILINE)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


class Shell(InteractiveShell):
    """Python as in a notebook: display, magics, await. Commands of the system are left out."""

    def run_line_magic(self, name, line, _stack_depth=1):
        if name not in LEFT_OUT and self.find_line_magic(
            name
        ):  # what only Jupyter has is not needed
            return super().run_line_magic(name, line, _stack_depth + 1)

    def run_cell_magic(self, name, line, cell):
        if name not in SCRIPTS:
            return super().run_cell_magic(name, line, cell)

    def enable_gui(self, gui=None):
        pass

    def showtraceback(self, *args, **kwargs):
        pass

    def showsyntaxerror(self, *args, **kwargs):
        pass

    def system(self, cmd):
        pass

    def getoutput(self, cmd, split=True, depth=0):
        return []


class Student:
    """The names that a student has when the exercises begin, and the verdicts on what they add.

    These are the names of setup and blanks, and the functions, classes and imports of the other
    cells of our notebook. What else those compute is too slow to have.
    """

    def __init__(self, exercises: Exercises, code: list[str]):
        """code: the submission's cells but for checks. Not all are run, or come to their end."""
        self.exercises, self.namespace = exercises, {}
        self.shell = Shell.instance(
            config=Config({"HistoryManager": {"enabled": False}}),
            ipython_dir=str(Path(".ipython").resolve()),
            user_ns=self.namespace,
        )
        body = cells.untagged(exercises.cells)
        self.namespace |= exercises.given
        for source in body:
            for node in ast.parse(TransformerManager().transform_cell(source)).body:
                if isinstance(node, DEFINITIONS):
                    try:
                        exec(compile(ast.Module([node], []), "<notebook>", "exec"), self.namespace)
                    except Exception:
                        pass  # a decorator or a default may need what such a cell computes
        self.namespace |= exercises.given
        self.elsewhere = assigned(body) | assigned(code)
        self.star = any(STAR.search(source) for source in code)  # whatever that brings

    def verdict(self, number: int, source: str | None) -> str:
        """What the check says about an exercise cell, whatever that does; None leaves the blank."""
        problem, answer = None, {}
        if source is not None:
            error = self.run(source)
            if error is not None:
                problem = f"not yet right: the cell raised {told(error)}"
            names = NAME.findall(self.exercises.tagged("check")[number - 1])
            answer = {name: self.namespace[name] for name in names if name in self.namespace}
        try:  # after a problem, too: it may be in a line below the answer
            with self.shell.builtin_trap:
                line = self.exercises.verdict(number, **answer)
        except BaseException as error:
            line = f"not yet right: the check ended with {told(error)}"
        if line == "correct.":
            return line
        line = problem or line
        unknown = re.search(r"NameError: name '(\w+)' is not defined", line)
        if unknown and (unknown[1] in self.elsewhere or self.star):
            return f"look at it: it uses {unknown[1]}, which another cell makes."
        return line

    def run(self, source: str) -> BaseException | None:
        """Runs a cell, and returns what it raised: SystemExit and KeyboardInterrupt, too."""
        try:
            result = self.shell.run_cell(source, silent=True)
        except BaseException as error:
            return error
        before = result.error_before_exec
        return result.error_in_exec if before is None else before


def assigned(sources: list[str]) -> set[str]:
    """The names that the cells define, outside of their functions and classes."""
    names = set()
    for source in sources:
        try:
            source = re.sub(r"\A\s*%%(time|timeit|capture|prun)\b.*\n", "", source)
            code = TransformerManager().transform_cell(source)
            symbols = symtable.symtable(code, "<cell>", "exec").get_symbols()
        except Exception:  # no Python
            continue
        names |= {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    return names
