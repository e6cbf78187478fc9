"""The precision of sums: softmax, norms and losses run in float32 or better.

Products of float32 matrices follow JAX's setting `jax_default_matmul_precision`. On a CPU they are
float32; a GPU or TPU rounds their factors unless that setting is "highest".
"""

import numpy as np


def wide_dtype(dtype) -> np.dtype:
    """float32 for float16, bfloat16 and float32; float64 for float64."""
    return np.promote_types(dtype, np.float32)
