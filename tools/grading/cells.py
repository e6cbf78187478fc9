"""The cells of notebook files, whoever wrote them."""

import json
from pathlib import Path

from tools.grading.verdicts import Refused, told


def read(path: Path) -> list[dict]:
    """The cells of a notebook file, of any minor version of the format."""
    try:
        cells = list(json.loads(path.read_text(encoding="utf-8-sig"))["cells"])
        for cell in cells:
            _ = source_of(cell), tags_of(cell), id_of(cell), cell["cell_type"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"cannot be read as a notebook ({told(error)})") from None
    return cells


def source_of(cell) -> str:
    return "".join(cell["source"])


def tags_of(cell) -> list[str]:
    return list(cell.get("metadata", {}).get("tags", []))


def id_of(cell) -> str | None:
    found = cell.get("id") or cell.get("metadata", {}).get("id")  # the second is Colab's place
    return found if isinstance(found, str) else None


def tagged(cells: list[dict], tag: str) -> list[str]:
    """The sources of the cells with a tag, in their order."""
    return [source_of(cell) for cell in cells if tag in tags_of(cell)]


def untagged(cells: list[dict]) -> list[str]:
    """The sources of the code cells that are neither setup nor of an exercise."""
    ours = {"setup", "exercise", "check"}
    return [
        source_of(cell)
        for cell in cells
        if cell["cell_type"] == "code" and not ours.intersection(tags_of(cell))
    ]
