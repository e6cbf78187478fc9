"""Reading a submission: which notebook it is, and which of its cells answers which exercise."""

import re
from dataclasses import dataclass
from pathlib import Path

from tools import notebooks
from tools.grading.cells import id_of, read, source_of, tags_of
from tools.grading.exercises import NAME
from tools.grading.verdicts import Refused

NOTEBOOKS = notebooks.NOTEBOOKS
CHECK = re.compile(r"^check(_function)?\(\s*[\"']Exercise \d", re.MULTILINE)


@dataclass
class Submission:
    """The notebook it answers, a source for each exercise (None: the blank), and all its code."""

    notebook: Path
    sources: list[str | None]
    lines: dict[int, str]  # the verdicts that are known without running anything
    code: list[str]  # but for checks


def submission_in(path: Path) -> Submission:
    """The submission in a file; raises Refused."""
    cells = read(path)
    notebook = notebook_of(path, cells)
    blanks = [cell for cell in read(notebook) if "exercise" in tags_of(cell)]
    if not blanks:
        raise Refused(f"the notebook {notebook.stem} has no exercises")
    code = [(exercise_of(c, blanks), source_of(c)) for c in cells if c["cell_type"] == "code"]
    made = Submission(notebook, [], {}, [source_of(c) for c in cells if is_own(c)])
    for number, blank in enumerate(blanks, start=1):
        wanted, found = name(blank), {s.strip(): s for n, s in code if n == number}
        others = [source for n, source in code if n != number]
        untouched = found.pop(source_of(blank).strip(), None)  # beside an answer it is no second
        if len(found) > 1 and sum(defines(source, wanted) for source in found.values()) == 1:
            found = {"": "\n\n".join(found.values())}  # a cell that was split
        made.sources.append(next(iter(found.values()), untouched) if len(found) < 2 else None)
        if len(found) > 1:
            made.lines[number] = f"there twice: {len(found)} different cells define {wanted}."
        elif not found and any(defines(source, wanted) for source in others):
            made.lines[number] = f"look at it: {wanted} is defined in a cell of another kind."
        elif not found and untouched is None:
            made.lines[number] = f"missing: there is no cell for {wanted}."
    if not any(number for number, _ in code):
        raise Refused(f"it has none of the exercise cells of {notebook.stem}")
    return made


def notebook_of(path: Path, cells: list[dict]) -> Path:
    """The notebook of the course, by the section in its title, else by its file name.

    A student may have put a title of their own above ours, such as "# 1 May 2026": of several, the
    first counts whose exercises are there.
    """
    known, titled = notebooks.find(folder=NOTEBOOKS), []
    for cell in cells:
        if cell["cell_type"] == "markdown":
            for title in re.finditer(r"^#\s+(\d+(?:\.\d+)?)\s", source_of(cell), re.MULTILINE):
                section = title[1].replace(".", "_")
                found = [ours for ours in known if re.match(rf"{section}_\D", ours.stem)]
                titled += found if len(found) == 1 else []
    for ours in titled:
        names = [name(blank) for blank in read(ours) if "exercise" in tags_of(blank)]
        if any(defines(source_of(cell), wanted) for cell in cells for wanted in names):
            return ours
    if titled:
        return titled[0]
    found = [ours for ours in known if ours.stem in path.name]
    if len(found) != 1:
        raise Refused(
            "cannot tell which notebook this is: it has no title such as '# 5.4 ...', "
            "and its file name contains none of the course's, such as '5_4_e_commerce'"
        )
    return found[0]


def exercise_of(cell: dict, blanks: list[dict]) -> int | None:
    """The number of the exercise that a code cell answers, None if it answers none.

    It defines the name asked for, and has the id of the blank, or the tag where a program has
    renamed the cells. Ids alone count for nothing: most are positions, such as "cell-24". A cell
    that defines several of the names is the last one's, as it may repeat an earlier answer.
    """
    numbered = list(enumerate(blanks, start=1))
    has_tag = "exercise" in tags_of(cell)
    same_id = [number for number, blank in numbered if id_of(cell) == id_of(blank) is not None]
    defined = [number for number, blank in numbered if defines(source_of(cell), name(blank))]
    if both := [number for number in defined if number in same_id]:
        return both[0]
    if has_tag and (defined or same_id):
        return (defined or same_id)[-1]
    return None


def is_own(cell: dict) -> bool:
    """Code, and no check of ours: what that makes for itself is nothing to build on."""
    check = "check" in tags_of(cell) or CHECK.search(source_of(cell))
    return cell["cell_type"] == "code" and not check


def name(blank: dict) -> str:
    """The name that an exercise asks for."""
    return NAME.search(source_of(blank))[0]


def defines(source: str, wanted: str) -> bool:
    pattern = rf"^(?:(?:async\s+)?def\s+{wanted}\b|{wanted}\s*(?::|=(?!=)))"
    return bool(re.search(pattern, source, re.MULTILINE))
