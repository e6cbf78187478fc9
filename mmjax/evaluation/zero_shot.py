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
    all batches. Raises ValueError for no examples, arrays of different lengths or an empty batch.
    """
    where, lengths = "encode_in_batches", [len(array) for array in arrays]
    require(len(arrays) > 0, where, "arrays", expected="at least one array", got="none")
    same = len(set(lengths)) == 1
    require(same, where, "arrays", expected="one length", got=str(lengths))
    size = lengths[0]
    require(size > 0, where, "arrays", expected="at least one example", got=size)
    require(batch_size >= 1, where, "batch_size", expected="at least 1", got=batch_size)
    parts = []
    for start in range(0, size, batch_size):
        index = np.arange(start, start + batch_size)
        index = np.where(index < size, index, start)
        parts.append(jax.device_get(encode(*(array[index] for array in arrays))))
    return np.concatenate(parts)[:size]


def zero_shot_scores(image_embeddings: np.ndarray, text_embeddings: np.ndarray) -> np.ndarray:
    """Cosine of every image with every candidate text: [N, E], [K, E] → [N, K].

    Both hold unit vectors. The candidate with the highest score is the name.
    Raises ValueError for another rank or if the widths E differ.
    """
    images, texts = np.asarray(image_embeddings), np.asarray(text_embeddings)
    where = "zero_shot_scores"
    require(images.ndim == 2, where, "image_embeddings", expected="[N, E]", got=images)
    fits = texts.ndim == 2 and texts.shape[1] == images.shape[1]
    require(fits, where, "text_embeddings", expected=f"[K, {images.shape[1]}]", got=texts)
    return images @ texts.T
