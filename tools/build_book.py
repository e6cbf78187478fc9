"""Build the book: the pages of book/ and the notebooks with their outputs, as a site to open.

python -m tools.build_book

A notebook comes from build/notebooks if it was run there with the code it has now, otherwise from
notebooks/ with the outputs that were committed.
"""

import re
import shutil
import subprocess
import sys
import time

from tools import notebooks

ROOT = notebooks.ROOT
SOURCE = ROOT / "build" / "book-source"
SITE = ROOT / "build" / "book"
# What a browser fetches by itself; a link that a reader may follow is something else.
FETCHED = re.compile(
    r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["'](?:https?:)?//[^"']*"""
    r"""|(?:@import\s+|url\()["']?(?:https?:)?//[^"')]*""",
    re.IGNORECASE,
)


def gather() -> int:
    """Lay pages and notebooks side by side, as Sphinx wants one folder; return how many ran."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    ignored = shutil.ignore_patterns("_ext", "_static", "conf.py", "__pycache__")
    shutil.copytree(ROOT / "book", SOURCE, ignore=ignored)
    (SOURCE / "notebooks").mkdir()
    fresh = 0
    for path in notebooks.find():
        executed = notebooks.EXECUTED / path.name
        if executed.exists() and is_run_of(executed, path):
            fresh += 1
            path = executed
        shutil.copy2(path, SOURCE / "notebooks")
    return fresh


def is_run_of(executed, path) -> bool:
    sources = [[cell.source for cell in notebooks.read(p).cells] for p in (executed, path)]
    return sources[0] == sources[1] and not notebooks.output_problems(notebooks.read(executed))


def fetched_from_elsewhere(site=SITE) -> list[str]:
    """What the site would load from another machine; it must open without a network."""
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    found = ((file, FETCHED.search(file.read_text(encoding="utf-8"))) for file in files)
    return [f"{file.relative_to(site)} loads {match[0][:120]}" for file, match in found if match]


def main() -> int:
    start = time.perf_counter()
    fresh = gather()
    shutil.rmtree(SITE, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-b",
        "html",
        "-c",
        ROOT / "book",
        "-q",
        "-W",
        "--keep-going",
        "-E",
        "-d",
        ROOT / "build" / "doctrees",
        SOURCE,
        SITE,
    ]
    status = subprocess.run(command, cwd=ROOT).returncode
    for problem in fetched_from_elsewhere():
        print(problem, file=sys.stderr)
        status = 1
    if status:
        print("The book has the problems above.", file=sys.stderr)
        return status
    print(
        f"The book was built in {time.perf_counter() - start:.0f} s, with {fresh} notebooks as "
        f"run just now. Open {(SITE / 'index.html').relative_to(ROOT)}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
