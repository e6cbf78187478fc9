"""Feedback on an exercise, at once and without a server.

A notebook leaves a blank that returns None. `check` says "not solved yet", "correct", or what is
wrong and a hint. It never raises, so a notebook with open exercises still runs to its end.
"""

import warnings

import numpy as np

from mmjax.checks import describe, require

TOLERANCE = 1e-5
"""Largest error that counts as correct, relative to the largest number expected (or to 1)."""


def check(name: str, answer, expected, *, hint: str = "", tolerance: float = TOLERANCE) -> bool:
    """Compares a student's answer with the expected one, prints the verdict, returns it.

    answer, expected: numbers, strings, booleans, arrays, or a tuple, list or dictionary of them;
    an answer of None or Ellipsis is an exercise not yet solved, and so is a container of nothing
    else. In a container partly filled, the filled parts are checked and the open ones named.
    hint: one sentence that is shown with a wrong answer. Integers, booleans and strings have to
    match exactly, the others to `tolerance`, relative to the largest number expected (or to 1, if
    that is smaller). Prints one line that begins with the name of the exercise. Raises nothing for
    any answer.
    """
    if _is_blank(answer):
        print(f"{name}: not solved yet.")
        return False
    return _verdict(name, _problem(answer, expected, tolerance), hint)


def check_function(
    name: str,
    function,
    cases,
    expected,
    *,
    hint: str = "",
    tolerance: float = TOLERANCE,
    warnings_allowed: bool = True,
) -> bool:
    """Calls a student's function on every case and checks each answer, as `check` does.

    cases: a list of tuples of arguments. expected: the reference function. Stops at the first
    wrong answer and names the case. An exception in the student's function is a wrong answer and
    is shown with its type and message. With warnings_allowed=False so is a RuntimeWarning, which
    is what NumPy gives for an overflow, a division by zero or an invalid value.
    """
    require(len(cases) > 0, "check_function", "cases", expected="at least one case", got=cases)
    for number, arguments in enumerate(cases, start=1):
        wanted = expected(*_copies(arguments))
        try:
            answer = _call(function, _copies(arguments), warnings_allowed)
        except RuntimeWarning as warning:
            return _verdict(name, f"case {number} gives the warning: {warning}", hint)
        except Exception as error:
            problem = f"case {number} raised {type(error).__name__}: {error}"
            return _verdict(name, problem, hint)
        if _is_blank(answer):
            print(f"{name}: not solved yet.")
            return False
        problem = _problem(answer, wanted, tolerance)
        if problem is not None:
            shapes = ", ".join(describe(a) for a in arguments)
            return _verdict(name, f"case {number}, called with ({shapes}): {problem}", hint)
    return _verdict(name, None, hint)


def _verdict(name: str, problem: str | None, hint: str) -> bool:
    """Prints the line about a tried exercise; True if there is no problem."""
    if problem is None:
        print(f"{name}: correct.")
    else:
        print(f"{name}: not yet right: {problem}." + (f" Hint: {hint}" if hint else ""))
    return problem is None


def _call(function, arguments, warnings_allowed: bool):
    """function(*arguments); without warnings_allowed a RuntimeWarning is raised as an exception."""
    if warnings_allowed:
        return function(*arguments)
    # NumPy's own settings may have been switched to "ignore" before; underflow to 0 is no mistake.
    with warnings.catch_warnings(), np.errstate(divide="warn", over="warn", invalid="warn"):
        warnings.simplefilter("error", RuntimeWarning)
        return function(*arguments)


def _problem(answer, expected, tolerance: float) -> str | None:
    """What is wrong with the answer, or None; an answer that cannot be read is a wrong one."""
    try:
        return _difference(answer, expected, tolerance)
    except Exception as error:
        return f"the answer could not be compared ({type(error).__name__}: {error})"


def _copies(arguments):
    """A student's function that writes into its arguments must not change the next call."""
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]


def _is_blank(answer) -> bool:
    """None or Ellipsis, or a container in which everything is still blank."""
    if answer is None or answer is Ellipsis:
        return True
    if not isinstance(answer, dict | tuple | list) or not answer:
        return False
    return all(_is_blank(p) for p in (answer.values() if isinstance(answer, dict) else answer))


def _difference(answer, expected, tolerance: float) -> str | None:
    """What is wrong with the answer, or None if nothing is."""
    if isinstance(expected, dict):
        if not isinstance(answer, dict) or set(answer) != set(expected):
            return f"expected a dictionary with the keys {sorted(expected)}"
        return _first_difference(answer, expected, expected.keys(), tolerance)
    if isinstance(expected, tuple | list):
        if not isinstance(answer, tuple | list) or len(answer) != len(expected):
            return f"expected {len(expected)} parts"
        return _first_difference(answer, expected, range(len(expected)), tolerance)
    if isinstance(expected, str):
        return None if answer == expected else f"expected a different text than {answer!r}"
    return _array_difference(np.asarray(answer), np.asarray(expected), tolerance)


def _first_difference(answer, expected, parts, tolerance: float) -> str | None:
    """The first wrong part; else the parts that are still open; else None."""
    still_open = [repr(part) for part in parts if _is_blank(answer[part])]
    left = f"still open: {', '.join(still_open)}"
    for part in parts:
        problem = _difference(answer[part], expected[part], tolerance)
        if repr(part) not in still_open and problem is not None:
            return f"part {part!r}: {problem}" + (f"; {left}" if still_open else "")
    return f"{left}; the other parts are right" if still_open else None


def _array_difference(answer, expected, tolerance: float) -> str | None:
    if answer.dtype.name == "bfloat16":
        answer = answer.astype(np.float32)
    if answer.dtype.kind not in "biufc":
        return f"expected numbers, got {answer.dtype}"
    if answer.shape != expected.shape:
        return f"wrong shape: expected {list(expected.shape)}, got {list(answer.shape)}"
    if expected.size == 0:
        return None
    if (answer.dtype.kind == "b") != (expected.dtype.kind == "b"):
        return f"wrong type: expected {expected.dtype}, got {answer.dtype}"
    if not np.isfinite(answer).all():
        index = np.unravel_index(int(np.argmin(np.isfinite(answer))), answer.shape)
        return f"the value at {_place(index)} is {answer[index]}"
    exact = expected.dtype.kind in "bi"
    kind = np.int64 if exact and answer.dtype.kind in "biu" else np.float64
    error = np.abs(answer.astype(kind) - expected.astype(kind))
    limit = 0 if exact else tolerance * max(1.0, float(np.abs(expected).max()))
    if float(error.max()) <= limit:
        return None
    index = np.unravel_index(int(np.argmax(error)), error.shape)
    wrong = int((error > limit).sum())
    return (
        f"{wrong} of {error.size} values differ; the largest error is {float(error[index]):.3g} "
        f"at {_place(index)}, where you have {_number(answer[index])}"
    )


def _place(index: tuple) -> str:
    return "the only entry" if not index else f"index {[int(i) for i in index]}"


def _number(value) -> str:
    return str(value) if value.dtype.kind in "bi" else format(float(value), ".4g")
