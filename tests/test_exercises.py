"""The feedback on exercises: the verdict, the message that names the difference, no exception."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.exercises import check, check_function


@pytest.mark.parametrize("blank", [None, ..., (None, [...]), {"dQ": ..., "dK": None}])
def test_a_blank_is_not_solved_yet(blank, capsys):
    assert check("4.1.a", blank, np.ones(2)) is False
    assert capsys.readouterr().out == "4.1.a: not solved yet.\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (3, 3),
        (0.1 + 0.2, 0.3),
        ("row", "row"),
        (True, True),
        (jnp.ones((2, 3)), np.ones((2, 3))),
        ((1.0, [2.0]), (np.float64(1.0), [np.float64(2.0)])),
        ({"a": np.arange(3)}, {"a": np.arange(3)}),
        (1_000_000.5, 1_000_000.0),
    ],
)
def test_a_right_answer_is_correct(answer, expected, capsys):
    assert check("e", answer, expected, hint="unseen") is True
    assert capsys.readouterr().out == "e: correct.\n"


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        (np.ones((3, 2)), np.ones((2, 3)), "wrong shape: expected [2, 3], got [3, 2]"),
        ([[1.0, 2.0], [3.0, 5.0]], np.array([[1.0, 2.0], [3.0, 4.0]]), "index [1, 1]"),
        (np.array([1.0, np.nan]), np.ones(2), "the value at index [1] is nan"),
        (4, 3, "the largest error is 1 at the only entry, where you have 4"),
        (3.4, 3, "where you have 3.4"),
        (1, True, "wrong type"),
        ("column", "row", "'column'"),
        (np.ones(3) > 0, np.ones(3), "wrong type"),
        ((1.0,), (1.0, 2.0), "expected 2 parts"),
        ({"b": 1.0}, {"a": 1.0}, "['a']"),
        ({"a": 2.0}, {"a": 1.0}, "part 'a'"),
        ("text", np.ones(2), "expected numbers"),
        ([[1.0], [1.0, 2.0]], np.ones(2), "could not be compared"),
        (object(), np.ones(2), "expected numbers"),
    ],
)
def test_a_wrong_answer_is_named_with_the_hint(answer, expected, message, capsys):
    assert check("e", answer, expected, hint="Look at the rows.") is False
    out = capsys.readouterr().out
    assert message in out
    assert out.startswith("e: not yet right: ")
    assert out.endswith("Hint: Look at the rows.\n")


@pytest.mark.parametrize(
    ("answer", "expected", "message"),
    [
        ((1.0, None), (1.0, 2.0), "still open: 1; the other parts are right."),
        ((None, [2.0, ...]), (1.0, [2.0, 3.0]), "part 1: still open: 1; the other parts are right"),
        ({"a": 1, "b": None}, {"a": 1, "b": 2}, "still open: 'b'; the other parts are right."),
        ({"a": 5, "b": ..., "c": None}, {"a": 1, "b": 2, "c": 3}, "where you have 5; still open: "),
    ],
)
def test_a_container_partly_filled_names_what_is_open_and_checks_the_rest(
    answer, expected, message, capsys
):
    assert check("e", answer, expected) is False
    out = capsys.readouterr().out
    assert out.startswith("e: not yet right: ") and message in out


def test_the_tolerance_is_relative_to_the_largest_number_expected():
    assert check("e", np.array([1e6, 1.0]), np.array([1e6, 0.0]))
    assert not check("e", np.array([1.0, 1e-3]), np.array([1.0, 0.0]))
    assert check("e", np.array([1.0, 1e-3]), np.array([1.0, 0.0]), tolerance=1e-2)


def test_a_function_is_checked_on_every_case(capsys):
    cases = [(np.arange(3.0),), (np.arange(4.0),)]
    assert check_function("e", lambda x: 2 * x, cases, lambda x: x + x)
    assert not check_function("e", lambda x: x * x, cases[1:], lambda x: x + x)
    assert "case 1, called with (float64[4])" in capsys.readouterr().out


def test_a_function_that_is_blank_or_raises_is_reported(capsys):
    def broken(x):
        raise KeyError("no such axis")

    cases = [(np.ones(2),)]
    assert not check_function("e", lambda x: None, cases, np.sum)
    assert not check_function("e", broken, cases, np.sum, hint="Sum over the axis.")
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "e: not solved yet."
    assert "raised KeyError" in out[1] and out[1].endswith("Hint: Sum over the axis.")


def test_a_function_that_writes_into_its_argument_does_not_change_the_next_case():
    def in_place(x):
        x += 1
        return x

    shared = np.zeros(2)
    assert check_function("e", in_place, [(shared,), (shared,)], lambda x: x + 1)
    assert shared.tolist() == [0.0, 0.0]


def over_the_sum(scores):
    with np.errstate(invalid="warn", over="warn"):
        return np.nan_to_num(np.exp(scores) / np.exp(scores).sum())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # as in a student's notebook
def test_a_warning_can_be_a_wrong_answer(capsys):
    cases, expected = [(np.zeros(2),), (np.array([1000.0, -np.inf]),)], over_the_sum
    assert check_function("e", over_the_sum, cases, expected)
    assert not check_function("e", over_the_sum, cases, expected, warnings_allowed=False)
    assert "case 2 gives the warning: overflow encountered in exp." in capsys.readouterr().out
    underflow = [(np.array([-2000.0]),)]
    assert check_function("e", np.exp, underflow, np.exp, warnings_allowed=False)
    with np.errstate(over="ignore"):  # switched off elsewhere
        assert not check_function("e", np.exp, cases, lambda x: x, warnings_allowed=False)
    assert check_function("e", np.exp, cases[:1], np.exp, warnings_allowed=False)
