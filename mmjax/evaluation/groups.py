"""How well a model serves each group: accuracy, gaps, equalised odds, and how sure one can be.

Answers of one person are alike, so a person is the unit that is drawn: standard errors and
bootstraps are over persons and not over answers. Sources: Hardt, Price & Srebro (2016) for
equalised odds; Efron & Tibshirani (1993), section 8, for the bootstrap; Kish (1965) for the effect
of answers that belong together.
"""

from collections.abc import Callable

import numpy as np

from mmjax.checks import require, require_type


def group_accuracy(right: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy of each group and its standard error over persons: two float arrays [G].

    right bool [N, T], whether the t-th answer about person n is right; groups int [N].
    acc_g = mean of the persons' own accuracies r_n = Σ_t right / T;
    se_g = sqrt( Σ_n (r_n − acc_g)² / (n_g − 1) / n_g ).
    Raises TypeError or ValueError for arrays that do not fit, or a group of less than two persons.
    """
    _check(right, groups, "group_accuracy")
    own, out = right.mean(axis=1), []
    for group in range(groups.max() + 1):
        mine = own[groups == group]
        ok, expected = len(mine) > 1, f"at least two persons in group {group}"
        require(ok, "group_accuracy", "groups", expected=expected, got=f"{len(mine)}")
        out.append((mine.mean(), mine.std(ddof=1) / np.sqrt(len(mine))))
    accuracy, error = zip(*out, strict=True)
    return np.array(accuracy), np.array(error)


def accuracy_gap(right: np.ndarray, groups: np.ndarray) -> float:
    """acc_0 − acc_1: how much better the first group is served. As `group_accuracy`."""
    accuracy, _ = group_accuracy(right, groups)
    require(len(accuracy) == 2, "accuracy_gap", "groups", expected="0 and 1", got=groups)
    return float(accuracy[0] - accuracy[1])


def confusion_rates(
    said: np.ndarray, truth: np.ndarray, groups: np.ndarray, classes: int
) -> np.ndarray:
    """p(said z | truly s, group g): float [G, S, S]; a row is NaN where the group never is in s.

    said, truth int [N, T], groups int [N]. Raises as `group_accuracy`.
    """
    where, said, truth, groups = "confusion_rates", *map(np.asarray, (said, truth, groups))
    for name, array in (("said", said), ("truth", truth)):
        whole = np.issubdtype(array.dtype, np.integer) and array.ndim == 2
        require_type(whole, where, name, expected="whole numbers [N, T]", got=array)
    require(said.shape == truth.shape, where, "said", expected=f"{list(truth.shape)}", got=said)
    _check(said == truth, groups, where)
    for name, array in (("said", said), ("truth", truth)):
        inside = bool(((array >= 0) & (array < classes)).all())
        expected = f"from 0 to {classes - 1}"
        require(inside, where, name, expected=expected, got=f"{array.min()} to {array.max()}")
    counts = np.zeros((groups.max() + 1, classes, classes))
    np.add.at(counts, (np.broadcast_to(groups[:, None], truth.shape), truth, said), 1)
    total = counts.sum(axis=2, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def equalised_odds_gap(rates: np.ndarray) -> float:
    """max over s and z of |p(said z | s, group 0) − p(said z | s, group 1)|: 0 if odds are equal.

    rates [2, S, S] of `confusion_rates`. States that a group never is in are left out. Raises
    ValueError for another shape, or if no state is left.
    """
    fits = rates.ndim == 3 and rates.shape[0] == 2 and rates.shape[1] == rates.shape[2]
    require(fits, "equalised_odds_gap", "rates", expected="[2, S, S]", got=rates)
    difference = np.abs(rates[0] - rates[1])
    some = not np.isnan(difference).all()
    require(some, "equalised_odds_gap", "rates", expected="a state of both groups", got="none")
    return float(np.nanmax(difference))


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    groups: np.ndarray,
    *,
    seed: int,
    draws: int = 500,
    level: float = 0.95,
) -> tuple[float, float]:
    """The interval in which a statistic lies when persons are drawn anew, with replacement.

    statistic(rows) is computed on the persons int [N] drawn, as many from each group as there are.
    Returns the quantiles (1 − level)/2 and (1 + level)/2. Raises ValueError for less than two
    draws, a level outside 0 to 1, or groups that are not one a person.
    """
    where = "bootstrap_interval"
    require(draws >= 2, where, "draws", expected="at least 2", got=draws)
    require(0 < level < 1, where, "level", expected="between 0 and 1", got=level)
    rng, groups = np.random.default_rng(seed), np.asarray(groups)
    ok = groups.ndim == 1 and len(groups) > 0
    require(ok, where, "groups", expected="one a person, [N]", got=groups)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = [
        statistic(np.concatenate([rng.choice(rows, len(rows)) for rows in members]))
        for _ in range(draws)
    ]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check(right: np.ndarray, groups: np.ndarray, where: str) -> None:
    fits = right.ndim == 2 and right.dtype == bool and right.size > 0
    require_type(fits, where, "right", expected="bool [N, T]", got=right)
    whole = np.issubdtype(groups.dtype, np.integer)
    require_type(whole, where, "groups", expected=f"whole numbers [{len(right)}]", got=groups)
    same = groups.shape == (len(right),) and groups.min() >= 0
    require(same, where, "groups", expected=f"one from 0 a person, [{len(right)}]", got=groups)
