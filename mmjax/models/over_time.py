"""The single-stream Transformer over time: at each step it knows what came so far, and no more.

Every modality has one token a step. A token reads those of its own step and of earlier ones, of all
modalities; the answer of a step is read from the tokens of that step. Sources: Chen et al. (2020),
UNITER, for one stream of all modalities; Vaswani et al. (2017), section 3.2.3, for the causal mask.
"""

from jax import Array

from mmjax.attention import causal_mask, combine_masks, padding_mask
from mmjax.checks import require
from mmjax.models.encoders import masked_mean
from mmjax.models.representation import Inputs, JointModel, concatenate_tokens


class CausalModel(JointModel):
    """All modalities in one Transformer, with a causal mask over the steps: [B, T, E].

    y_t = (mean over the modalities k of h_{k,t}) W_E,  h = Transformer(x_0),
    where token (k, t) may attend to (j, s) for s ≤ t, for all modalities j.

    A modality that was not observed at a step, False in its mask, has no influence. A step of which
    nothing was observed gives zeros. All modalities have the same number of steps T; fewer than in
    the configuration are fine. Raises ValueError for lengths that differ.
    """

    def __call__(self, inputs: Inputs, *, dropout_key: Array | None = None) -> Array:
        return self.projection(self.steps(inputs, dropout_key=dropout_key))

    def steps(self, inputs: Inputs, *, dropout_key: Array | None = None) -> Array:
        """The embedding of every step, before the projection: [B, T, M]."""
        streams, masks = self.embed(inputs)
        lengths = {name: x.shape[1] for name, x in streams.items()}
        same = len(set(lengths.values())) == 1
        expected = "as many steps in all modalities"
        require(same, "CausalModel", "inputs", expected=expected, got=str(lengths))
        x, mask = concatenate_tokens(streams.values()), concatenate_tokens(masks.values())
        number, length = len(streams), next(iter(lengths.values()))
        may = combine_masks(padding_mask(mask), steps_mask(number, length))
        x = self.transformer(x, mask=may, dropout_key=dropout_key)
        batch, width = len(x), x.shape[2]
        # [B, K, T, M] → [B, T, K, M], and the mean over the modalities of a step.
        by_step = x.reshape(batch, number, length, width).swapaxes(1, 2)
        here = mask.reshape(batch, number, length).swapaxes(1, 2)
        by_step = by_step.reshape(batch * length, number, width)
        mean = masked_mean(by_step, here.reshape(batch * length, number))
        return mean.reshape(batch, length, width)


def steps_mask(modalities: int, length: int) -> Array:
    """Token (k, t) may attend to (j, s) iff s ≤ t: bool [K·T, K·T], modality after modality.

    Example, two modalities of two steps:
        [[1, 0, 1, 0],
         [1, 1, 1, 1],
         [1, 0, 1, 0],
         [1, 1, 1, 1]]
    Raises ValueError for sizes below 1.
    """
    ok = modalities >= 1
    require(ok, "steps_mask", "modalities", expected="at least 1", got=modalities)
    one = causal_mask(length)
    tiled = concatenate_tokens([one] * modalities)  # [T, K·T]
    return concatenate_tokens([tiled.T] * modalities).T
