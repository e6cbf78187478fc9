"""The contrastive loss of more than two modalities: the mean over pairs of them.

Sources: Radford et al. (2021), figure 3, for one pair; Girdhar et al. (2023), "ImageBind", for
pairs that all share one modality.
"""

import itertools
from collections.abc import Mapping, Sequence

from jax import Array

from mmjax.checks import require, require_one_of
from mmjax.losses.contrastive import clip_loss


def all_pairs_loss(
    embeddings: Mapping[str, Array],
    logit_scale: Array,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> Array:
    """L = mean over the pairs (j, k) of modalities of `clip_loss(y_j, y_k)`.

    embeddings: for each modality unit vectors [N, E], example n in row n. pairs: names of what is
    tied together, each pair of modalities once by default; pairs that share one modality tie all
    the others to it. Returns a scalar.
    Raises ValueError for fewer than two modalities, no pair, unknown names, or a modality tied to
    itself, and as `clip_loss`.
    """
    where, names = "all_pairs_loss", tuple(embeddings)
    require(len(names) > 1, where, "embeddings", expected="two modalities or more", got=str(names))
    pairs = tuple(itertools.combinations(names, 2)) if pairs is None else tuple(pairs)
    require(len(pairs) > 0, where, "pairs", expected="at least one pair", got=str(pairs))
    for name in itertools.chain(*pairs):
        require_one_of(name, names, where, "pairs")
    apart = all(j != k for j, k in pairs)
    require(apart, where, "pairs", expected="two different modalities in each", got=str(pairs))
    losses = [clip_loss(embeddings[j], embeddings[k], logit_scale) for j, k in pairs]
    return sum(losses) / len(losses)
