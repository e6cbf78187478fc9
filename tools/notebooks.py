"""What a notebook of the course must look like, and whether its outputs belong to its code.

python -m tools.notebooks copies the notebooks to work/, where students change them.

Nothing here starts a kernel. The runner stores a fingerprint in the notebook: a hash of its code
and of the modules of mmjax that this code reaches. Where it differs, the outputs are stale.
"""

import ast
import hashlib
import io
import re
import shutil
import tokenize
from pathlib import Path

import nbformat

from tools import imports

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
EXECUTED = ROOT / "build" / "notebooks"
WORK = ROOT / "work"  # as deep as notebooks/, so that the links of a copy lead to the same places

RUN_TIME = re.compile(
    r"\*\*Run time:\*\*\D*?(\d+(?:\.\d+)?) ?(s|min)\b(?:.*?(\d+(?:\.\d+)?) ?(GB|MB))?"
)
HEADER = {  # what a student is told before the first line of code
    "a title, '# 4.1 ...'": re.compile(r"\A# \S"),
    "'**Section:**' of the document": re.compile(r"\*\*Section:\*\*"),
    "'**Objectives:**'": re.compile(r"\*\*Objectives:\*\*"),
    "'**Before you start:**'": re.compile(r"\*\*Before you start:\*\*"),
    "'**Run time:** 40 s and 0.9 GB of memory on two cores'": RUN_TIME,
}
EXERCISES = re.compile(r"^#+ .*Exercise", re.MULTILINE)
DOWNLOAD = re.compile(
    r"https?://|\b(urllib|requests|httpx|wget|curl|from_pretrained|hf_hub_download)\b"
    r"|^\s*[!%]\s*(uv |python -m )?pip\b",
    re.MULTILINE,
)
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")


def find(names=(), folder: Path = NOTEBOOKS) -> list[Path]:
    """Notebooks in the order of the course; `names` are beginnings of file names.

    Duplicates that Jupyter made, 4_1_...-Copy1.ipynb, are somebody's own and no part of it.
    """
    paths = [p for p in sorted(folder.glob("*.ipynb")) if not re.search(r"-Copy\d*$", p.stem)]
    for name in names:
        if not any(path.name.startswith(Path(name).name) for path in paths):
            raise SystemExit(
                f"no notebook begins with {name!r}; there are: "
                + ", ".join(path.stem for path in paths)
            )
    wanted = tuple(Path(name).name for name in names) or ("",)
    return [path for path in paths if path.name.startswith(wanted)]


def copy_for_work(source: Path = NOTEBOOKS, work: Path = WORK) -> str:
    """Copies the notebooks that work/ does not have yet, and says so; overwrites nothing."""
    work.mkdir(exist_ok=True)
    new = [path for path in find(folder=source) if not (work / path.name).exists()]
    for path in new:  # by another name first: an interrupted copy would be kept for ever
        partial = shutil.copyfile(path, work / f".{path.name}.part")
        partial.replace(work / path.name)
    there = len(find(folder=source)) - len(new)
    return f"{work.name}/: {len(new)} notebooks copied, {there} were there and stay as they are."


def read(path: Path):
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))


def write(notebook, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def normalise(notebook) -> None:
    """Drop what changes from run to run or from machine to machine, in place."""
    kept = notebook.metadata.get("mmjax", {})
    notebook.metadata.clear()
    notebook.metadata.update(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        mmjax=kept,
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5  # the first version whose cells have ids
    used = set()
    for position, cell in enumerate(notebook.cells, start=1):
        if not cell.get("id") or cell.id in used:
            cell.id = f"cell-{position}"
        used.add(cell.id)
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in ("tags", "jupyter")}


def code_cells(notebook) -> list:
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def fingerprint(notebook) -> str:
    """A hash of the code whose outputs the notebook shows."""
    code = "\n".join(cell.source for cell in code_cells(notebook))
    # A comment cannot change an output, except where the notebook prints source or help.
    clean = (lambda text: text) if re.search(r"getsource|\bhelp\(|\?\?", code) else _bare
    digest = hashlib.sha256(code.encode())
    for name in imports.reached(_without_magics(code)):
        digest.update(f"\n# {name}\n".encode())
        digest.update(clean(imports.modules()[name].read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def is_stale(notebook) -> bool:
    return notebook.metadata.get("mmjax", {}).get("fingerprint") != fingerprint(notebook)


def stated(notebook) -> tuple[float | None, float | None]:
    """Seconds and gigabytes that the first cell promises, None where it does not."""
    match = RUN_TIME.search(notebook.cells[0].source) if notebook.cells else None
    if not match:
        return None, None
    number, unit, size, size_unit = match.groups()
    seconds = float(number) * (60 if unit == "min" else 1)
    return seconds, size and float(size) / (1000 if size_unit == "MB" else 1)


def form_problems(notebook) -> list[str]:
    """What the text of a notebook lacks."""
    markdown = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    header = markdown[0] if notebook.cells and notebook.cells[0].cell_type == "markdown" else ""
    found = [
        f"the first cell lacks {what}" for what, seen in HEADER.items() if not seen.search(header)
    ]
    if not any(EXERCISES.search(text) for text in markdown):
        found.append("no heading says 'Exercises'")
    for cell in code_cells(notebook):
        if match := DOWNLOAD.search(cell.source):
            found.append(f"code reaches for the network: {match.group().strip()!r}")
    return found


def output_problems(notebook) -> list[str]:
    """What is wrong with the outputs that a notebook shows."""
    cells = code_cells(notebook)
    found = []
    if is_stale(notebook):
        found.append("its outputs are older than its code or mmjax's: make refresh")
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        found.append("its cells were not run once each, from top to bottom: make refresh")
    for cell in cells:
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"a cell ended in {output.ename}: {output.evalue}")
            text = _text(output)
            if output.get("name") == "stderr":
                found.append(f"a cell wrote to stderr: {text.strip()[:80]!r}")
            if match := ADDRESS.search(text):
                found.append(f"an output shows a memory address: {match.group()}")
            if str(ROOT) in text or f"{Path.home()}/" in text:
                found.append("an output shows a path of the machine it ran on")
    return found


def _text(output) -> str:
    return output.get("text", "") or output.get("data", {}).get("text/plain", "")


def _without_magics(code: str) -> str:
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", code, flags=re.MULTILINE)


def _bare(source: str) -> str:
    """Python source without comments, docstrings and blank lines."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(getattr(body[0].value, "value", None), str):
                first, last = body[0].lineno, body[0].end_lineno
                lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


if __name__ == "__main__":
    print(copy_for_work())
