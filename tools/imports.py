"""Which modules of mmjax a piece of code imports, read from its syntax: nothing is run."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "mmjax"


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str, importer: str = "") -> set[str]:
    """Modules of the package that `source` names in an import, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, importer)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names & modules().keys()


def _absolute(node: ast.ImportFrom, importer: str) -> str:
    if not node.level:
        return node.module or ""
    is_package = modules()[importer].name == "__init__.py"
    parents = importer.split(".")
    parents = parents[: len(parents) - node.level + is_package]
    return ".".join([*parents, *([node.module] if node.module else [])])


def with_parents(name: str) -> set[str]:
    """Importing a.b.c runs a and a.b first."""
    parts = name.split(".")
    return {".".join(parts[: i + 1]) for i in range(len(parts))}


def reached(source: str) -> list[str]:
    """Every module of the package that running `source` loads, through other modules too."""
    seen: set[str] = set()
    queue = set().union(*map(with_parents, imported(source)))
    while queue:
        name = queue.pop()
        seen.add(name)
        found = imported(modules()[name].read_text(encoding="utf-8"), name)
        queue |= set().union(*map(with_parents, found)) - seen
    return sorted(seen)
