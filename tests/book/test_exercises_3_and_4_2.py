"""The exercises of sections 3.1, 3.2 and 4.2: the notebooks' checks accept the solutions only.

The cells are taken from the notebooks by their tags, as in test_exercises_4_1: "setup" (imports),
"exercise" (the blank) and "check".
"""

import functools
import importlib.util
import json
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {
    "3_1": "3_1_self_attention",
    "3_2": "3_2_multi_head_attention",
    "4_2": "4_2_multi_head_mathematics",
}
NAMES = {
    "3_1": ["my_crossing_share", "my_shares", "my_caption_mask", "my_merge", "my_gate_bias"],
    "3_2": ["my_effective_keys", "my_removal", "my_divergence", "my_largest_batch", "my_step"],
    "4_2": [
        "my_parameters",
        "my_contribution",
        "my_from_torch",
        "my_folded_bias",
        "my_shared_value_gradient",
        "my_thinner_head",
    ],
}
EXERCISES = [(section, n) for section, names in NAMES.items() for n in range(1, len(names) + 1)]


@functools.cache
def cells(section, tag):
    """The sources of a notebook's cells with this tag, in order."""
    path = ROOT / "notebooks" / f"{NOTEBOOKS[section]}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    tagged = [c for c in notebook["cells"] if tag in c["metadata"].get("tags", [])]
    return ["".join(cell["source"]) for cell in tagged]


@functools.cache
def solutions(section):
    path = ROOT / "coursework" / "solutions" / f"section_{section}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(section, number, capsys, answer=None):
    """The verdicts of exercises 1 to `number`: blanks first, then solved as `answer` says."""
    names = {}
    # As in a student's notebook, and nothing of it stays behind for other tests.
    with mpl.rc_context(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        try:
            for source in cells(section, "setup") + cells(section, "exercise"):
                exec(source, names)
            if answer is not None:
                names[NAMES[section][number - 1]] = answer
            capsys.readouterr()
            for check in cells(section, "check")[:number]:  # a check may use names of an earlier
                exec(check, names)
        finally:
            jax.config.update("jax_enable_x64", False)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("section", NAMES)
def test_every_exercise_has_a_blank_a_check_and_a_solution(section):
    for tag in ("exercise", "check"):
        assert len(cells(section, tag)) == len(NAMES[section])
    for number, name in enumerate(NAMES[section]):
        assert f"def {name}(" in cells(section, "exercise")[number]
        assert name in cells(section, "check")[number]
        assert hasattr(solutions(section), name)


@pytest.mark.parametrize("section", NAMES)
def test_blanks_are_not_solved(section, capsys):
    count = len(NAMES[section])
    expected = [f"Exercise {n}: not solved yet." for n in range(1, count + 1)]
    assert lines(section, count, capsys) == expected


@pytest.mark.parametrize(("section", "number"), EXERCISES)
def test_a_solution_is_correct(section, number, capsys):
    solution = getattr(solutions(section), NAMES[section][number - 1])
    verdict = lines(section, number, capsys, solution)[-1]
    assert verdict == f"Exercise {number}: correct."


def without_the_new_token(x, keys, values, W_Q, W_K, W_V, W_O):
    solved = solutions("3_2").my_step(x, keys, values, W_Q, W_K, W_V, W_O)
    return np.zeros(W_O.shape[1]) if keys.shape[1] == 0 else solved[0], *solved[1:]


def in_place(W_O, heads, h):
    W_O.reshape(heads, -1)[h] = 0
    return W_O


@pytest.mark.parametrize(
    ("section", "number", "wrong"),
    [
        ("3_1", 1, lambda lengths: 0.5),
        ("3_1", 2, lambda P, kind, kinds: P.T @ np.eye(kinds)[kind]),
        ("3_1", 3, lambda n, real: np.tril(np.ones((len(real), len(real)), bool)) & real[None]),
        ("3_1", 4, lambda a, la, b, lb: (a + b) / 2),
        ("3_1", 5, lambda z, n, share: np.log(share / (1 - share))),
        ("3_2", 1, lambda P: np.exp2(-(P * np.log(P + 1e-300)).sum(axis=-1))),
        ("3_2", 2, in_place),
        ("3_2", 3, lambda p, q: float(np.abs(p - q).sum() / 2)),
        ("3_2", 4, lambda memory, length, layers, g, d, b: memory // (layers * g * d * length * b)),
        ("3_2", 5, without_the_new_token),
        ("4_2", 1, lambda width, heads, groups, bias: 4 * width**2 + 4 * width * bias),
        ("4_2", 2, lambda c, W, heads, h: c @ W / heads),
        ("4_2", 3, lambda W, heads: tuple(W.reshape(3, heads, len(W[0]), -1))),
        ("4_2", 4, lambda b_V, b_O, W_O: b_O + W_O @ b_V),
        ("4_2", 5, lambda P, Y, W, dO: Y.T @ P[0].T @ dO @ W[: len(W) // len(P)].T),
        ("4_2", 6, lambda W_Q, W_K, r: (W_Q[:, :r], W_K[:, :r])),
    ],
)
def test_a_common_mistake_is_named_with_a_hint(section, number, wrong, capsys):
    verdict = lines(section, number, capsys, wrong)[-1]
    assert verdict.startswith(f"Exercise {number}: not yet right: ") and "Hint: " in verdict
