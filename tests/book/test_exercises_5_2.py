"""The exercises of section 5.2: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

from mmjax import formulas

NAMES = {1: "my_rank", 2: "my_chance_mrr", 3: "my_search_step", 4: "my_hubs"}


@pytest.fixture
def notebook(exercises):
    return exercises("5_2_cross_modal_retrieval", "section_5_2")


def best_right(scores, right):
    return np.where(right, scores, -np.inf).max(axis=1, keepdims=True)


def ties_are_wins(scores, right):
    return 1 + (~right & (scores > best_right(scores, right))).sum(axis=1)


def in_each_others_way(scores, right):
    return (scores >= best_right(scores, right)).sum(axis=1)


def rank_of_the_worst(scores, right):
    worst = np.where(right, scores, np.inf).min(axis=1, keepdims=True)
    return 1 + (~right & (scores >= worst)).sum(axis=1)


def step_without_the_kept(kept_scores, kept_indices, block_scores, start):
    order = np.argsort(-block_scores, axis=1, kind="stable")[:, : kept_scores.shape[1]]
    return np.take_along_axis(block_scores, order, axis=1), start + order


def step_without_the_start(kept_scores, kept_indices, block_scores, start):
    scores = np.concatenate([kept_scores, block_scores], axis=1)
    numbers = np.tile(np.arange(block_scores.shape[1]), (len(scores), 1))
    indices = np.concatenate([kept_indices, numbers], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : kept_scores.shape[1]]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(indices, order, axis=1)


def step_with_ties_the_other_way(kept_scores, kept_indices, block_scores, start):
    scores = np.concatenate([block_scores, kept_scores], axis=1)
    numbers = np.tile(start + np.arange(block_scores.shape[1]), (len(scores), 1))
    indices = np.concatenate([numbers, kept_indices], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : kept_scores.shape[1]]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(indices, order, axis=1)


def hubs_of_the_queries(scores, k):
    return notebook_counts(scores.T, k)


def notebook_counts(scores, k):
    counts = formulas.occurrences(scores, k)
    return counts, formulas.skewness(counts)


def sample_skewness(scores, k):
    counts = formulas.occurrences(scores, k)
    return counts, ((counts - counts.mean()) ** 3).mean() / counts.std(ddof=1) ** 3


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, ties_are_wins),
        (1, in_each_others_way),
        (1, rank_of_the_worst),
        (2, lambda r, M: sum(1 / K for K in range(1, M + 1)) / M),  # one right answer only
        (2, lambda r, M: r / M),
        (3, step_without_the_kept),
        (3, step_without_the_start),
        (3, step_with_ties_the_other_way),
        (4, hubs_of_the_queries),
        (4, sample_skewness),
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
