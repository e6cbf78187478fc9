"""Zero-shot naming: the classes are texts, and the best-fitting text is the answer.

Source: Radford et al. (2021), section 3.1.
"""

from collections.abc import Callable

import jax
import numpy as np
from jax import Array

from mmjax.checks import require


def encode_in_batches(
    encode: Callable[..., Array], *arrays: np.ndarray, batch_size: int = 512
) -> np.ndarray:
    """Applies `encode` to N examples, `batch_size` at a time, and stacks the results, [N, E].

    The last batch is filled up with copies of its first example, so one compiled program serves
    all batches. Raises ValueError for no examples or arrays of different lengths.
    """
    size = len(arrays[0])
    require(size > 0, "encode_in_batches", "arrays", expected="at least one example", got=size)
    lengths = [len(array) for array in arrays]
    same = len(set(lengths)) == 1
    require(same, "encode_in_batches", "arrays", expected="one length", got=str(lengths))
    parts = []
    for start in range(0, size, batch_size):
        index = np.arange(start, start + batch_size)
        index = np.where(index < size, index, start)
        parts.append(jax.device_get(encode(*(array[index] for array in arrays))))
    return np.concatenate(parts)[:size]


def zero_shot_scores(image_embeddings: np.ndarray, text_embeddings: np.ndarray) -> np.ndarray:
    """Cosine of every image with every candidate text: [N, E], [K, E] → [N, K].

    Both hold unit vectors. The candidate with the highest score is the name.
    Raises ValueError if the widths E differ.
    """
    expected = f"[K, {image_embeddings.shape[-1]}]"
    fits = text_embeddings.shape[-1] == image_embeddings.shape[-1]
    require(fits, "zero_shot_scores", "text_embeddings", expected=expected, got=text_embeddings)
    return np.asarray(image_embeddings) @ np.asarray(text_embeddings).T
