"""Run the notebooks in order, each in a fresh kernel, a line each.

python -m tools.run_notebooks [NAME ...]      executed copies go to build/notebooks
python -m tools.run_notebooks --write ...     and the outputs are kept in notebooks/
python -m tools.run_notebooks --check ...     no kernel: are the outputs in notebooks/ up to date?
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tools import notebooks

CELL_LIMIT = 20 * 60  # seconds; a cell that takes longer hangs
PEAK_MEMORY = "__import__('resource').getrusage(0).ru_maxrss"  # evaluated in the kernel
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Failed(Exception):
    """A notebook did not reach its end; the message is for the person at the terminal."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="run_notebooks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of file names")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="report stale outputs, run nothing")
    mode.add_argument("--write", action="store_true", help="keep the outputs in notebooks/")
    options = parser.parse_args()
    paths = notebooks.find(options.names)
    if not paths:
        print("There are no notebooks.")
        return 0
    if options.check:
        return check(paths)
    return run_all(paths, options.write)


def check(paths: list[Path]) -> int:
    failures = 0
    for path in paths:
        notebook = notebooks.read(path)
        problems = notebooks.form_problems(notebook) + notebooks.output_problems(notebook)
        print(f"{path.stem:<32} {len(problems) or 'no'} problem{'s' * (len(problems) != 1)}")
        for problem in problems:
            print(f"    {problem}")
        failures += bool(problems)
    return failures > 0


def run_all(paths: list[Path], write: bool) -> int:
    # A fresh machine would else say, inside the first notebook, that it builds a font cache.
    subprocess.run(
        [sys.executable, "-c", "import matplotlib.font_manager"], check=True, capture_output=True
    )
    failures, total = [], time.perf_counter()
    for path in paths:
        print(f"{path.stem:<32} ", end="", flush=True)
        try:
            print(run_one(path, write))
        except Failed as failure:
            print(f"FAILED\n{failure}")
            failures.append(path.stem)
    seconds = time.perf_counter() - total
    print(
        f"{len(paths) - len(failures)} of {len(paths)} notebooks ran in {seconds:.0f} s;"
        f" copies with outputs are in {notebooks.EXECUTED.relative_to(notebooks.ROOT)}."
    )
    return len(failures) > 0


def run_one(path: Path, write: bool) -> str:
    """Execute one notebook and return what to report of it."""
    notebook = notebooks.read(path)
    notebooks.normalise(notebook)
    start = time.perf_counter()
    try:
        peak = execute(notebook)
    finally:  # what a failed notebook has shown so far helps to see why
        notebooks.normalise(notebook)
        notebook.metadata["mmjax"] = {"fingerprint": notebooks.fingerprint(notebook)}
        notebooks.write(notebook, notebooks.EXECUTED / path.name)
    seconds = time.perf_counter() - start
    if write:
        notebooks.write(notebook, path)
    return report(seconds, peak, *notebooks.stated(notebook))


def report(seconds, peak, stated_seconds, stated_peak) -> str:
    line = f"{seconds:4.0f} s"
    if stated_seconds:
        line += f" of {stated_seconds:.0f} s stated"
    if peak:
        line += f", {peak:.2f} GB" + (f" of {stated_peak:.2f} GB stated" if stated_peak else "")
    over = [
        what
        for what, measured, promised in (
            ("time", seconds, stated_seconds),
            ("memory", peak, stated_peak),
        )
        if measured and promised and measured > 1.5 * promised
    ]
    return line + (f"  <- more {' and '.join(over)} than stated" if over else "")


def execute(notebook) -> float | None:
    """Run the cells in place; return the kernel's peak memory in gigabytes."""
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_LIMIT,
        record_timing=False,
        coalesce_streams=True,
        kernel_manager_class=AsyncKernelManager,
    )
    for cell in notebooks.code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch, "kernel.log")
        with (
            log.open("w") as stderr,
            client.setup_kernel(
                cwd=str(notebooks.NOTEBOOKS), env=environment(scratch), stderr=stderr
            ),
        ):
            for index, cell in enumerate(notebook.cells):
                try:
                    client.execute_cell(cell, index)
                except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                    raise Failed(explain(cell, error, log)) from None
            return peak_memory(client)


def environment(scratch: str) -> dict[str, str]:
    """The caller's, less what would make a kernel behave as on this machine only."""
    env = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "PYTHONSTARTUP")}
    path = os.pathsep.join(filter(None, [str(notebooks.ROOT), env.get("PYTHONPATH")]))
    return env | {"IPYTHONDIR": scratch, "PYTHONHASHSEED": "0", "PYTHONPATH": path}


def peak_memory(client: NotebookClient) -> float | None:
    """Ask the kernel itself; None where the system does not keep count (Windows)."""

    async def ask():
        return await client.kc.execute(
            "", silent=True, user_expressions={"peak": PEAK_MEMORY}, reply=True, timeout=30
        )

    reply = run_sync(ask)()
    answer = reply["content"].get("user_expressions", {}).get("peak", {})
    if answer.get("status") != "ok":
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, else kibibytes
    return int(answer["data"]["text/plain"]) * unit / 1e9


def explain(cell, error, log: Path) -> str:
    """The source of the cell and the exception that was raised in it."""
    text = ANSI.sub("", str(error)).strip()
    if isinstance(error, DeadKernelError):
        last_words = log.read_text(errors="replace").strip().splitlines()[-20:]
        last_words = [line for line in last_words if "TCP without encryption" not in line]
        text = "\n".join(["The kernel died in this cell:", cell.source, *last_words])
    return "\n".join("    " + line for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
