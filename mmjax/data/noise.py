"""Wrong captions on purpose: a share of the pairs gets the text of another picture.

Pairs collected from web pages are wrong in part. Jia et al. (2021) train on 1.8 billion of them as
they are; here the share of wrong ones is a knob.
"""

import numpy as np

from mmjax.checks import require, require_type


def wrong_captions(
    captions: np.ndarray, share: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Passes the captions of a share η of the pairs round among these pairs.

    p_η(x, y) = (1 − η) p(x, y) + η p(x) p(y)

    captions: whole numbers [N], the text of each pair. round(η N) pairs are drawn, and each gets
    the caption of another one of them. So every caption occurs as often as before. A pair can be
    right by chance, where two pairs have the same caption. The pairs drawn for a larger share
    include those drawn for a smaller one with the same seed.
    Returns the new captions [N] and bool [N], True for the pairs that were drawn.
    Raises TypeError for captions that are not whole numbers; ValueError for another rank, a share
    outside 0 … 1, or one that would draw a single pair.
    """
    where, captions = "wrong_captions", np.asarray(captions)
    is_whole = np.issubdtype(captions.dtype, np.integer)
    require_type(is_whole, where, "captions", expected="whole numbers [N]", got=captions)
    require(captions.ndim == 1, where, "captions", expected="[N]", got=captions)
    require(0 <= share <= 1, where, "share", expected="0 <= share <= 1", got=share)
    count = round(share * len(captions))
    expected = "a share of the pairs that is none or at least two"
    require(count != 1, where, "share", expected=expected, got=share)
    chosen = np.random.default_rng(seed).permutation(len(captions))[:count]
    noisy, wrong = captions.copy(), np.zeros(len(captions), bool)
    noisy[chosen], wrong[chosen] = captions[np.roll(chosen, 1)], True
    return noisy, wrong
