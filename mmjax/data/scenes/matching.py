"""The best possible search: how much more likely two signals come from one scene than from two.

log p(a, b) − log p(a) − log p(b), with p(a, b) = Σ over all scenes p(scene) p(a|scene) p(b|scene)

A search that ranks the candidates b by this number for a query a has the right one among its first
k at least as often as any other: it is the posterior probability of being the right one, up to
what depends on the query alone. The sum runs over all 481³ scenes, lane by lane as in `bayes`.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from mmjax.checks import require
from mmjax.data.scenes.bayes import COLUMNS, EMPTY
from mmjax.data.scenes.world import LANES


def best_match(a: np.ndarray, b: np.ndarray, *, objects: Sequence[int] = (1, 2, 3)) -> np.ndarray:
    """log p(a_n, b_m) / (p(a_n) p(b_m)) for all pairs of N and M signals: float64 [N, M].

    a [N, 3, 481], b [M, 3, 481]: log-likelihoods of `bayes`, of any two modalities with separate
    noise. `objects` is that of `sample_scenes`. −∞ where no scene allows both, or where the ratio
    is below the smallest float64.
    Raises ValueError for tables of other shapes, and for a signal that no scene allows.
    """
    where = "best_match"
    shape = (len(LANES), COLUMNS)
    for name, table in (("a", a), ("b", b)):
        fits = table.ndim == 3 and table.shape[1:] == shape and len(table) > 0
        require(fits, where, name, expected=f"[N, {shape[0]}, {shape[1]}]", got=table)
    nothing = np.zeros((1, *shape))  # a signal that says nothing
    alone = _log_joint(a, nothing, objects), _log_joint(b, nothing, objects)
    for name, evidence in zip(("a", "b"), alone, strict=True):
        impossible = np.flatnonzero(~np.isfinite(evidence)).tolist()
        expected, got = "signals that some scene allows", f"none for the rows {impossible[:10]}"
        require(not impossible, where, name, expected=expected, got=got)
    return _log_joint(a, b, objects) - alone[0] - alone[1].T


def _log_joint(a, b, objects) -> np.ndarray:
    """log p(a_n, b_m): over the subsets of lanes that may hold an object, the product of lanes."""
    empty, occupied = [], []
    for lane in range(len(LANES)):
        first, second = a[:, lane], b[:, lane]
        # The largest entry of each row is taken out, so that exp neither over- nor underflows.
        tops = first[:, 1:].max(axis=1, keepdims=True), second[:, 1:].max(axis=1, keepdims=True)
        tops = [np.where(np.isfinite(top), top, 0) for top in tops]
        product = np.exp(first[:, 1:] - tops[0]) @ np.exp(second[:, 1:] - tops[1]).T
        with np.errstate(divide="ignore"):
            log_sum = np.log(product / (COLUMNS - 1))  # every state is as likely
        occupied.append(log_sum + tops[0] + tops[1].T)
        empty.append(first[:, EMPTY, None] + second[None, :, EMPTY])
    total = np.full((len(a), len(b)), -np.inf)
    for number in objects:
        weight = -math.log(len(objects) * math.comb(len(LANES), number))
        for held in itertools.combinations(range(len(LANES)), number):
            lanes = (occupied[i] if i in held else empty[i] for i in range(len(LANES)))
            total = np.logaddexp(total, weight + sum(lanes))
    return total
