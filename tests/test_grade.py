"""The grader: what a submission can do and what it gets for it. The copies students work in."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import grade as command
from tools import notebooks
from tools.grading import cells, exercises, runner, submission, table, verdicts

NOTEBOOK = "9_1_toy"
SETUP = "import numpy as np\nfrom mmjax.exercises import check, check_function\nSCALE = 2"
BODY = "import math\ntables = 1 / 3\n\n@undefined_here\ndef lost(x):\n    pass\n\n"
BODY += "def double(x):\n    return SCALE * x\n\nSCALE = 'slow'"
TITLE = {"cell_type": "markdown", "id": "cell-1", "metadata": {}, "source": "# 9.1 A toy"}
NAMES = [f"my_{letter * k}" for k in (1, 2) for letter in "abcdefghijklmnopqrstuvwxyz"]
RIGHT = "def {name}(x):\n    return 2 * x"


def code(source, identity, *tags):
    """A code cell; its source is a list of lines, as Jupyter writes it."""
    return {
        "cell_type": "code",
        "id": identity,
        "metadata": {"tags": list(tags)} if tags else {},
        "execution_count": None,
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


def check_of(number, name):
    return (
        f"def reference_{name}(x):\n    return 2 * x\n\ncheck_function('Exercise {number}', "
        f"{name}, [(1,), (3,)], reference_{name}, hint='Twice ε.');"
    )


@pytest.fixture
def course(tmp_path, monkeypatch):
    """course(count) → a course of one small notebook: `count` exercises that ask for twice x."""
    folder = tmp_path / "course"
    folder.mkdir()
    monkeypatch.setattr(submission, "NOTEBOOKS", folder)

    def make(count, setup=SETUP):
        made = [TITLE, code(setup, "cell-2", "setup"), code(BODY, "cell-3")]
        for number, name in enumerate(NAMES[:count], start=1):
            made.append(
                code(f"def {name}(x):\n    return None", f"cell-{2 * number + 2}", "exercise")
            )
            made.append(code(check_of(number, name), f"cell-{2 * number + 3}", "check"))
        (folder / f"{NOTEBOOK}.ipynb").write_text(json.dumps({"cells": made}), encoding="utf-8")

    return make


def handed_in(path, answers=(), change=None, encoding="utf-8", notebook=None):
    """A file as a student hands it in: a source an exercise; change(cells) does the rest."""
    made = cells.read(notebook or submission.NOTEBOOKS / f"{NOTEBOOK}.ipynb")
    blanks = tagged(made, "exercise")
    for blank, name, answer in zip(blanks, NAMES, answers, strict=False):
        if answer is not None:
            blank["source"] = answer.replace("{name}", name)
    if change:
        change(made)
    path.write_text(json.dumps({"cells": made}), encoding=encoding)
    return path


def tagged(made, tag):
    return [cell for cell in made if tag in cells.tags_of(cell)]


def lines_of(path, limit=60.0):
    grades = runner.grade(path, limit)
    assert not grades.refused
    return [grades.lines[number] for number in sorted(grades.lines)]


def test_each_exercise_has_its_own_verdict(course, tmp_path, monkeypatch):
    """One process, an answer each; the last ones spoil what the earlier ones would use."""
    monkeypatch.setenv("SOME_TOKEN", "secret")
    monkeypatch.setenv("MMJAX_DATA", "data")
    touched, right, wrong = tmp_path / "touched", "correct.", "not yet right: "
    unknown = "look at it: it uses {}, which another cell makes."
    cases = [
        ("def twice(x):\n    return 2 * x\n\n{name} = twice", right),
        ("def {name}(x):\n    return 3 * x", wrong + "case 1, called with (1): 1 of 1 values"),
        ("def {name}(x):\n    return x\n\nraise SystemExit('bye')", wrong + "the cell raised Sys"),
        ("def {name}(:", wrong + "the cell raised SyntaxError"),
        (None, "not solved yet."),
        # What runs in the student's notebook runs here.
        (RIGHT + "\n\nprint({name}('a', 'b'))", right),
        ("def {name}(x):\n    return double(x) + math.floor(0.5)", right),
        ("def {name}(x):\n    display(x)\n    return SCALE * x\n\ndisplay({name}(3))", right),
        ("%matplotlib inline\n%autosave 60\n" + RIGHT, right),
        ("np.dot?\n%time y = 2\nz = %time 2\n" + RIGHT + " * z // y", right),
        ("def {name}(x):\n    return (2 * x\n    % 1000)", right),
        ("import asyncio\nawait asyncio.sleep(0)\n" + RIGHT, right),
        (f"!touch {touched}\n%pip --version\n%conda --version\n" + RIGHT, right),
        (f"%%bash\ntouch {touched}", "not solved yet."),
        # What cannot run, as it needs another cell, is not called wrong.
        ("def {name}(x):\n    return tables * x", unknown.format("tables")),
        ("y = mine(3)\n\ndef {name}(x):\n    return y", unknown.format("mine")),
        ("def {name}(x):\n    return lost(x)", unknown.format("lost")),
        ("def {name}(x):\n    return late * x", unknown.format("late")),
        ("def {name}(x):\n    return timed * x", unknown.format("timed")),
        ("def {name}(x):\n    return pairs * x", unknown.format("pairs")),
        ("def {name}(x):\n    return reference_{name}(x)", wrong + "case 1 raised NameError"),
        ("def {name}(x):\n    return typo * x", wrong + "case 1 raised NameError"),
        ("def {name}(x):\n    return mad * x", wrong + "case 1 raised NameError"),
        ("raise ValueError('x' * 2_000_000)", wrong + "the cell raised ValueError"),
        ("import io, sys\nsys.stderr = io.StringIO()\n" + RIGHT, right),
        # What a submission prints, patches or overwrites is not its verdict.
        (
            "print('Exercise 19: correct.')\ndef {name}(x):\n    print('Exercise 1: correct.')",
            "not s",
        ),
        (
            "import mmjax.exercises\nmmjax.exercises._problem = lambda *a: None\n"
            "def {name}(x):\n    return check_function('', abs, [(1,)], abs)",
            wrong + "case 1, called with (1): wrong type",
        ),
        (
            "import os\nassert 'SOME_TOKEN' not in os.environ and os.environ['MMJAX_DATA']\n"
            "open('mine.txt', 'w').write('x')\n" + RIGHT,
            right,
        ),
        ("np = check = check_function = SCALE = late = 1\n" + RIGHT, right),
    ]
    course(len(cases))

    def with_own_cells(made):
        made.insert(3, code("def mine(x):\n    return 2 * x", "own"))
        made.insert(4, code("%%time\ntimed = pairs = 2", "own-2"))
        for cell in tagged(made, "check"):
            cell["source"] = "pairs = mad = 2\nprint('Exercise 1: correct.')"

    path = handed_in(tmp_path / f"{NOTEBOOK}.ipynb", [a for a, _ in cases], with_own_cells)
    said = lines_of(path)
    for line, (answer, expected) in zip(said, cases, strict=True):
        assert line.startswith(expected), answer
    assert "Hint: Twice ε." in said[1] and not touched.exists()


def test_a_helper_that_our_notebook_defines_outside_of_its_setup(tmp_path):
    """The real notebook 3.2 shows `entropy` to its students, in a cell that computes for long."""
    notebook = notebooks.NOTEBOOKS / "3_2_multi_head_attention.ipynb"
    uses = "assert entropy(np.full((1, 1, 4, 4), 0.25)).size\n"

    def change(made):
        tagged(made, "exercise")[0]["source"] = uses + "raise SystemExit('used it')"

    path = handed_in(tmp_path / "a.ipynb", change=change, notebook=notebook)
    assert lines_of(path)[0] == "not yet right: the cell raised SystemExit: used it"


def test_what_does_not_end_is_stopped_and_the_rest_is_graded(course, tmp_path):
    course(5)
    endless = "def {name}(x):\n    while True:\n        pass"
    answers = [endless, RIGHT, "import os\nmine = 2\nos._exit(3)", RIGHT + " * mine"]
    assert lines_of(handed_in(tmp_path / "a.ipynb", answers), limit=3.0) == [
        "stopped: it took longer than 3 s.",
        "correct.",
        "stopped: it ended the process, exit code 3.",
        "look at it: it uses mine, which another cell makes.",
        "not solved yet.",
    ]


@pytest.mark.parametrize("at", [1, 2])
def test_what_stops_without_an_answer_too_ends_the_grading(course, tmp_path, monkeypatch, at):
    """As when the check alone takes longer than the limit; else it were tried for ever."""
    calls = []

    def run(made, limit):
        calls.append(list(made.sources))
        assert len(calls) < 9
        made.lines |= dict.fromkeys(range(1, at), "correct.")
        return at, "it took longer than 1 s."

    monkeypatch.setattr(runner, "run", run)
    course(3)
    rest = f"stopped: not run, as exercise {at} stops without an answer, too."
    expected = ["correct."] * (at - 1) + ["stopped: it took longer than 1 s."] + [rest] * (3 - at)
    assert lines_of(handed_in(tmp_path / "a.ipynb")) == expected and len(calls) == 2


def test_the_time_limit_cannot_be_switched_off_for_good(course, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SETUP_LIMIT", 8)
    course(1)
    answer = (
        "import faulthandler\nfaulthandler.cancel_dump_traceback_later()\nwhile True:\n    pass"
    )
    path = handed_in(tmp_path / "a.ipynb", [answer])
    assert lines_of(path, limit=0.5) == ["stopped: it took longer than 0.5 s."]


STARTS_A_PROGRAM = """import subprocess
pipe = open({pipe!r}, "w")
subprocess.Popen(["sleep", "60"], stdout=pipe)
pipe.write("x")
pipe.close()
"""


@pytest.fixture
def pipe(tmp_path):
    """A named pipe and whether a program still holds its other end."""
    if os.name != "posix":
        pytest.skip("on Windows such a program is not killed")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def held():
        try:
            return os.read(end, 1) != b""
        except BlockingIOError:
            return True

    yield str(path), held
    os.close(end)


def becomes(condition, seconds):
    patience = time.monotonic() + seconds
    while not condition() and time.monotonic() < patience:
        time.sleep(0.02)
    return condition()


def test_a_program_that_a_submission_starts_is_killed_with_it(course, tmp_path, pipe):
    path, held = pipe
    course(1)
    assert lines_of(handed_in(tmp_path / "a.ipynb", [STARTS_A_PROGRAM.format(pipe=path) + RIGHT]))
    assert held(), "it has written one letter"
    assert becomes(lambda: not held(), 10)


@pytest.mark.parametrize(
    ("name", "limit", "source"),
    [
        ("SIGTERM", 60, STARTS_A_PROGRAM + "while True: pass"),  # killed long before its limit
        (
            "SIGKILL",
            5,
            "p = open({pipe!r}, 'w', buffering=1)\np.write('x\\n')\nwhile True: pass",
        ),  # ended by its limit
    ],
    ids=["SIGTERM", "SIGKILL"],
)
def test_a_grader_that_is_ended_leaves_nothing_behind(course, tmp_path, pipe, name, limit, source):
    path, held = pipe
    course(1)
    made = handed_in(tmp_path / "a.ipynb", [source.replace("{pipe!r}", repr(path))])
    program = (
        "import runpy, sys\nfrom pathlib import Path\nfrom tools.grading import submission\n"
        f"submission.NOTEBOOKS = Path({str(submission.NOTEBOOKS)!r})\n"
        f"sys.argv = ['grade', '--limit', '{limit}', {str(made)!r}]\n"
        "runpy.run_module('tools.grade', run_name='__main__')"
    )
    ours = os.environ | {"TMPDIR": str(tmp_path)}  # after SIGKILL its folder stays
    grader = subprocess.Popen([sys.executable, "-c", program], cwd=exercises.ROOT, env=ours)
    try:
        # An end that nobody has opened yet reads as one that nobody holds any more.
        assert becomes(held, 60), "the submission has begun"
    finally:
        grader.send_signal(getattr(signal, name))
    assert grader.wait(timeout=30) == {"SIGTERM": 128 + signal.SIGTERM, "SIGKILL": -9}[name]
    assert becomes(lambda: not held(), 10)


def test_a_setup_that_fails_is_named(course, tmp_path):
    course(1, setup="raise ValueError('no such data')")
    grades = runner.grade(handed_in(tmp_path / "a.ipynb"), 30.0)
    assert grades.refused == "the setup of 9_1_toy failed: ValueError: no such data"


def submitted(count=2):
    return submission.Submission(Path("x.ipynb"), [None] * count, {}, [])


BEGUN, DONE = b'[1, 5.0]\n[1, "correct."]\n', b'[2, 7.0]\n[2, "not solved yet."]\n'


@pytest.mark.parametrize(
    ("reported", "expected", "lines"),
    [
        (b"", (0, float("inf")), {}),
        (b"[1, 5.0]\n", (1, 5.0), {}),
        (b'[1, 5.0]\n[1, "corr', (1, 5.0), {}),  # killed while it wrote
        (BEGUN, (2, float("inf")), {1: "correct."}),
        (BEGUN + b"[2, 7.0]\n", (2, 7.0), {1: "correct."}),
        (BEGUN + DONE, (None, float("inf")), {1: "correct.", 2: "not solved yet."}),
    ],
)
def test_what_a_process_reports(reported, expected, lines):
    made = submitted()
    assert runner.take(reported, made) == expected and made.lines == lines


@pytest.mark.parametrize(
    "reported",
    [
        b'[2, "correct."]\n',
        b'[1, 5.0]\n[2, "correct."]\n',
        b"[1, 5.0]\n[1, 2]\n",
        b"7\n",
        b"no JSON\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        BEGUN + DONE + b"[3, 9.0]\n",
    ],
)
def test_a_forged_report_is_noticed(reported):
    """Not every one; but none stops the grading of the other files."""
    with pytest.raises(verdicts.Refused, match="wrote into the reports"):
        runner.take(reported, submitted())


def no_checks(made):
    made[:] = [made[0], *tagged(made, "exercise")]


def no_tags(made):
    for cell in made:
        cell["metadata"] = {}


def no_ids(made):
    for cell in made:
        del cell["id"]


def ids_of_other_cells(made):
    """As from an older version of the notebook, with a cell less before the exercises."""
    for cell, other in zip(made[:-1], made[1:], strict=True):
        cell["id"] = other["id"]


def odd_ids(made):
    for cell in made:
        cell["id"] = ["a list"]


def ids_where_colab_has_them(made):
    for cell in made:
        cell["metadata"] = {"id": cell.pop("id")}


def a_title_below(made):
    made.insert(0, TITLE | {"source": "Anna Schmidt, group 3"})


def a_title_above_of_another_notebook(made):
    """As in "# 1 May 2026": the course has a notebook 1, whose exercises are not here."""
    other = [TITLE, code("def my_z(x):\n    return None", "cell-2", "exercise")]
    path = submission.NOTEBOOKS / "1_other.ipynb"
    path.write_text(json.dumps({"cells": other}), encoding="utf-8")
    made.insert(0, TITLE | {"source": "# 1 May 2026, Anna"})


def a_title_in_between(made):
    made[0]["source"] = "Anna Schmidt\n\n# 9.1 A toy"


def an_untouched_copy(made):
    made.append(
        tagged(made, "exercise")[1] | {"id": "copy", "source": "def my_b(x):\n    return None"}
    )


def the_same_twice(made):
    made.append(tagged(made, "exercise")[1] | {"id": "copy"})


def the_first_repeated_in_the_last(made):
    tagged(made, "exercise")[2]["source"] = "def my_a(x):\n    return 1\n\nmy_c = my_a"
    no_ids(made)


@pytest.mark.parametrize(
    "change",
    [
        no_checks,
        no_tags,
        no_ids,
        ids_of_other_cells,
        odd_ids,
        ids_where_colab_has_them,
        a_title_below,
        a_title_above_of_another_notebook,
        a_title_in_between,
        an_untouched_copy,
        the_same_twice,
        the_first_repeated_in_the_last,
    ],
)
def test_the_cells_are_found(course, tmp_path, change):
    course(3)
    made = submission.submission_in(handed_in(tmp_path / "a.ipynb", [RIGHT] * 2, change))
    assert made.sources[:2] == [RIGHT.replace("{name}", name) for name in NAMES[:2]]
    assert not made.lines


def test_a_cell_that_was_split_is_put_together(course, tmp_path):
    course(2)

    def change(made):
        second = tagged(made, "exercise")[1]
        made.insert(made.index(second) + 1, second | {"id": "new", "source": "my_b = helper"})
        second["source"] = "def helper(x):\n    return 2 * x"

    made = submission.submission_in(handed_in(tmp_path / "a.ipynb", [RIGHT], change))
    assert made.sources[1] == "def helper(x):\n    return 2 * x\n\nmy_b = helper" and not made.lines


def test_an_id_alone_is_no_answer(course, tmp_path):
    course(2)

    def change(made):
        made[3] |= {"source": "x = my_a == 1", "metadata": {}}

    made = submission.submission_in(handed_in(tmp_path / "a.ipynb", [None, RIGHT], change))
    assert made.sources[0] is None and made.lines == {1: "missing: there is no cell for my_a."}


def without_the_second(made):
    made.remove(tagged(made, "exercise")[1])


def another_second(made):
    made.append(tagged(made, "exercise")[1] | {"id": "copy", "source": "my_b = abs"})


def the_second_within_the_first(made):
    without_the_second(made)
    tagged(made, "exercise")[0]["source"] = "def my_a(x):\n    return 2 * x\n\nmy_b = my_a"


def the_second_elsewhere(made):
    tagged(made, "exercise")[1]["source"] = "def my_b(x):\n    return None"
    made.insert(2, code("my_b = abs", "own"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (without_the_second, "missing: there is no cell for my_b."),
        (another_second, "there twice: 2 different cells define my_b."),
        (the_second_elsewhere, "look at it: my_b is defined in a cell of another kind."),
        (the_second_within_the_first, "look at it: my_b is defined in a cell of another kind."),
    ],
)
def test_an_odd_cell_costs_no_other_exercise(course, tmp_path, change, line):
    course(3)
    path = handed_in(tmp_path / "a.ipynb", [RIGHT] * 3, change)
    made = submission.submission_in(path)
    assert made.lines == {2: line} and made.sources[0] and made.sources[2]
    assert verdicts.word(line) == line.partition(":")[0]


def without_a_title(made):
    made[0]["source"] = "# My homework"


def without_exercises(made):
    del made[1:]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without_a_title, "cannot tell which notebook this is"),
        (without_exercises, "none of the exercise cells of 9_1_toy"),
    ],
)
def test_what_cannot_be_graded_is_refused(course, tmp_path, change, problem):
    course(2)
    with pytest.raises(verdicts.Refused, match=problem):
        submission.submission_in(handed_in(tmp_path / "homework.ipynb", change=change))


def test_the_file_name_or_the_title_says_which_notebook_it_is(course, tmp_path):
    course(2)
    named = handed_in(tmp_path / f"anna_{NOTEBOOK}.ipynb", change=without_a_title)
    marked = handed_in(tmp_path / "homework.ipynb", encoding="utf-8-sig")
    for path in (named, marked):
        assert submission.submission_in(path).notebook.stem == NOTEBOOK


@pytest.mark.parametrize(
    "text", ["no JSON", "[]", "{}", '{"cells": [1]}', '{"cells": 1}', "[" * 100_000, None]
)
def test_an_unreadable_file_is_named(tmp_path, text):
    path = tmp_path / "b.ipynb"
    if text is not None:
        path.write_text(text)
    grades = runner.grade(path, 30.0)
    assert grades.refused.startswith("cannot be read as a notebook")
    assert table.row(grades).startswith(f"{path}  NOT GRADED: cannot be read")


def test_the_command_prints_a_row_a_file_and_writes_a_table(course, tmp_path, capsys, monkeypatch):
    """A file that cannot be read, or that the grader cannot bear, ends nothing."""
    course(2)
    folder, marks = tmp_path / "class", tmp_path / "marks.csv"
    (folder / "__MACOSX").mkdir(parents=True)
    (folder / "__MACOSX" / "._anna.ipynb").write_text("")
    (folder / "broken.IPYNB").write_text("")
    (folder / "ben.zip").write_text("")
    for name in ("=anna", "odd"):
        handed_in(folder / f"{name}.ipynb", [RIGHT])
    monkeypatch.chdir(folder)
    known = runner.submission_in
    monkeypatch.setattr(runner, "submission_in", lambda p: 1 / 0 if "odd" in p.name else known(p))
    paths = ["=anna.ipynb", str(folder), "--say"]
    monkeypatch.setattr(
        runner, "run", lambda made, limit: made.lines.update({1: "correct.", 2: "no"})
    )
    assert command.main([*paths, "--csv", str(marks)]) == 1
    said, complaints = capsys.readouterr()
    assert complaints == f"left out, no notebook: {folder / 'ben.zip'}\n"
    assert said.count("1 of 2 correct") == 2 and "    Exercise 2: no\n" in said
    assert "NOT GRADED: the grader failed: ZeroDivisionError" in said
    with marks.open(encoding="utf-8-sig") as file:
        first, anna, broken, odd = csv.DictReader(file)
    assert first["file"] == "'=anna.ipynb" and anna["file"] == str(folder / "=anna.ipynb")
    assert anna["notebook"] == NOTEBOOK and anna["correct"] == "1" and anna["exercises"] == "2"
    assert anna["exercise 1"] == "correct" and anna["exercise 2"] == "not yet right"
    assert broken["not graded because"].startswith("cannot be read")
    assert odd["not graded because"].startswith("the grader failed")


def test_rows_are_in_the_table_when_the_command_is_interrupted(course, tmp_path, monkeypatch):
    course(2)
    marks, grades = tmp_path / "marks.csv", iter([runner.Grades(Path("a"), refused="why")])
    monkeypatch.setattr(command, "grade", lambda path, limit: next(grades))
    with pytest.raises(StopIteration):
        command.main(["a.ipynb", "b.ipynb", "--csv", str(marks)])
    assert marks.read_text(encoding="utf-8-sig").splitlines()[1] == "a,,0,0,,,why"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["a.ipynb", "--csv", "no/such/folder/marks.csv"], "cannot write the table"),
        (["a.ipynb", "--csv", "a.ipynb"], "cannot write the table"),  # it would be overwritten
        (["a.ipynb", "--limit", "0"], "--limit"),
        (["a.ipynb", "--limit", "nan"], "--limit"),
        (["."], "there are no notebooks in ."),
    ],
)
def test_a_wrong_call_says_so_before_anything_is_graded(
    tmp_path, monkeypatch, capsys, arguments, problem
):
    monkeypatch.chdir(tmp_path)
    Path(arguments[0]).exists() or Path(arguments[0]).touch()
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert problem in capsys.readouterr().err


def test_what_a_terminal_would_obey_is_left_out():
    assert verdicts.clean("a\x1b[2J\nfake row\r" + "b" * 900).startswith("a [2J fake row bbb")
    assert verdicts.clean("\udcff") == "" and len(verdicts.clean("b" * 900)) == 500


@pytest.mark.parametrize("line", ["correct. Really.", "=1+1", "not yet right: case 1", ""])
def test_a_line_of_another_form_is_no_right_answer(line):
    assert verdicts.word(line) == "not yet right"


def test_the_environment_of_a_submission(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "secret")
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    kept = runner.environment(Path("folder"))
    assert kept["TMPDIR"] == "folder"
    assert "SOME_TOKEN" not in kept and kept["XDG_CACHE_HOME"] == "cache" and "PATH" in kept


def test_the_guide_lists_every_exercise_in_order():
    guide = (exercises.ROOT / "coursework" / "README.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in guide.splitlines() if "| `my_" in line]
    assert listed == [
        exercises.NAME.search(source)[0]
        for path in notebooks.find()
        for source in cells.tagged(cells.read(path), "exercise")
    ]


def test_a_duplicate_beside_the_notebooks_is_no_notebook_of_the_course(tmp_path):
    for name in ("5_4_e_commerce", "5_4_e_commerce-Copy1", "5_4_e_commerce-Copy12"):
        (tmp_path / f"{name}.ipynb").touch()
    assert [path.stem for path in notebooks.find(folder=tmp_path)] == ["5_4_e_commerce"]
    ignored = (notebooks.ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/notebooks/*-Copy*.ipynb" in ignored and "/work/" in ignored


def test_copies_are_made_as_deep_as_the_notebooks_and_never_overwritten(tmp_path, monkeypatch):
    """And a copy that was interrupted is made again."""
    assert notebooks.WORK.parent == notebooks.NOTEBOOKS.parent
    source, work = tmp_path / "notebooks", tmp_path / "work"
    source.mkdir()
    for name in "ab":
        (source / f"{name}.ipynb").write_text(name)
    work.mkdir()
    (work / "a.ipynb").write_text("mine")

    def interrupted(path, target):
        target.write_text("half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(notebooks.shutil, "copyfile", interrupted)
        notebooks.copy_for_work(source, work)
    said = notebooks.copy_for_work(source, work)
    assert (work / "a.ipynb").read_text() == "mine" and (work / "b.ipynb").read_text() == "b"
    assert said == "work/: 1 notebooks copied, 1 were there and stay as they are."
    assert len(list(work.iterdir())) == 2
