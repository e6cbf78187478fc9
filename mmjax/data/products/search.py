"""The best possible search: Bayes' rule for products and wishes, and the ranking it leads to.

What is seen of a state are independent signals, so their log-likelihoods add:

    p(s | signals) ∝ p(s) exp( Σ log p(signal | s) )

A query can also be "like this picture, but red": the picture then shows a product that has the
wish's category and pattern, and any other colour than the one that is asked for.
"""

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.data.products.world import (
    ATTRIBUTES,
    COLOURS,
    SHAPE,
    STATES,
    attributes_of,
    check_states,
    gains,
    state_of,
)


def posterior(*log_likelihoods: np.ndarray) -> np.ndarray:
    """p(state | all the signals): tables [N, 144] of `*_log_likelihood` → float64 [N, 144].

    Rows sum to 1. Raises ValueError for no table, tables of other shapes, and for signals that no
    state allows.
    """
    where, name = "posterior", "log_likelihoods"
    require(len(log_likelihoods) > 0, where, name, expected="at least one table", got="none")
    shape = (len(log_likelihoods[0]), STATES)
    for table in log_likelihoods:
        require(table.shape == shape, where, name, expected=f"{list(shape)}", got=table)
    total = sum(log_likelihoods)
    top = total.max(axis=1, keepdims=True)
    expected = "signals that some state allows"
    require(bool(np.isfinite(top).all()), where, name, expected=expected, got="none for some row")
    weight = np.exp(total - top)
    return weight / weight.sum(axis=1, keepdims=True)


def recoloured(states: np.ndarray, *, seed: int) -> np.ndarray:
    """The same products in another colour, each of the other colours being as likely: int [N]."""
    seen = attributes_of(check_states(states, "recoloured"))
    step = 1 + np.random.default_rng(seed).integers(len(COLOURS) - 1, size=len(seen["colour"]))
    return state_of(**seen | {"colour": (seen["colour"] + step) % len(COLOURS)})


def but_colour(table: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """log p(picture | wish) of "like this, but <colour>", from `picture_log_likelihood`.

    p(x | w) = mean over the colours c ≠ the one asked for of p(x | w in colour c), and 0 for a
    wish of another colour than the one that is asked for.

    table float64 [N, 144], colours int [N], what is asked for. Returns float64 [N, 144].
    Raises ValueError for arrays that do not fit.
    """
    where, colours = "but_colour", np.asarray(colours)
    ok = table.ndim == 2 and table.shape[1] == STATES
    require(ok, where, "table", expected=f"[N, {STATES}]", got=table)
    ok = colours.shape == (len(table),) and ((colours >= 0) & (colours < len(COLOURS))).all()
    require(ok, where, "colours", expected=f"[{len(table)}] from 0 to 3", got=colours)
    parts = table.reshape(-1, *SHAPE)
    asked = np.arange(len(COLOURS)) == colours[:, None]  # [N, 4]
    others = np.where(asked[:, None, :, None, None], -np.inf, parts)
    mean = np.logaddexp.reduce(others, axis=2, keepdims=True) - np.log(len(COLOURS) - 1)
    result = np.where(asked[:, None, :, None, None], mean, -np.inf)
    return result.reshape(-1, STATES)


def expected_gains(wish_posteriors: np.ndarray, product_posteriors: np.ndarray) -> np.ndarray:
    """E[G(w, s) | what is known of both] = Σ_w Σ_s p(w) G(w, s) p(s): [Q, 144], [N, 144] → [Q, N].

    To sort by it is the best that any search can do that knows no more: no other order has a larger
    expected DCG. Raises ValueError for other shapes.
    """
    tables = {"wish_posteriors": wish_posteriors, "product_posteriors": product_posteriors}
    for name, table in tables.items():
        ok = table.ndim == 2 and table.shape[1] == STATES
        require(ok, "expected_gains", name, expected=f"[N, {STATES}]", got=table)
    return wish_posteriors @ gains() @ product_posteriors.T


def best_accuracy(posteriors: np.ndarray, states: np.ndarray, attribute: str) -> float:
    """How often the most probable value of one attribute is the true one, as a share of 1.

    posteriors [N, 144], states int [N]. Raises TypeError or ValueError for others, and ValueError
    for an attribute that there is not.
    """
    where, names = "best_accuracy", tuple(ATTRIBUTES)
    require_one_of(attribute, names, where, "attribute")
    ok = posteriors.ndim == 2 and posteriors.shape[1] == STATES and len(posteriors) > 0
    expected = f"[N, {STATES}] with N at least 1"
    require(ok, where, "posteriors", expected=expected, got=posteriors)
    states, shape = check_states(states, where), (len(posteriors),)
    require(states.shape == shape, where, "states", expected=f"{list(shape)}", got=states)
    axes = tuple(1 + i for i, name in enumerate(names) if name != attribute)
    guess = posteriors.reshape(-1, *SHAPE).sum(axis=axes).argmax(axis=1)
    return float((guess == attributes_of(states)[attribute]).mean())
