"""The precision of sums: softmax, norms and losses run in float32 or better."""

import numpy as np


def wide_dtype(dtype) -> np.dtype:
    """float32 for float16, bfloat16 and float32; float64 for float64."""
    return np.promote_types(dtype, np.float32)
