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


def reached(source: str) -> list[str]:
    """Every module of the package whose code `source` may run, through other modules too.

    A package that only passes on names of its modules, as `mmjax.evaluation` does, has no code of
    its own. What is taken from it leads to the module it comes from, and to none of the others: a
    metric more changes nothing for who does not use it.
    """
    seen: set[str] = set()
    queue = _used(source, "")
    while queue:
        name = queue.pop()
        seen.add(name)
        used = _used(modules()[name].read_text(encoding="utf-8"), name)
        queue |= (used | _parents(name)) - seen
    return sorted(seen)


def _parents(name: str) -> set[str]:
    """Importing a.b.c runs a and a.b first, which matters where these have code of their own."""
    parts = name.split(".")
    above = {".".join(parts[:i]) for i in range(1, len(parts))}
    return {package for package in above if _passed_on(package) is None}


def _used(source: str, importer: str) -> set[str]:
    """The modules that one piece of code uses itself."""
    tree, found, bound = ast.parse(source), set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:  # binds the first name, so anything above may be used
                parts = alias.name.split(".")
                found |= set().union(
                    *(_all_of(".".join(parts[: i + 1])) for i in range(len(parts)))
                )
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, importer)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                if _passed_on(full) is not None:
                    bound[alias.asname or alias.name] = full
                else:
                    found |= _home(base, alias.name)
    named = {id(n.value): n for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in bound:
            module = bound[node.id]
            found |= _home(module, named[id(node)].attr) if id(node) in named else _all_of(module)
    return found


@cache
def _passed_on(module: str) -> dict[str, tuple[str, str]] | None:
    """Name → (module, name there) for a package that only passes names on, None for any other."""
    path = modules().get(module)
    if path is None or path.name != "__init__.py":
        return None
    names = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            names |= {alias.asname or alias.name: (base, alias.name) for alias in node.names}
        elif not _says_nothing(node):
            return None
    return names


def _says_nothing(node: ast.stmt) -> bool:
    """A docstring, or the list of public names."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _home(module: str, name: str) -> set[str]:
    """Where a name of a module comes from."""
    names = _passed_on(module)
    if names and name in names:
        return _home(*names[name])
    if f"{module}.{name}" in modules():
        return _all_of(f"{module}.{name}")
    return _all_of(module)


def _all_of(module: str) -> set[str]:
    names = _passed_on(module)
    if names:
        return set().union(*(_home(*origin) for origin in names.values()))
    return {module} & modules().keys()
