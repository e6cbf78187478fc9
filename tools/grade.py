"""Grade submitted notebooks: their exercise cells, between this repository's setup and checks.

python -m tools.grade FILE_OR_FOLDER ...      a line a file, a verdict an exercise
python -m tools.grade --say ...               and what the checks say
python -m tools.grade --csv marks.csv ...     and a table for a spreadsheet

Of a submission only the exercise cells are run, each file in a process of its own. This is no
sandbox: coursework/README.md says what it does not prevent.
"""

import argparse
import csv
import importlib.util
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
SETUP_LIMIT = 300  # seconds for the imports and the setup cells, which are ours
KEPT = re.compile(  # of the environment; what else is there may be a secret
    r"(PATH|HOME|USERPROFILE|SYSTEMROOT|LANG|LC_\w+|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH)"
    r"|(JAX|XLA|MMJAX|MPL)\w*"
)
NAME = re.compile(r"\bmy_\w+")


class Refused(Exception):
    """A submission cannot be graded; the message says why."""


class Exercises:
    """The tagged cells of one notebook of the course: setup and blanks are run, checks on request.

    The verdict is the line that the checker prints. It is taken from a copy of mmjax.exercises that
    nobody else imports, so that what a student prints or patches there is not taken for it.
    """

    def __init__(self, notebook: str):
        self.cells = read(NOTEBOOKS / f"{notebook}.ipynb")
        self.lines, self.namespace = [], {"__name__": "__main__"}
        for source in self.tagged("setup") + self.tagged("exercise"):
            exec(source, self.namespace)
        # What an exercise cell sees. A name that it overwrites is not overwritten for the checks.
        self.student = dict(self.namespace)
        checker = load("checker_of_the_grader", ROOT / "mmjax" / "exercises.py")
        checker.print = self.lines.append
        self.namespace |= {"check": checker.check, "check_function": checker.check_function}

    def tagged(self, tag: str) -> list[str]:
        return [source_of(cell) for cell in self.cells if tag in tags_of(cell)]

    def verdict(self, number: int, **answer) -> str:
        """What the check of an exercise says, without its name; `answer` fills the blank."""
        self.namespace.update(answer)
        self.lines.clear()
        exec(self.tagged("check")[number - 1], self.namespace)
        (line,) = self.lines
        assert line.startswith(f"Exercise {number}: ")
        return line.removeprefix(f"Exercise {number}: ")

    def verdict_of_cell(self, number: int, source: str | None) -> str:
        """The same for the source of an exercise cell, whatever it does; None leaves the blank."""
        problem, answer = None, {}
        if source is not None:
            try:
                exec(runnable(source), self.student)
                names = NAME.findall(self.tagged("check")[number - 1])
                answer = {name: self.student[name] for name in names if name in self.student}
            except BaseException as error:  # SystemExit and KeyboardInterrupt, too
                problem = f"not yet right: the cell raised {told(error)}"
        try:  # after a problem, too: later checks may use what this one makes
            line = self.verdict(number, **answer)
        except BaseException as error:
            line = f"not yet right: the check ended with {told(error)}"
        return problem or line


def load(name: str, path: Path):
    """The module in a file, outside of sys.modules."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def runnable(source: str):
    """Compiled; magics and shell commands are left out of what is not Python."""
    try:
        return compile(source, "<exercise>", "exec")
    except SyntaxError:
        bare = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
        return compile(bare, "<exercise>", "exec")


def told(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # its own __str__ raised
        return type(error).__name__


# Reading a submission


def read(path: Path) -> list[dict]:
    """The cells of a notebook file, of any minor version of the format."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
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
    return cell.get("id") or cell.get("metadata", {}).get("id")  # the second is where Colab has it


def notebook_of(path: Path, cells: list[dict]) -> str:
    """Which notebook of the course this is: by the section in its title, else by its file name."""
    from tools.notebooks import find  # here, as it takes a second that each submission would wait

    stems = [known.stem for known in find()]
    first = source_of(cells[0]) if cells and cells[0]["cell_type"] == "markdown" else ""
    title = re.match(r"#\s+(\d+(?:\.\d+)?)\s", first)
    section = title[1].replace(".", "_") if title else "no section"
    found = [stem for stem in stems if re.match(rf"{section}_\D", stem)]
    found = found or [stem for stem in stems if stem in path.name]
    if len(found) != 1:
        raise Refused(
            "cannot tell which notebook this is: its first cell has no title such as '# 5.4 ...', "
            "and its file name contains none of the course's, such as '5_4_e_commerce'"
        )
    return found[0]


