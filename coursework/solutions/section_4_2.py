"""Reference solutions of the exercises in notebooks/4_2_multi_head_mathematics.ipynb."""

import math

import numpy as np


def my_parameters(width, heads, key_value_heads, use_bias):
    """Two matrices [M, M], two [M, H_kv·D], and a bias for every column (4.2.23)."""
    narrow = key_value_heads * width // heads
    return 2 * width * width + 2 * width * narrow + use_bias * (2 * width + 2 * narrow)


def my_contribution(concatenated, W_O, heads, h):
    """Columns of the head times its block of rows (4.2.4)."""
    width = concatenated.shape[1] // heads
    own = slice(h * width, (h + 1) * width)
    return concatenated[:, own] @ W_O[own]


def my_from_torch(in_proj_weight, heads):
    """Transpose, cut into three, then cut the columns into heads (4.2.35)."""
    width = in_proj_weight.shape[1]
    three = np.split(in_proj_weight.T, 3, axis=1)
    return tuple(W.reshape(width, heads, width // heads).transpose(1, 0, 2) for W in three)


def my_folded_bias(b_V, b_O, W_O):
    """The concatenation of the value biases passes through W^O (4.2.18)."""
    return b_O + b_V @ W_O


def my_shared_value_gradient(P, Y, W_O, dO):
    """The sum over the heads of Yᵀ P_hᵀ dO W_h^Oᵀ (4.2.30, 4.2.20)."""
    blocks = np.split(W_O, len(P))
    return sum(Y.T @ P_h.T @ dO @ block.T for P_h, block in zip(P, blocks, strict=True))


def my_thinner_head(W_Q, W_K, r):
    """W^Q W^Kᵀ = U Σ Vᵀ; the root of Σ on both sides, and √(r/D) to keep the scale."""
    left, values, right = np.linalg.svd(W_Q @ W_K.T)
    root = np.sqrt(values[:r] * math.sqrt(r / W_Q.shape[1]))
    return left[:, :r] * root, right[:r].T * root
