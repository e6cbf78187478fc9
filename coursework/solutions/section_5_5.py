"""Reference solutions of the exercises in notebooks/5_5_healthcare.ipynb."""

import numpy as np


def my_auc(scores, labels):
    """The share of pairs in the right order, ties one half (5.5.15)."""
    ill, healthy = scores[labels == 1][:, None], scores[labels == 0][None, :]
    return (ill > healthy).mean() + (ill == healthy).mean() / 2


def my_calibration_error(p, y, bins):
    """The mean distance of mean forecast and share, weighted by count (5.5.19)."""
    bin_of = np.maximum(np.ceil(p * bins), 1)
    total = 0.0
    for k in range(1, bins + 1):
        inside = bin_of == k
        if inside.any():
            total += inside.mean() * abs(p[inside].mean() - y[inside].mean())
    return total


def my_decisions(z, old, new, c_fp, c_fn):
    """The prior replaced (5.5.24), then the threshold of the price (5.5.22)."""
    shifted = z + np.log(new / (1 - new)) - np.log(old / (1 - old))
    return 1 / (1 + np.exp(-shifted)) >= c_fp / (c_fp + c_fn)


def my_picture_log_ratio(ell, q0, q1):
    """A log-sum-exp over places (5.5.8), then the two mixtures (5.5.9)."""
    log_mean = np.logaddexp.reduce(ell) - np.log(len(ell))
    ill = np.logaddexp(np.log1p(-q1), np.log(q1) + log_mean)
    return ill - np.logaddexp(np.log1p(-q0), np.log(q0) + log_mean)
