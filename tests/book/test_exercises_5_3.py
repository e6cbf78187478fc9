"""The exercises of section 5.3: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

NAMES = {1: "my_f1", 2: "my_score_gradient", 3: "my_greedy", 4: "my_best_set"}


@pytest.fixture
def notebook(exercises):
    return exercises("5_3_video_summarization", "section_5_3")


def f1_of_near_frames(chosen, truth, tolerance):
    """Every chosen frame that is near any true one counts."""
    hits = sum(any(abs(c - t) <= tolerance for t in truth) for c in chosen)
    return 2 * hits / (len(chosen) + len(truth))


def f1_nearest_first(chosen, truth, tolerance):
    left, hits = list(truth), 0
    for c in chosen:
        near = [t for t in left if abs(c - t) <= tolerance]
        if near:
            left.remove(max(near))
            hits += 1
    return 2 * hits / (len(chosen) + len(truth))


def softmax(s):
    weights = np.exp(s - s.max())
    return weights / weights.sum()


def gradient_without_the_mean_vote(s, u, y):
    alpha = softmax(s)
    z = alpha @ u
    return alpha * (u @ ((1 / (1 + np.exp(-z)) - y) / len(y)))


def gradient_of_the_sum(s, u, y):
    alpha = softmax(s)
    z = alpha @ u
    return alpha * ((u - z) @ (1 / (1 + np.exp(-z)) - y))


def frames_that_cover_most_alone(similar, k):
    return np.argsort(-similar.sum(0))[:k]


def rows_for_columns(similar, k):
    covered, chosen = np.zeros(len(similar)), []
    for _ in range(k):
        gain = np.maximum(similar - covered[None], 0).sum(axis=1)
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        covered = np.maximum(covered, similar[chosen[-1]])
    return np.array(chosen)


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, f1_of_near_frames),
        (1, f1_nearest_first),
        (2, gradient_without_the_mean_vote),
        (2, gradient_of_the_sum),
        (3, frames_that_cover_most_alone),
        (3, rows_for_columns),
        (3, lambda similar, k: np.sort(frames_that_cover_most_alone(similar, k))),
        (4, lambda a, similar, k: np.sort(np.argsort(-a)[:k])),  # quality alone
        (4, lambda a, similar, k: np.arange(0, 2 * k, 2)),  # diversity alone, about
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
