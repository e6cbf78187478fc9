"""Reference solutions of the exercises in notebooks/3_1_self_attention.ipynb."""

import math

import numpy as np


def my_crossing_share(lengths):
    """All pairs less those within a modality (3.1.10)."""
    return 1 - sum(n * n for n in lengths) / sum(lengths) ** 2


def my_shares(P, kind, kinds):
    """The columns of each modality, summed (3.1.3)."""
    return np.stack([P[:, kind == k].sum(axis=1) for k in range(kinds)], axis=1)


def my_caption_mask(image_length, real):
    """Patches see patches, words see patches and the words before them, nobody sees padding."""
    place = np.arange(len(real))
    is_patch, is_word = place < image_length, place >= image_length
    causal = place[None, :] <= place[:, None]
    return (is_patch[None, :] | (is_word[:, None] & causal)) & real[None, :]


def my_merge(image_out, image_lse, text_out, text_lse):
    """The gate (3.1.5) with the larger log-sum-exp taken out, then the gated sum (3.1.4)."""
    top = np.maximum(image_lse, text_lse)
    image, text = np.exp(image_lse - top), np.exp(text_lse - top)
    share = (image / (image + text))[:, None]
    return share * image_out + (1 - share) * text_out


def my_gate_bias(z, image_length, share):
    """The logit of the wanted share less the present difference of the log-sum-exps (3.1.5)."""

    def log_sum_exp(x):
        return x.max() + math.log(np.exp(x - x.max()).sum())

    present = log_sum_exp(z[:image_length]) - log_sum_exp(z[image_length:])
    return math.log(share / (1 - share)) - present
