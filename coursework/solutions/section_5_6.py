"""Reference solutions of the exercises in notebooks/5_6_education.ipynb."""

import numpy as np


def my_step(belief, move, likelihood):
    """Predict (5.6.7), then weigh by what was seen (5.6.8)."""
    weighed = likelihood * (belief @ move)
    return weighed / weighed.sum()


def my_steps_mask(K, T):
    """The step of token i is i % T (5.6.12)."""
    step = np.arange(K * T) % T
    return step[None, :] <= step[:, None]


def my_choice(belief, h, gain, transition):
    """Q by the recursion (5.6.15), (5.6.16), its mean under the belief (5.6.17)."""
    q = gain
    for _ in range(h - 1):
        q = gain + np.einsum("ast,t->sa", transition, q.max(axis=1))
    return (belief @ q).argmax(axis=1)


def my_odds_gap(said, truth, groups, classes):
    """The largest difference of p(said | true state) between the groups (5.6.20)."""
    worst = 0.0
    for s in range(classes):
        here = [said[groups == g][truth[groups == g] == s] for g in (0, 1)]
        if min(map(len, here)) == 0:
            continue
        shares = [np.bincount(x, minlength=classes) / len(x) for x in here]
        worst = max(worst, np.abs(shares[0] - shares[1]).max())
    return worst
