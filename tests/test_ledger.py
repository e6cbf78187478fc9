"""Every numbered equation of the book has a test, and every marked test an equation."""

from tools import ledger
from tools.notebooks import find, read


def test_every_equation_has_a_test():
    unchecked = ledger.equations().keys() - ledger.checks().keys()
    assert not unchecked, f"no test is marked with {sorted(unchecked, key=ledger.sort_key)}"


def test_every_mark_names_an_equation():
    unknown = {
        tag: [str(check) for check in checks]
        for tag, checks in ledger.checks().items()
        if tag not in ledger.equations()
    }
    assert not unknown, f"no page of the book has these equations: {unknown}"


def test_every_number_is_given_once():
    claimed = {tag: pages for tag, pages in ledger.equations().items() if len(pages) > 1}
    assert not claimed


def test_notebooks_use_the_numbers_of_the_book():
    for path in find():
        for cell in read(path).cells:
            if cell.cell_type == "markdown":
                unknown = set(ledger.tags_in(cell.source)) - ledger.equations().keys()
                assert not unknown, f"{path.stem} numbers {unknown}, the book does not"


def test_the_ledger_reads_numbers_and_marks(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "tests" / "inner").mkdir(parents=True)
    (tmp_path / "book" / "page.md").write_text(
        "$$ a \\tag{4.1.10} $$\n`$$ b \\tag{1.1.1} $$`\n"
        "```\n\\tag{1.1.2}\n```\n$$ c \\tag{4.1.9} $$\n"
    )
    (tmp_path / "tests" / "inner" / "test_a.py").write_text(
        "import pytest\n@pytest.mark.equation('4.1.9', '4.1.10')\nclass TestA:\n"
        "    def test_b(self):\n        pass\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.equation('4.1.9'))])\n"
        "def test_c(x):\n    pass\n"
    )
    assert ledger.equations(tmp_path) == {"4.1.9": ["page"], "4.1.10": ["page"]}
    checks = {tag: list(map(str, found)) for tag, found in ledger.checks(tmp_path).items()}
    assert checks["4.1.10"] == ["tests/inner/test_a.py::TestA::test_b"]
    assert checks["4.1.9"] == [*checks["4.1.10"], "tests/inner/test_a.py::test_c"]
