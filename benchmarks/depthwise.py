"""The depthwise convolution as a sum of shifted pictures: python benchmarks/depthwise.py

Forward and backward on [128, 8, 8, 128] with 3 × 3 filters, beside `lax.conv_general_dilated` and
torch. The stages of the convolutional tower in notebook 3.5 have pictures of about this size.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from harness import Contender, benchmark, jax_contender

from mmjax.models.convolution import depthwise_convolution

SHAPE, SIDE = (128, 8, 8, 128), 3
AXES = ("NHWC", "HWIO", "NHWC")


def inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = SHAPE, (SIDE, SIDE, SHAPE[-1])
    return tuple(rng.standard_normal(size, np.float32) for size in sizes)


def library(x, kernel):
    kernel = kernel[:, :, None]
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=AXES, feature_group_count=SHAPE[-1]
    )


def ours_and_the_library() -> list[Contender]:
    arrays, found = tuple(map(jnp.asarray, inputs())), []
    functions = {"lax.conv_general_dilated": library, "mmjax": depthwise_convolution}
    for name, function in functions.items():

        def loss(x, kernel, function=function):
            return (function(x, kernel) ** 2).sum()

        found.append(jax_contender(name, jax.value_and_grad(loss, (0, 1)), *arrays))
    return found


def torch_contender() -> Contender:
    x, kernel = (torch.tensor(array) for array in inputs())
    x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last).requires_grad_()
    kernel = kernel.permute(2, 0, 1)[:, None].contiguous().requires_grad_()

    def run():
        x.grad = kernel.grad = None
        y = torch.nn.functional.conv2d(x, kernel, padding=SIDE // 2, groups=SHAPE[-1])
        (y**2).sum().backward()

    return Contender("torch", run)


def contenders() -> list[Contender]:
    return [torch_contender(), *ours_and_the_library()]


if __name__ == "__main__":
    benchmark("depthwise convolution, float32", "torch", {str(list(SHAPE)): contenders})
