"""The exercises of section 3.4: the notebook's own checks accept the solutions, and only those."""

import math

import numpy as np
import pytest

from mmjax import formulas

NAMES = {
    1: "my_losses",
    2: "my_info_nce",
    3: "my_masked_info_nce",
    4: "my_recall",
    5: "my_scale_gradient",
    6: "my_error_kinds",
    7: "my_two_passes",
}


@pytest.fixture
def notebook(exercises):
    notebook = exercises("3_4_clip", "section_3_4")
    notebook.namespace["draw"] = np.random.default_rng(34)  # made in the check of exercise 2
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


def first_words_first(answers, targets, names):
    kinds = []
    for answer, target in zip(answers, targets, strict=True):
        same = names[answer].split()[0] == names[target].split()[0]
        kinds.append("right" if answer == target else "same first word" if same else "other")
    listed = ("right", "one word away", "same first word", "other")
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
        (6, first_words_first, "part 'one word away'"),
        (7, plain_accumulation, "case 1"),
        (7, all_at_once, "a part has 2"),
    ],
)
def test_a_common_mistake_is_named_with_a_hint(notebook, number, wrong, message):
    line = verdict(notebook, number, wrong)
    assert line.startswith("not yet right: ") and message in line and "Hint: " in line
