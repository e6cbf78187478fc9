"""Puts the pages and notebooks that exist in reading order: a section's page, then its notebook.

The first page has `<!-- contents -->` and `<!-- end of contents -->` around the list. What stands
between them is for a reader of the repository; the built page shows a list of what is there. A
chapter that nobody has written yet is not shown.
"""

import re
from pathlib import Path

CHAPTERS = {
    "1": "1 Background",
    "2": "2 Concepts",
    "3": "3 Algorithms",
    "4": "4 Mathematics",
    "5": "5 Projects",
    "6": "6 Trends",
}
APPENDIX = ["glossary", "ledger", "references"]
SECTION = re.compile(r"(\d)(?:_(\d+))?_\w+")


def toctree(caption: str, entries: list[str]) -> str:
    return "\n".join(["```{toctree}", f":caption: {caption}", ":hidden:", "", *entries, "```", ""])


def chapter_entries(chapter: str, docs: set[str]) -> list[str]:
    names = {doc.removeprefix("notebooks/") for doc in docs}
    names = [name for name in names if (m := SECTION.fullmatch(name)) and m[1] == chapter]
    entries = []
    for name in sorted(names, key=lambda name: (int(SECTION.fullmatch(name)[2] or 0), name)):
        if name in docs:
            entries.append(name)
        if f"notebooks/{name}" in docs:
            number = ".".join(filter(None, SECTION.fullmatch(name).groups()))
            title = f"{number} Notebook <notebooks/{name}>" if name in docs else f"notebooks/{name}"
            entries.append(title)
    return entries


def title_of(doc: str, env) -> str:
    text = Path(env.doc2path(doc)).read_text(encoding="utf-8")
    return re.search(r'^(?: *")?# (.+?)(?:\\n",?)?"?,?$', text, re.MULTILINE)[1]


def visible_list(entries: list[str], env) -> str:
    """The same list on the page itself, for a reader whose sidebar is folded away."""
    lines = []
    for entry in entries:
        doc = entry.split("<")[-1].rstrip(">")
        if "<" in entry:
            lines[-1] += f", with a [notebook](/{doc})"
        else:
            lines.append(f"- [{title_of(doc, env)}](/{doc})")
    return "\n".join(lines)


def fill_in_contents(app, docname: str, source: list[str]) -> None:
    # The book is built from one folder, in which the notebooks lie below the pages. In the
    # repository, where links must work too, they lie beside each other.
    if docname.startswith("notebooks/"):
        source[0] = source[0].replace("](../book/", "](../")
    else:
        source[0] = source[0].replace("](../notebooks/", "](notebooks/")
    if docname != app.config.root_doc:
        return
    docs = app.env.found_docs
    parts = []
    for chapter, caption in CHAPTERS.items():
        if entries := chapter_entries(chapter, docs):
            parts += [f"**{caption}**", "", visible_list(entries, app.env), ""]
            parts.append(toctree(caption, entries))
    parts.append(toctree("Appendix", [doc for doc in APPENDIX if doc in docs]))
    before, rest = source[0].split("<!-- contents -->")
    after = rest.split("<!-- end of contents -->")[1]
    source[0] = before + "\n".join(parts) + after


def setup(app):
    app.connect("source-read", fill_in_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
