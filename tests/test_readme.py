"""The README is true: its code runs, its links lead somewhere, no notebook is left out."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from tools.notebooks import find

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINKS = re.findall(r"\]\(([^)#:\s]+)\)", README)  # a colon is in every address of another machine


def test_the_code_runs():
    names = {}
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    exec(code, names)
    assert names["out"].shape == (2, 8, 512, 64)
    assert jnp.isfinite(names["loss"]) and isinstance(names["loss"], jax.Array)


def test_every_notebook_is_listed_in_order():
    listed = [Path(link).stem for link in LINKS if link.endswith(".ipynb")]
    assert listed == sorted(set(listed))
    assert {path.stem for path in find()} <= set(listed)


@pytest.mark.parametrize("link", sorted(set(LINKS) - {x for x in LINKS if x.endswith(".ipynb")}))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_the_list_of_pages_in_the_repository_is_complete():
    """The built book lists what is there by itself; a reader of the repository has this list."""
    index = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"\]\((\w+\.md)\)", index.split("<!-- contents -->")[1])
    pages = {path.name for path in (ROOT / "book").glob("*.md")} - {"index.md"}
    assert sorted(listed) == sorted(pages)
    sections = [page for page in listed if page[0].isdigit()]
    assert sections == sorted(sections)
