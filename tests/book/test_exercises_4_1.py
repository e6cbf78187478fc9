"""The exercises of section 4.1: the notebook's own checks accept the solutions, and only those."""

import math

import numpy as np
import pytest

NAMES = {
    1: "my_softmax",
    2: "my_bill",
    3: "my_scale",
    4: "my_masked_softmax",
    5: "my_jacobian_times",
    6: "my_scale_gradient",
    7: "my_merge",
}


@pytest.fixture
def notebook(exercises):
    notebook = exercises("4_1_attention_mathematics", "section_4_1")
    notebook.namespace["draw"] = np.random.default_rng(4)  # made in the check of exercise 4
    return notebook


def verdict(notebook, number, answer=None):
    return notebook.verdict(number, **({} if answer is None else {NAMES[number]: answer}))


def test_every_exercise_has_a_blank_a_check_and_a_solution(notebook):
    assert len(notebook.tagged("exercise")) == len(notebook.tagged("check")) == len(NAMES)
    for number, name in NAMES.items():
        assert (
            name in notebook.tagged("exercise")[number - 1]
            and name in notebook.tagged("check")[number - 1]
        )
        assert hasattr(notebook.solutions, name)


def overflowing_softmax(z):
    with np.errstate(all="ignore"):
        return np.exp(z) / np.exp(z).sum()


def minus_a_billion(scores, mask):
    z = np.where(mask, scores, -1e9)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def with_a_warning(scores, mask):
    """The right numbers on ordinary scores, but 0 / 0 on the way, patched afterwards."""
    z = np.where(mask, scores, -np.inf)
    top = np.where(mask.any(axis=1, keepdims=True), z.max(axis=1, keepdims=True), 0)
    e = np.exp(z - top)
    return np.nan_to_num(e / e.sum(axis=1, keepdims=True))


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
        (2, {"weights_bytes": 2 * 8 * 12 * 1024**2, "flops": None, "longer": 16}, "open: 'flops'"),
        (4, minus_a_billion, "case 2"),
        (4, with_a_warning, "case 2 gives the warning: invalid value"),
        (5, whole_jacobian, "MemoryError"),
        (6, gradient_without_the_mean, "case 1"),
        (7, merge_without_rescaling, "case 1"),
        (7, merge_without_empty_states, "case 6"),
    ],
)
def test_a_common_mistake_is_named_with_a_hint(notebook, number, wrong, message):
    line = verdict(notebook, number, wrong)
    assert line.startswith("not yet right: ") and message in line and "Hint: " in line
