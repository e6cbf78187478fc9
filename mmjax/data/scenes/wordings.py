"""Several captions of one scene: other words, and the objects in another order."""

import numpy as np

from mmjax.checks import require
from mmjax.data.scenes.captions import render_captions
from mmjax.data.scenes.world import Scenes


def render_wordings(scenes: Scenes, number: int, *, seed: int) -> list[list[str]]:
    """`number` captions of each of N scenes: lists [number][N] of sentences.

    In each the words are drawn as by `render_captions`, and the clauses stand in a random order.
    Three of the words of a clause have two forms, so a scene of n objects has n! · 8ⁿ captions; two
    of them may be drawn alike.
    Raises ValueError for a number below 1.
    """
    require(number >= 1, "render_wordings", "number", expected="at least 1", got=number)
    seeds = np.random.SeedSequence(seed).generate_state(2 * number)
    wordings = []
    for words, order in zip(seeds[::2], seeds[1::2], strict=True):
        rng = np.random.default_rng(order)
        clauses = [text.split(" and ") for text in render_captions(scenes, seed=int(words))]
        wordings.append([" and ".join(rng.permutation(parts)) for parts in clauses])
    return wordings
