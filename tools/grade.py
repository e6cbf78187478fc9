"""Grade submitted notebooks: their exercise cells, between this repository's setup and checks.

python -m tools.grade FILE_OR_FOLDER ...      a line a file, a verdict an exercise
python -m tools.grade --say ...               and what the checks say
python -m tools.grade --csv marks.csv ...     and a table for a spreadsheet

Of a submission only the exercise cells are run, each file in a process of its own. This is no
sandbox: coursework/README.md says what it does not prevent.
"""

import argparse
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from tools.grading.runner import grade
from tools.grading.table import Table, row
from tools.grading.verdicts import clean


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
    if not 0 < options.limit < 1e6:
        parser.error(f"--limit: expected seconds, more than none, got {options.limit}")
    paths = notebooks_in(options.paths)
    if not paths:
        parser.error("there are no notebooks in " + ", ".join(map(str, options.paths)))
    width, refused = max(len(str(path)) for path in paths), False
    with ExitStack() as stack:
        table = None
        if options.csv:  # before anything is graded, so that no work is lost to a wrong name
            try:  # a new one, as there may be marks in it; Excel needs the mark that "-sig" writes
                file = options.csv.open("x", newline="", encoding="utf-8-sig")
            except OSError as error:
                parser.error(f"cannot write the table: {error}")
            table = Table(stack.enter_context(file))
        for path in paths:
            grades = grade(path, options.limit)
            refused |= bool(grades.refused)
            print(row(grades, width), flush=True)
            for number, line in sorted(grades.lines.items()) if options.say else ():
                print(f"    Exercise {number}: {clean(line)}", flush=True)
            if table:
                table.add(grades)
    return int(refused)


def notebooks_in(paths: list[Path]) -> list[Path]:
    """The files named, and all notebooks below the folders named; says what else is there.

    Nothing of what is hidden: backups of Jupyter (.ipynb_checkpoints) and of macOS (._x.ipynb).
    """
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        for below in sorted(p for p in path.rglob("*") if p.is_file()):
            if any(part.startswith(".") for part in below.relative_to(path).parts):
                continue
            if below.suffix.lower() == ".ipynb":
                found.append(below)
            else:
                print(f"left out, no notebook: {below}", file=sys.stderr)
    return found


def leave(number, frame) -> None:
    """Ends as after Ctrl-C: what was started is killed on the way."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for name in ("SIGTERM", "SIGHUP"):  # the second is not there on Windows
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, leave)
    for stream in (sys.stdout, sys.stderr):  # a hint may have letters that a terminal lacks
        stream.reconfigure(errors="replace")
    sys.exit(main())
