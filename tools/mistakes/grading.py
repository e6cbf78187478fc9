"""Mistakes of the grader: right answers called wrong, wrong ones called right, programs left."""

from tools.mistakes.mistake import Mistake

VERDICTS = ("tests/test_grade.py::test_each_exercise_has_its_own_verdict",)

GRADING_MISTAKES = [
    Mistake(
        "a grader that judges with the checker that a submission can patch",
        "tools/grading/exercises.py",
        'load("checker_of_the_grader", ROOT / "mmjax" / "exercises.py")',
        '__import__("mmjax.exercises").exercises',
        VERDICTS,
    ),
    Mistake(
        "a grader that leaves the checks the names that a submission overwrote",
        "tools/grading/exercises.py",
        "self.given = dict(self.namespace)",
        "self.given = self.namespace",
        VERDICTS,
    ),
    Mistake(
        "an answer called wrong for a line below it",
        "tools/grading/student.py",
        'if line == "correct."',
        'if problem is None and line == "correct."',
        VERDICTS,
    ),
    Mistake(
        "a grader that knows no function from the notebook's other cells",
        "tools/grading/student.py",
        "if isinstance(node, DEFINITIONS)",
        "if False",
        VERDICTS,
    ),
    Mistake(
        "a name of another cell called wrong",
        "tools/grading/student.py",
        "unknown[1] in self.elsewhere",
        "False",
        VERDICTS,
    ),
    Mistake(
        "programs of a submission that outlive it",
        "tools/grading/runner.py",
        "os.killpg(process.pid, signal.SIGKILL)",
        "process.kill()",
        ("tests/test_grade.py::test_a_program_that_a_submission_starts_is_killed_with_it",),
    ),
    Mistake(
        "a secret of the environment handed to a submission",
        "tools/grading/runner.py",
        "env=environment(folder)",
        "env=os.environ | environment(folder)",
        VERDICTS,
    ),
    Mistake(
        "a cell taken for an exercise by the number in its id",
        "tools/grading/submission.py",
        "if has_tag and (defined or same_id)",
        "if has_tag and defined or same_id",
        ("tests/test_grade.py::test_an_id_alone_is_no_answer",),
    ),
]