def exercise_cells(cells: list[dict], notebook: str) -> list[str]:
    """The source of a submission's cell for each exercise of the notebook.

    An exercise cell has the id of the blank. Where a program has renamed the cells, it is the cell
    with the tag "exercise" that defines the name asked for.
    """
    blanks = [cell for cell in read(NOTEBOOKS / f"{notebook}.ipynb") if "exercise" in tags_of(cell)]
    if not blanks:
        raise Refused(f"the notebook {notebook} has no exercises")
    ids, sources = {id_of(blank) for blank in blanks}, []
    for number, blank in enumerate(blanks, start=1):
        name = NAME.search(source_of(blank))[0]
        defines = re.compile(rf"^(?:def\s+{name}|{name}\s*[=:])", re.MULTILINE)
        found = [
            source_of(cell)
            for cell in cells
            if cell["cell_type"] == "code"
            and (
                id_of(cell) == id_of(blank)
                or ("exercise" in tags_of(cell) and id_of(cell) not in ids)
                and defines.search(source_of(cell))
            )
        ]
        if len(found) != 1:
            what = "is missing" if not found else f"is there {len(found)} times"
            raise Refused(f"the cell of exercise {number} ({name}) {what}")
        sources += found
    return sources


# Grading one


@dataclass
class Grades:
    """What came of one file: a verdict for each exercise, or why there are none."""

    path: Path
    notebook: str = ""
    lines: dict[int, str] = field(default_factory=dict)
    refused: str = ""
    seconds: float = 0.0

    def words(self) -> list[str]:
        return [word(self.lines[number]) for number in sorted(self.lines)]


def word(line: str) -> str:
    """The verdict in a word or three: correct, not yet right, not solved or stopped."""
    if line == "correct.":
        return "correct"
    if line == "not solved yet.":
        return "not solved"
    return "stopped" if line.startswith("stopped: ") else "not yet right"


def grade(path: Path, limit: float) -> Grades:
    """All exercises of a file. One that does not end is stopped, and the others run without it."""
    grades, start = Grades(path), time.perf_counter()
    try:
        cells = read(path)
        grades.notebook = notebook_of(path, cells)
        sources = exercise_cells(cells, grades.notebook)
        while stopped := run(grades.notebook, sources, limit, grades.lines):
            number, reason = stopped
            grades.lines.setdefault(number, f"stopped: {reason}")
            sources[number - 1] = None
    except Refused as refused:
        grades.refused, grades.lines = clean(str(refused)), {}
    grades.seconds = time.perf_counter() - start
    return grades


def run(notebook: str, sources: list, limit: float, lines: dict) -> tuple[int, str] | None:
    """A process for the cells; fills in lines. Returns the exercise that stopped it, and how."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        tempfile.TemporaryFile("w+") as job,
        tempfile.TemporaryFile("w+") as log,
    ):
        json.dump({"notebook": notebook, "sources": sources}, job)
        job.seek(0)
        process, reports = start(job, log, scratch), queue.SimpleQueue()
        reader = threading.Thread(target=forward, args=(process.stdout, reports), daemon=True)
        reader.start()
        try:
            stopped = follow(reports, len(sources), limit, lines)
        except (TypeError, ValueError):
            raise Refused("it wrote into the reports of the grader") from None
        finally:
            code = end(process)
            reader.join(timeout=5)
            if not reader.is_alive():
                process.stdout.close()
        if stopped is None:
            return None
        number, reason = stopped[0], stopped[1].format(code=code)
        if number is None:
            log.seek(0)
            last = (log.read().strip().splitlines() or [reason])[-1]
            raise Refused(f"the setup of {notebook} failed: {last}")
        return number, reason


def start(job, log, folder: str) -> subprocess.Popen:
    """A fresh Python that runs child(), with the job as its input, in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tools.grade", "--as-child"],
        stdin=job,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=folder,
        env=environment(),
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def follow(reports, count: int, limit: float, lines: dict) -> tuple[int | None, str] | None:
    """Takes the reports of child() into lines. Returns where it stopped (None: setup), and how."""
    number, patience = None, SETUP_LIMIT
    while True:
        try:
            report = reports.get(timeout=patience)
        except queue.Empty:
            return number, f"it took longer than {patience:g} s."
        if report is None:
            return number, "it ended the process, exit code {code}."
        if json.loads(report) == "done" and len(lines) == count:
            return None
        number, line = json.loads(report)
        if number not in range(1, count + 1):
            raise ValueError(number)
        if line is not None:
            lines.setdefault(number, clean(line))
        patience = limit


