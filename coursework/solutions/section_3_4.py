"""Reference solutions of the exercises in notebooks/3_4_clip.ipynb.

Each name is the one of the blank in the notebook; tests run them through the notebook's checks.
"""

import math

import numpy as np

from mmjax import formulas

# Exercise 1. Rows give 3/4 and 3/4, columns 6/7 and 3/5.
my_losses = {
    "image_to_text": math.log(4 / 3),
    "text_to_image": (math.log(7 / 6) + math.log(5 / 3)) / 2,
    "clip": math.log(4 / 3) / 2 + (math.log(7 / 6) + math.log(5 / 3)) / 4,
    "knows_nothing": math.log(2),
}


def my_info_nce(z):
    """Exercise 2. (3.4.8): log-sum-exp of each row, shifted by its maximum, minus the diagonal."""
    top = z.max(axis=1)
    log_sum_exp = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return (log_sum_exp - np.diagonal(z)).mean()


def my_masked_info_nce(z, labels):
    """Exercise 3. (3.4.17): one row at a time, over the texts that take part."""
    total = 0.0
    for n in range(len(z)):
        kept = labels != labels[n]
        kept[n] = True
        top = z[n, kept].max()
        total += top + math.log(np.exp(z[n, kept] - top).sum()) - z[n, n]
    return total / len(z)


def my_recall(scores, targets, k):
    """Exercise 4. (3.4.40) and (3.4.41): the target is among those that score at least as high."""
    own = scores[np.arange(len(scores)), targets]
    ranks = (scores >= own[:, None]).sum(axis=1)
    return (ranks <= k).mean()


def my_scale_gradient(U, V, s):
    """Exercise 5. (3.4.26) and (3.4.27)."""
    if s > math.log(100):
        return 0.0
    z = math.exp(s) * U @ V.T
    p, q = formulas.softmax(z, axis=1), formulas.softmax(z, axis=0)
    return ((p + q - 2 * np.eye(len(z))) * z).sum() / (2 * len(z))


def my_error_kinds(answers, targets, names):
    """Exercise 6. The kinds are tried in the order in which they are listed."""

    def kind(answer, target):
        given, right = names[answer].split(), names[target].split()
        if answer == target:
            return "right"
        if len(given) == len(right) and sum(map(str.__ne__, given, right)) == 1:
            return "one word away"
        return "same first word" if given[0] == right[0] else "other"

    kinds = [kind(answer, target) for answer, target in zip(answers, targets, strict=True)]
    listed = ("right", "one word away", "same first word", "other")
    return {name: kinds.count(name) / len(kinds) for name in listed}


def my_two_passes(parts, encode, pull_back, s):
    """Exercise 7. (3.4.37): embeddings first, their gradients for the whole batch, then back."""
    embeddings = [encode(rows) for rows in parts]
    U, V = (np.concatenate(side) for side in zip(*embeddings, strict=True))
    dU, dV, _ = formulas.clip_gradients(U, V, s)
    total, start = 0.0, 0
    for rows in parts:
        here = slice(start, start + len(rows))
        total = total + pull_back(rows, dU[here], dV[here])
        start += len(rows)
    return total
