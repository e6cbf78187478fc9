"""Breaks the mathematics on purpose, one mistake at a time, and expects a test to notice.

    python tools/break_mathematics.py            every mistake of tools/mistakes, about 3 minutes
    python tools/break_mathematics.py rotary     those with this word in their name

It works on a copy in a temporary folder, prints a Markdown table, and exits with 1 if a mistake
survives, if its old text is not in its file exactly once, or if its tests fail without it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.mistakes import MISTAKES, Mistake  # noqa: E402

NOTICED = ("assert", "AssertionError", "FloatingPointError")


def occurrences(mistake: Mistake, root: Path = ROOT) -> int:
    """How often the text to replace stands in its file."""
    path = root / mistake.file
    return path.read_text(encoding="utf-8").count(mistake.old) if path.exists() else 0


def run_tests(copy: Path, tests: tuple[str, ...]) -> tuple[int, str, str]:
    """Runs tests in the copy; returns pytest's exit code, the first failing test and its message.

    An error while collecting, or an edit that crashes, is no failure of a test: only a test that
    ran to an assertion, or to a NaN while looking for one, has noticed the mistake.
    """
    report = copy / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, f"--junitxml={report}", *tests], cwd=copy, env=environment, capture_output=True
    )
    if report.exists():
        for case in ElementTree.parse(report).iter("testcase"):
            failure = case.find("failure")
            if failure is not None:
                message = failure.get("message", "")
                if not message.startswith(NOTICED):
                    return done.returncode, "", f"the edit crashes: {message}"
                line = first_line(message + "\n" + (failure.text or ""))
                return done.returncode, case.get("name", ""), line
    return done.returncode, "", done.stdout.decode(errors="replace")[-2000:]


def first_line(message: str) -> str:
    """The most telling line of a failure: how far off the numbers are, else the first."""
    lines = [line.removeprefix("E ").strip() for line in message.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("Max absolute difference")]
    chosen = (telling + [line for line in lines if line != "AssertionError:"] + [""])[0]
    return chosen[:110].replace("|", "\\|")


def make(mistake: Mistake, copy: Path) -> tuple[bool, str]:
    """Makes one mistake in the copy, runs its tests, undoes it. Returns caught?, table row."""
    if occurrences(mistake, copy) != 1:
        return False, f"| {mistake.name} | **old text not found once** | `{mistake.file}` |"
    path = copy / mistake.file
    original = path.read_text(encoding="utf-8")
    path.write_text(original.replace(mistake.old, mistake.new), encoding="utf-8")
    code, test, message = run_tests(copy, mistake.tests)
    path.write_text(original, encoding="utf-8")
    if code == 1 and test:
        return True, f"| {mistake.name} | `{test}` | {message} |"
    what = "**survives**" if code == 0 else f"**pytest exited with {code}**: {first_line(message)}"
    return False, f"| {mistake.name} | {what} | `{' '.join(mistake.tests)}` |"


def main(words: list[str]) -> int:
    chosen = [m for m in MISTAKES if all(word in m.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        hidden = shutil.ignore_patterns(".*", "__pycache__", "build")
        shutil.copytree(ROOT, copy, ignore=hidden, dirs_exist_ok=True)
        tests = tuple(sorted({test for mistake in chosen for test in mistake.tests}))
        code, test, message = run_tests(copy, tests)
        if code:
            print(f"The tests fail without any mistake: {test} {message}")
            return 1
        print("| mistake | test that caught it | its message |\n|---|---|---|", flush=True)
        survivors = 0
        for mistake in chosen:
            caught, row = make(mistake, copy)
            survivors += not caught
            print(row, flush=True)
    print(f"\n{len(chosen) - survivors} of {len(chosen)} mistakes caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
