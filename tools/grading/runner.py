"""Grades one file: starts a process for its exercises, stops it, and reads what it reported."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tools.grading.exercises import ROOT
from tools.grading.submission import Submission, submission_in
from tools.grading.verdicts import Refused, clean, told, word

SETUP_LIMIT = 300  # seconds for the imports and the setup cells, which are ours
MOST_REPORTED = 1_000_000  # bytes
KEPT = re.compile(  # of the environment; what else is there may be a secret
    r"(PATH|HOME|USERPROFILE|SYSTEMROOT|LANG|LC_\w+|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH"
    r"|XDG_CACHE_HOME)|(JAX|XLA|MMJAX|MPL)\w*"
)


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


def grade(path: Path, limit: float) -> Grades:
    """All exercises of a file. One that does not end is stopped, and the others run without it."""
    grades, start = Grades(path), time.perf_counter()
    try:
        submission = submission_in(path)
        grades.notebook, grades.lines = submission.notebook.stem, submission.lines
        while stopped := run(submission, limit):
            number, reason = stopped
            if submission.sources[number - 1] is None:  # nothing is left to take out
                why = f"stopped: not run, as exercise {number} stops without an answer, too."
                for later in range(number, len(submission.sources) + 1):
                    grades.lines.setdefault(later, why)
                break
            grades.lines.setdefault(number, f"stopped: {reason}")
            submission.sources[number - 1] = None
    except Exception as error:  # whatever is in one file, the others are graded
        why = str(error) if isinstance(error, Refused) else f"the grader failed: {told(error)}"
        grades.refused, grades.lines = clean(why), {}
    grades.seconds = time.perf_counter() - start
    return grades


def run(submission: Submission, limit: float) -> tuple[int, str] | None:
    """A process for the exercises; fills in lines. Returns where it stopped and how, or None."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        tempfile.TemporaryFile("w+", encoding="utf-8") as job,
        tempfile.TemporaryFile() as reports,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
    ):
        limits = {"limit": limit, "setup_limit": SETUP_LIMIT}
        json.dump(vars(submission) | limits | {"notebook": str(submission.notebook)}, job)
        job.seek(0)
        begun = time.monotonic()
        process = start(job, reports, log, Path(scratch))
        try:  # it ends itself in time, unless a submission has switched that off
            process.wait(SETUP_LIMIT + limit * len(submission.sources))
        except subprocess.TimeoutExpired:
            pass
        finally:
            ended = time.monotonic()
            code = end(process)
        reports.seek(0), log.seek(0)
        number, begun_last = take(reports.read(MOST_REPORTED), submission)
        if number is None:
            return None
        if number == 0:
            last = (log.read().strip().splitlines() or ["it said nothing."])[-1]
            last = f"it took {SETUP_LIMIT:g} s." if ended - begun >= SETUP_LIMIT else last
            raise Refused(f"the setup of {submission.notebook.stem} failed: {last}")
        if ended - begun_last >= limit:
            return number, f"it took longer than {limit:g} s."
        return number, f"it ended the process, exit code {code}."


def start(job, reports, log, folder: Path) -> subprocess.Popen:
    """A fresh Python for the job, in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tools.grading.process"],
        stdin=job,
        stdout=reports,
        stderr=log,
        cwd=folder,
        env=environment(folder),
        start_new_session=True,
    )


def environment(folder: Path) -> dict[str, str]:
    """What a submission is told; its temporary files go into its own folder, and with it."""
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    ours = {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:replace"}
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    return {"JAX_PLATFORMS": "cpu"} | kept | temporary | ours


def end(process: subprocess.Popen) -> int:
    """Kills what is left of the process and of those that it started; returns its exit code."""
    try:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass  # nothing of it is left
    return process.wait()


def take(reported: bytes, submission: Submission) -> tuple[int | None, float]:
    """Takes the verdicts into lines. Returns the exercise that stopped, and when it had begun.

    0 is the setup, None that nothing stopped. A verdict that was there before stays.
    """
    count, begun = len(submission.sources), float("inf")
    whole = reported[: reported.rfind(b"\n") + 1].splitlines()  # it may be killed within a line
    try:
        for position, line in enumerate(whole):
            number, what = json.loads(line)
            if number != position // 2 + 1 or number > count:
                raise ValueError(number)
            if position % 2 == 0:
                begun = float(what)
            else:
                submission.lines.setdefault(number, clean(what))
                begun = float("inf")
    except (TypeError, ValueError, RecursionError):
        raise Refused("it wrote into the reports of the grader") from None
    if len(whole) == 2 * count:
        return None, begun
    return (len(whole) // 2 + 1 if whole else 0), begun
