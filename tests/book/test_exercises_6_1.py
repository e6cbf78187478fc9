"""The exercises of section 6.1: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {1: "my_blind_accuracy", 2: "my_best_split", 3: "my_route"}


@pytest.fixture
def notebook(exercises):
    return exercises("6_1_trends", "section_6_1")


def most_common_answer_of_all(questions, answers):
    return np.bincount(answers).max() / len(answers)


def mean_over_questions(questions, answers):
    parts = [answers[questions == q] for q in np.unique(questions)]
    return np.mean([np.bincount(part).max() / len(part) for part in parts])


def exponents_interchanged(A, alpha, B, beta, C):
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    N = G * (C / 6) ** (alpha / (alpha + beta))
    return N, C / 6 / N


def without_the_six(A, alpha, B, beta, C):
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    N = G * C ** (beta / (alpha + beta))
    return N, C / N


def route_without_room(p, capacity):
    return np.where(p.argmax(1)[:, None] == np.arange(p.shape[1]), p, 0.0)


def route_with_gates_of_one(p, capacity):
    asked = p.argmax(1)[:, None] == np.arange(p.shape[1])
    return (asked & (np.cumsum(asked, axis=0) <= capacity)).astype(float)


def best_tokens_first(p, capacity):
    """Room for the most probable, not for the first."""
    gates = route_without_room(p, capacity)
    order = (-gates).argsort(0).argsort(0)
    return np.where(order < capacity, gates, 0.0)


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, most_common_answer_of_all),
        (1, mean_over_questions),
        (2, exponents_interchanged),
        (2, without_the_six),
        (3, route_without_room),
        (3, route_with_gates_of_one),
        (3, best_tokens_first),
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
