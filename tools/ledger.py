"""The ledger: which numbered equation is checked by which test.

An equation of book/*.md is numbered by \\tag{4.1.3}; a test that evaluates both of its sides is
marked with @pytest.mark.equation("4.1.3"). Both are read as text: nothing is imported or run.
"""

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TAG = re.compile(r"\\tag\{\s*(\d+(?:\.\d+)+)\s*\}")
CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Check:
    """One test that checks an equation."""

    path: str
    name: str
    line: int
    source: str

    def __str__(self) -> str:
        return f"{self.path}::{self.name}"


def tags_in(text: str) -> list[str]:
    """The equation numbers in a piece of Markdown, in order, code left out."""
    return TAG.findall(CODE.sub("", text))


def equations(root: Path = ROOT) -> dict[str, list[str]]:
    """Equation number -> the pages of the book that define it (there should be one)."""
    found = defaultdict(list)
    for page in sorted((root / "book").glob("*.md")):
        for tag in tags_in(page.read_text(encoding="utf-8")):
            found[tag].append(page.stem)
    return dict(sorted(found.items(), key=lambda item: sort_key(item[0])))


def checks(root: Path = ROOT) -> dict[str, list[Check]]:
    """Equation number -> the tests marked with it."""
    found = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        for prefix, inherited, node in _tests(ast.parse(source).body):
            for tag in dict.fromkeys(inherited + _marks(node)):
                code = ast.get_source_segment(source, node) or ""
                name = path.relative_to(root).as_posix()
                found[tag].append(Check(name, prefix + node.name, node.lineno, code))
    return dict(found)


def sort_key(tag: str) -> tuple[int, ...]:
    return tuple(map(int, tag.split(".")))


def _tests(body, prefix="", inherited=()):
    for node in body:
        if isinstance(node, ast.ClassDef):
            marks = [*inherited, *_marks(node)]
            yield from _tests(node.body, f"{prefix}{node.name}::", marks)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            yield prefix, list(inherited), node


def _marks(node) -> list[str]:
    tags = []
    for decorator in node.decorator_list:
        for mark in ast.walk(decorator):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.equation":
                tags += [ast.literal_eval(argument) for argument in mark.args]
    return tags