def forward(pipe, reports: queue.SimpleQueue) -> None:
    """Whole lines into the queue, None at the end; get() has the time limit that a pipe lacks."""
    for text in pipe:
        if text.endswith("\n"):  # else the process was killed within it
            reports.put(text)
    reports.put(None)


def end(process: subprocess.Popen) -> int:
    """Kills what is left of the process and of those that it started; returns its exit code."""
    if process.returncode is None:  # not waited for, so that its number is not yet another's
        try:
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        except (ProcessLookupError, PermissionError):
            pass  # nothing of it is left
    return process.wait()


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    return {"JAX_PLATFORMS": "cpu"} | kept | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}


def clean(text: str) -> str:
    """One line that a terminal shows as it is, whatever a submission has put into it."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())[:500]


def child() -> None:
    """In the process of one submission: reads the job, reports [number, verdict] line by line."""
    job = json.load(sys.stdin)
    channel, null = os.dup(1), os.open(os.devnull, os.O_RDWR)

    def report(what):
        os.write(channel, f"{json.dumps(what)}\n".encode())

    os.dup2(null, 0), os.dup2(null, 1)
    exercises = Exercises(job["notebook"])
    os.dup2(null, 2)  # up to here an exception belongs into the log
    for number, source in enumerate(job["sources"], start=1):
        report([number, None])
        report([number, exercises.verdict_of_cell(number, source)])
    report("done")
    os._exit(0)  # threads of the submission are not waited for


# The table


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="grade", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="notebooks or folders")
    parser.add_argument("--say", action="store_true", help="show what the checks say")
    parser.add_argument("--csv", type=Path, metavar="OUT", help="write the verdicts to this file")
    parser.add_argument(
        "--limit",
        type=float,
        default=60,
        metavar="SECONDS",
        help="what one exercise may take with its check (default 60)",
    )
    options = parser.parse_args(arguments)
    paths = notebooks_in(options.paths)
    if not paths:
        parser.error("there are no notebooks in " + ", ".join(map(str, options.paths)))
    width, all_grades = max(len(str(path)) for path in paths), []
    for path in paths:
        grades = grade(path, options.limit)
        all_grades.append(grades)
        print(row(grades, width), flush=True)
        for number, line in sorted(grades.lines.items()) if options.say else ():
            print(f"    Exercise {number}: {line}")
    if options.csv:
        write_csv(all_grades, options.csv)
    return any(grades.refused for grades in all_grades)


def notebooks_in(paths: list[Path]) -> list[Path]:
    """The files named, and all notebooks below the folders named, without Jupyter's backups."""
    found = []
    for path in paths:
        below = sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]
        found += [p for p in below if ".ipynb_checkpoints" not in p.parts]
    return found


def row(grades: Grades, width: int) -> str:
    name = clean(str(grades.path)).ljust(width)
    if grades.refused:
        return f"{name}  NOT GRADED: {grades.refused}"
    words = grades.words()
    verdicts = "".join(f"{n} {w:<15}" for n, w in enumerate(words, start=1))
    right = words.count("correct")
    return f"{name}  {verdicts}{right} of {len(words)} correct, {grades.seconds:.1f} s"


def write_csv(all_grades: list[Grades], path: Path) -> None:
    most = max(len(grades.lines) for grades in all_grades)
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # Excel needs the mark
        writer = csv.writer(file)
        writer.writerow(
            ["file", "notebook", "correct", "exercises"]
            + [f"exercise {n}" for n in range(1, most + 1)]
            + ["not graded because"]
        )
        for grades in all_grades:
            words = grades.words()
            writer.writerow(
                [grades.path, grades.notebook, words.count("correct"), len(words)]
                + words
                + [""] * (most - len(words))
                + [grades.refused]
            )


if __name__ == "__main__":
    if sys.argv[1:] == ["--as-child"]:
        child()
    else:
        sys.exit(main())
