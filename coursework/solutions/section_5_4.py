"""Reference solutions of the exercises in notebooks/5_4_e_commerce.ipynb."""

import numpy as np


def my_ndcg(scores, gains, k):
    """Equal scores share their mean discount; the best order has no ties (5.4.7), (5.4.8)."""
    discounts = 1 / np.log2(np.arange(2, len(scores) + 2))
    discounts[k:] = 0
    order = np.argsort(-scores, kind="stable")
    mean = np.zeros(len(scores))
    for value in np.unique(scores):
        group = scores[order] == value
        mean[group] = discounts[group].mean()
    return (mean * gains[order]).sum() / (discounts * np.sort(gains)[::-1]).sum()


def my_posterior(prior, picture, text):
    """Evidence adds; the largest logarithm is subtracted before the exponential (5.4.5)."""
    total = np.log(prior) + picture + text
    weight = np.exp(total - total.max())
    return weight / weight.sum()


def my_next_purchase(prior, past, now, history):
    """The taste given the history, then what such tastes buy (5.4.20), (5.4.21)."""
    taste = prior * past[:, history].prod(axis=1)
    return (taste / taste.sum()) @ now


def my_slate(p, v, cost, k):
    """Only what earns more than its place, and of that the best k (5.4.25)."""
    net = p * v - cost
    best = np.argsort(-net, kind="stable")[:k]
    shown = np.zeros(len(p), bool)
    shown[best[net[best] > 0]] = True
    return shown, float(net[shown].sum())
