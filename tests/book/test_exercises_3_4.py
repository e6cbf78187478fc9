"""The exercises of section 3.4: the notebook's own checks accept the solutions, and only those.

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

from mmjax import formulas

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "3_4_clip.ipynb"
SOLUTIONS = ROOT / "coursework" / "solutions" / "section_3_4.py"
NAMES = {
    1: "my_losses",
    2: "my_info_nce",
    3: "my_masked_info_nce",
    4: "my_recall",
    5: "my_scale_gradient",
    6: "my_error_kinds",
    7: "my_two_passes",
}


@functools.cache
def cells(tag):
    """The sources of the notebook's cells with this tag, in order."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    tagged = [c for c in notebook["cells"] if tag in c["metadata"].get("tags", [])]
    return ["".join(cell["source"]) for cell in tagged]


@functools.cache
def solutions():
    spec = importlib.util.spec_from_file_location("section_3_4", SOLUTIONS)
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
            names["draw"] = np.random.default_rng(34)  # made in the check of exercise 2
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


def with_epsilon(z):
    with np.errstate(all="ignore"):
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return -np.log(np.diagonal(p) + 1e-8).mean()


def shifted_with_epsilon(z):
    return -np.log(np.diagonal(formulas.softmax(z)) + 1e-12).mean()


def logit_zero_in_place_of_a_mask(z, labels):
    same = (labels[:, None] == labels[None, :]) & ~np.eye(len(z), dtype=bool)
    z = np.where(same, 0.0, z)
    return (formulas.log_sum_exp(z) - np.diagonal(z)).mean()


def ties_as_wins(scores, targets, k):
    own = scores[np.arange(len(scores)), targets]
    return (1 + (scores > own[:, None]).sum(axis=1) <= k).mean()


def one_direction(U, V, s):
    z = math.exp(s) * U @ V.T
    return ((formulas.softmax(z) - np.eye(len(z))) * z).sum() / len(z)


def without_the_cap(U, V, s):
    return formulas.clip_gradients(U, V, s)[2]


def scripts_first(answers, targets, names):
    kinds = []
    for answer, target in zip(answers, targets, strict=True):
        same = names[answer].split()[0] == names[target].split()[0]
        kinds.append("right" if answer == target else "same script" if same else "other")
    listed = ("right", "one word away", "same script", "other")
    return {name: kinds.count(name) / len(kinds) for name in listed}


def plain_accumulation(parts, encode, pull_back, s):
    total = 0.0
    for rows in parts:
        dU, dV, _ = formulas.clip_gradients(*encode(rows), s)
        total = total + pull_back(rows, dU, dV) / len(parts)
    return total


def all_at_once(parts, encode, pull_back, s):
    rows = np.concatenate(parts)
    dU, dV, _ = formulas.clip_gradients(*encode(rows), s)
    return pull_back(rows, dU, dV)


ONE_WAY = dict.fromkeys(("image_to_text", "text_to_image", "clip"), math.log(4 / 3))


@pytest.mark.parametrize(
    ("number", "wrong", "message"),
    [
        (1, ONE_WAY | {"knows_nothing": math.log(2)}, "part 'text_to_image'"),
        (2, with_epsilon, "case 2"),
        (2, shifted_with_epsilon, "case 2"),
        (3, logit_zero_in_place_of_a_mask, "case 2"),
        (4, ties_as_wins, "case 2"),
        (5, one_direction, "case 1"),
        (5, without_the_cap, "case 4"),
        (6, scripts_first, "part 'one word away'"),
        (7, plain_accumulation, "case 1"),
        (7, all_at_once, "a part has 2"),
    ],
)
def test_a_common_mistake_is_named_with_a_hint(notebook, number, wrong, message, capsys):
    line = verdict(notebook, number, capsys, wrong)
    assert line.startswith("not yet right: ") and message in line and "Hint: " in line
