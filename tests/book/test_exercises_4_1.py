"""The exercises of section 4.1: the notebook's own checks accept the solutions, and only those.

The cells are taken from the notebook by their tags: "setup" (imports), "exercise" (the blank) and
"check". So a check that drifts from its exercise, or a solution from its check, is noticed.
"""

import functools
import importlib.util
import json
import math
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "4_1_attention_mathematics.ipynb"
SOLUTIONS = ROOT / "coursework" / "solutions" / "section_4_1.py"
NAMES = {
    1: "my_softmax",
    2: "my_bill",
    3: "my_scale",
    4: "my_masked_softmax",
    5: "my_jacobian_times",
    6: "my_scale_gradient",
    7: "my_merge",
}


@functools.cache
def cells(tag):
    """The sources of the notebook's cells with this tag, in order."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    tagged = [c for c in notebook["cells"] if tag in c["metadata"].get("tags", [])]
    return ["".join(cell["source"]) for cell in tagged]


@functools.cache
def solutions():
    spec = importlib.util.spec_from_file_location("section_4_1", SOLUTIONS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def notebook():
    """The names that the checks of the notebook find, with every exercise still a blank."""
    names = {}
    # As in a student's notebook, and nothing of it stays behind for other tests.
    with mpl.rc_context(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        try:
            for source in cells("setup") + cells("exercise"):
                exec(source, names)
            names["draw"] = np.random.default_rng(4)  # made in the check of exercise 4
            yield names
        finally:
            jax.config.update("jax_enable_x64", False)


def verdict(notebook, number, capsys, answer=None):
    if answer is not None:
        notebook[NAMES[number]] = answer
    capsys.readouterr()
    exec(cells("check")[number - 1], notebook)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Exercise {number}: ")
    return line.removeprefix(f"Exercise {number}: ")


def test_every_exercise_has_a_blank_a_check_and_a_solution():
    assert len(cells("exercise")) == len(cells("check")) == len(NAMES)
    for number, name in NAMES.items():
        assert name in cells("exercise")[number - 1] and name in cells("check")[number - 1]
        assert hasattr(solutions(), name)


@pytest.mark.parametrize("number", NAMES)
def test_a_blank_is_not_solved_and_the_solution_is_correct(notebook, number, capsys):
    assert verdict(notebook, number, capsys) == "not solved yet."
    solution = getattr(solutions(), NAMES[number])
    assert verdict(notebook, number, capsys, solution) == "correct."


def overflowing_softmax(z):
    with np.errstate(all="ignore"):
        return np.exp(z) / np.exp(z).sum()


def minus_a_billion(scores, mask):
    z = np.where(mask, scores, -1e9)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def whole_jacobian(p, x):
    if len(p) > 10_000:
        raise MemoryError("Unable to allocate 298. GiB")
    return (np.diag(p) - np.outer(p, p)) @ x


def gradient_without_the_mean(Q, K, V, dO, c):
    P = np.stack([overflowing_softmax(row) for row in c * Q @ K.T])
    return (P * (dO @ V.T) * (Q @ K.T)).sum()


def merge_without_rescaling(first, second):
    return max(first[0], second[0]), first[1] + second[1], first[2] + second[2]


def merge_without_empty_states(first, second):
    m = max(first[0], second[0])
    with np.errstate(invalid="ignore"):
        a, b = (np.exp(np.float64(state[0]) - m) for state in (first, second))
    return m, a * first[1] + b * second[1], a * first[2] + b * second[2]


@pytest.mark.parametrize(
    ("number", "wrong", "message"),
    [
        (1, overflowing_softmax, "case 2"),
        (1, lambda z: np.exp(z - z.max()), "case 1"),
        (2, {"weights_bytes": 2 * 8 * 12 * 1024**2, "flops": 0, "longer": 4}, "part 'flops'"),
        (3, lambda width, correlation: 1 / math.sqrt(width), "case 2"),
        (4, minus_a_billion, "case 2"),
        (5, whole_jacobian, "MemoryError"),
        (6, gradient_without_the_mean, "case 1"),
        (7, merge_without_rescaling, "case 1"),
        (7, merge_without_empty_states, "case 6"),
    ],
)
def test_a_common_mistake_is_named_with_a_hint(notebook, number, wrong, message, capsys):
    line = verdict(notebook, number, capsys, wrong)
    assert line.startswith("not yet right: ") and message in line and "Hint: " in line
