"""The grader: what a submission can do and what it gets for it. The copies students work in."""

import csv
import json
import queue

import pytest

from tools import grade, notebooks

NOTEBOOK = "3_1_self_attention"  # its setup is quick
RIGHT = {
    1: """
def pairs(lengths):
    return sum(a * b for a in lengths for b in lengths) - sum(n * n for n in lengths)

def my_crossing_share(lengths):
    return pairs(lengths) / sum(lengths) ** 2
""",
    2: """
def my_shares(P, kind, kinds):
    return np.stack([P[:, kind == k].sum(axis=1) for k in range(kinds)], axis=1)
""",
}


def submission(folder, cells=None, name=f"anna_{NOTEBOOK}.ipynb", change=None):
    """A file as a student hands it in: `cells` number → source; change(cells) does the rest."""
    made = json.loads((notebooks.NOTEBOOKS / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8"))
    blanks = [c for c in made["cells"] if "exercise" in c["metadata"].get("tags", [])]
    for number, source in (cells or {}).items():
        blanks[number - 1]["source"] = source.splitlines(keepends=True)
    if change:
        change(made["cells"])
    path = folder / name
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


def verdicts(path, limit=30.0):
    grades = grade.grade(path, limit)
    assert not grades.refused
    return grades.words(), grades.lines


def tagged(cells, tag):
    return [cell for cell in cells if tag in cell["metadata"].get("tags", [])]


def test_each_exercise_has_its_own_verdict(tmp_path):
    """Right with a helper function, wrong, a cell that raises, no Python, and a blank."""
    cells = RIGHT | {
        2: "def my_shares(P, kind, kinds):\n    return P[:, :kinds]",
        3: "def my_caption_mask(image_length, real):\n    return real\n\nraise SystemExit('bye')",
        4: "def my_merge(:",
    }
    words, lines = verdicts(submission(tmp_path, cells))
    assert words == ["correct", *["not yet right"] * 3, "not solved"]
    assert "case 1" in lines[2] and "Hint" in lines[2]
    assert lines[3] == "not yet right: the cell raised SystemExit: bye"
    assert "SyntaxError" in lines[4]


def test_what_a_submission_prints_overwrites_or_patches_is_not_its_verdict(tmp_path):
    """And magics, helpers of earlier cells, and an own file in the working folder are welcome."""
    cells = {
        1: "print('Exercise 1: correct.')\n"
        "def my_crossing_share(lengths):\n    print('Exercise 1: correct.')\n    return 7",
        2: "import mmjax.exercises\n"
        "mmjax.exercises._problem = lambda *a: None\n"
        "check_function = check = lambda *a, **k: True\n"
        "def my_shares(P, kind, kinds):\n    return check_function()",
        3: "open('mine.txt', 'w').write('x')\nnp, formulas, chance = 1, 2, 3\n"
        "def my_caption_mask(image_length, real):\n    return 0",
        4: "def help(x):\n    return x\ndef my_merge(*parts):\n    return numpy_merge(*parts)",
        5: "%matplotlib inline\nimport math\ndef my_gate_bias(z, n, share):\n"
        "    a, b = (help(sum(math.exp(x) for x in part)) for part in (z[:n], z[n:]))\n"
        "    return math.log(share / (1 - share)) - math.log(a / b)",
    }

    def without_our_checks(made):
        for cell in tagged(made, "check"):
            cell["source"] = "print('Exercise 1: correct.')"

    words, lines = verdicts(submission(tmp_path, cells, change=without_our_checks))
    assert words == [*["not yet right"] * 4, "correct"]
    assert "NameError: name 'numpy_merge'" in lines[4]


def test_what_does_not_end_is_stopped_and_the_rest_is_graded(tmp_path):
    cells = RIGHT | {
        2: "def my_shares(P, kind, kinds):\n    while True:\n        pass",
        3: "import os\nos._exit(3)",
    }
    words, lines = verdicts(submission(tmp_path, cells), limit=2.0)
    assert words == ["correct", "stopped", "stopped", "not solved", "not solved"]
    assert lines[2] == "stopped: it took longer than 2 s."
    assert lines[3] == "stopped: it ended the process, exit code 3."


def test_a_forged_report_is_noticed(tmp_path):
    """Not every one; but none stops the grading of the other files."""
    forge = """import os
for channel in range(3, 30):
    try:
        os.write(channel, b'"done"\\n')
    except OSError:
        pass"""
    grades = grade.grade(submission(tmp_path, {1: forge}), 30.0)
    assert grades.refused == "it wrote into the reports of the grader" and not grades.lines


@pytest.mark.parametrize("report", ['"done"', '[99, "correct."]', "[1, 2]", "7", "no JSON"])
def test_a_report_of_the_wrong_form_is_an_error(report):
    reports = queue.SimpleQueue()
    reports.put(report)
    with pytest.raises((TypeError, ValueError)):
        grade.follow(reports, 5, 1.0, {})


def sources(path):
    """The exercise cells that the grader would run; nothing is run."""
    cells = grade.read(path)
    return grade.exercise_cells(cells, grade.notebook_of(path, cells))


def test_the_checks_of_a_submission_need_not_be_there(tmp_path):
    def drop(made):
        made[:] = [made[0], *tagged(made, "exercise")]

    assert sources(submission(tmp_path, RIGHT, change=drop))[:2] == list(RIGHT.values())


def test_a_cell_is_found_without_its_tag_and_without_its_id(tmp_path):
    def no_tags(made):
        for cell in made:
            cell["metadata"] = {}

    def no_ids(made):
        for cell in made:
            del cell["id"]

    for change in (no_tags, no_ids):
        assert sources(submission(tmp_path, RIGHT, change=change))[:2] == list(RIGHT.values())


def drop_the_second(made):
    made.remove(tagged(made, "exercise")[1])


def duplicate_the_second(made):
    made.append(tagged(made, "exercise")[1] | {"id": "of-jupyter"})


def without_a_title(made):
    made[0]["source"] = "# My homework"


@pytest.mark.parametrize(
    ("change", "name", "problem"),
    [
        (drop_the_second, f"{NOTEBOOK}.ipynb", r"exercise 2 \(my_shares\) is missing"),
        (duplicate_the_second, f"{NOTEBOOK}.ipynb", r"exercise 2 \(my_shares\) is there 2 times"),
        (without_a_title, "homework.ipynb", "cannot tell which notebook this is"),
    ],
)
def test_what_cannot_be_graded_is_refused(tmp_path, change, name, problem):
    with pytest.raises(grade.Refused, match=problem):
        sources(submission(tmp_path, change=change, name=name))


def test_the_file_name_or_the_title_says_which_notebook_it_is(tmp_path):
    named = submission(tmp_path, change=without_a_title)
    titled = submission(tmp_path, name="homework.ipynb")
    for path in (named, titled):
        assert grade.notebook_of(path, grade.read(path)) == NOTEBOOK


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"cells": [1]}', None])
def test_an_unreadable_file_is_named_and_does_not_stop_the_others(tmp_path, text, capsys):
    path = tmp_path / "b.ipynb"
    if text is not None:
        path.write_text(text)
    grades = grade.grade(path, 30.0)
    assert grades.refused.startswith("cannot be read as a notebook")
    assert grade.row(grades, 0).startswith(f"{path}  NOT GRADED: cannot be read")


def test_the_command_prints_a_row_a_file_and_writes_a_table(tmp_path, capsys):
    (tmp_path / "class").mkdir()
    submission(tmp_path / "class", RIGHT)
    (tmp_path / "class" / "broken.ipynb").write_text("")
    table = tmp_path / "marks.csv"
    assert grade.main([str(tmp_path / "class"), "--say", "--csv", str(table)]) == 1
    said = capsys.readouterr().out
    assert "2 of 5 correct" in said and "NOT GRADED" in said
    assert "    Exercise 5: not solved yet.\n" in said
    with table.open(encoding="utf-8-sig") as file:
        anna, broken = csv.DictReader(file)
    assert anna["notebook"] == NOTEBOOK and anna["correct"] == "2" and anna["exercises"] == "5"
    assert anna["exercise 1"] == "correct" and anna["exercise 5"] == "not solved"
    assert broken["not graded because"].startswith("cannot be read")


def test_what_a_terminal_would_obey_is_left_out():
    assert grade.clean("a\x1b[2J\nfake row\r" + "b" * 900).startswith("a [2J fake row bbb")
    assert len(grade.clean("b" * 900)) == 500


def test_no_secret_of_the_environment_reaches_a_submission(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "secret")
    monkeypatch.setenv("MMJAX_DATA", "data")
    kept = grade.environment()
    assert "SOME_TOKEN" not in kept and kept["MMJAX_DATA"] == "data" and "PATH" in kept


def test_the_guide_lists_every_exercise_in_order():
    guide = (grade.ROOT / "coursework" / "README.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in guide.splitlines() if "| `my_" in line]
    assert listed == [
        grade.NAME.search(grade.source_of(cell))[0]
        for path in notebooks.find()
        for cell in tagged(grade.read(path), "exercise")
    ]


def test_a_duplicate_beside_the_notebooks_is_no_notebook_of_the_course(tmp_path):
    for name in ("5_4_e_commerce", "5_4_e_commerce-Copy1", "5_4_e_commerce-Copy12"):
        (tmp_path / f"{name}.ipynb").touch()
    assert [path.stem for path in notebooks.find(folder=tmp_path)] == ["5_4_e_commerce"]
    ignored = (notebooks.ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/notebooks/*-Copy*.ipynb" in ignored and "/work/" in ignored


def test_copies_are_made_as_deep_as_the_notebooks_and_never_overwritten(tmp_path):
    assert notebooks.WORK.parent == notebooks.NOTEBOOKS.parent
    source, work = tmp_path / "notebooks", tmp_path / "work"
    source.mkdir()
    for name in "ab":
        (source / f"{name}.ipynb").write_text(name)
    work.mkdir()
    (work / "a.ipynb").write_text("mine")
    said = notebooks.copy_for_work(source, work)
    assert (work / "a.ipynb").read_text() == "mine" and (work / "b.ipynb").read_text() == "b"
    assert said == "work/: 1 notebooks copied, 1 were there and stay as they are."
