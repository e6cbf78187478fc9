"""The notebooks as files: their form, and outputs that belong to their code. Nothing is run."""

import pytest

from tools import notebooks

PATHS = notebooks.find()


def notebook(*cells, metadata=None):
    made = notebooks.nbformat.v4.new_notebook(cells=list(cells))
    made.metadata["mmjax"] = metadata or {}
    return made


def code(source, count=1, outputs=()):
    return notebooks.nbformat.v4.new_code_cell(
        source, execution_count=count, outputs=[notebooks.nbformat.from_dict(o) for o in outputs]
    )


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_form(path):
    assert not notebooks.form_problems(notebooks.read(path))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_outputs_belong_to_the_code(path):
    assert not notebooks.output_problems(notebooks.read(path))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_only_the_runner_wrote_it(path):
    made = notebooks.read(path)
    notebooks.normalise(made)
    assert notebooks.nbformat.writes(made) + "\n" == path.read_text(encoding="utf-8")


def test_a_changed_cell_is_stale():
    made = notebook(code("1 + 1"))
    made.metadata["mmjax"]["fingerprint"] = notebooks.fingerprint(made)
    assert not notebooks.output_problems(made)
    made.cells[0].source = "1 + 2"
    assert notebooks.is_stale(made)


def test_a_changed_module_is_stale_and_an_unused_one_is_not(monkeypatch, tmp_path):
    made = notebook(code("%matplotlib inline\nfrom mmjax.attention import masks"))
    before = notebooks.fingerprint(made)
    modules = dict(notebooks.imports.modules())
    for name, changes in (("mmjax.formulas", False), ("mmjax.attention.masks", True)):
        (tmp_path / "m.py").write_text(modules[name].read_text() + "\nEXTRA = 1\n")
        changed = modules | {name: tmp_path / "m.py"}
        monkeypatch.setattr(notebooks.imports, "modules", lambda changed=changed: changed)
        assert (notebooks.fingerprint(made) != before) is changes


def test_comments_and_docstrings_make_nothing_stale():
    bare = notebooks._bare(
        '"""Doc."""\ndef f(x):  # why\n    """Doc\n    more."""\n\n    return "#"\n'
    )
    assert bare == 'def f(x):\n    return "#"'


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([code("1", count=2)], "top to bottom"),
        ([code("1", count=None)], "top to bottom"),
        ([code("1", 1, [{"output_type": "stream", "name": "stderr", "text": "w"}])], "stderr"),
        (
            [
                code(
                    "1", 1, [{"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}]
                )
            ],
            "ended in E",
        ),
        (
            [
                code(
                    "1", 1, [{"output_type": "stream", "name": "stdout", "text": "<A at 0x7f00aa>"}]
                )
            ],
            "memory address",
        ),
        (
            [
                code(
                    "1",
                    1,
                    [{"output_type": "stream", "name": "stdout", "text": str(notebooks.ROOT)}],
                )
            ],
            "path of the machine",
        ),
    ],
)
def test_problems_of_outputs_are_found(cells, problem):
    assert any(problem in found for found in notebooks.output_problems(notebook(*cells)))


@pytest.mark.parametrize("source", ["!pip install x", "import requests", "get('https://a.b')"])
def test_downloads_are_found(source):
    assert any("network" in found for found in notebooks.form_problems(notebook(code(source))))


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("**Run time:** 40 s and 0.9 GB of memory on two cores.", (40, 0.9)),
        ("**Run time:** about 4 min, 900 MB.", (240, 0.9)),
        ("**Run time:** 1.5 min", (90, None)),
        ("no word", (None, None)),
    ],
)
def test_stated_cost(text, stated):
    assert notebooks.stated(notebook(notebooks.nbformat.v4.new_markdown_cell(text))) == stated
