"""The book opens without a network, and a notebook comes in with the outputs of its own code."""

import pytest

from tools import build_book


@pytest.mark.parametrize(
    ("name", "text", "problems"),
    [
        ("a.html", '<script defer src="https://cdn.example/x.js"></script>', 1),
        ("a.html", '<link rel="stylesheet" href="//cdn.example/x.css">', 1),
        ("a.css", "@font-face { src: url('https://cdn.example/x.woff') }", 1),
        ("a.html", '<a href="https://arxiv.org/abs/1706.03762">paper</a>', 0),
        ("a.html", '<script src="_static/x.js"></script><img src="data:image/png;base64,a">', 0),
    ],
)
def test_a_site_that_needs_a_network_is_noticed(tmp_path, name, text, problems):
    (tmp_path / name).write_text(text)
    assert len(build_book.fetched_from_elsewhere(tmp_path)) == problems


def test_a_run_of_older_code_is_not_shown(tmp_path):
    notebooks = build_book.notebooks
    cell = notebooks.nbformat.v4.new_code_cell("1 + 1", execution_count=1, id="a")
    made = notebooks.nbformat.v4.new_notebook(cells=[cell])
    made.metadata["mmjax"] = {"fingerprint": notebooks.fingerprint(made)}
    executed, path = tmp_path / "executed.ipynb", tmp_path / "now.ipynb"
    notebooks.write(made, executed)
    notebooks.write(made, path)
    assert build_book.is_run_of(executed, path)
    made.cells[0].source = "1 + 2"
    notebooks.write(made, path)
    assert not build_book.is_run_of(executed, path)
