"""Multi-head self-attention, forward and backward: python benchmarks/multi_head_attention.py"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from harness import Contender, benchmark, jax_contender

from mmjax.attention import MultiHeadAttention

BATCH, LENGTH, WIDTH, HEADS = 16, 128, 512, 8


def gradients(module):
    """(parameters, x, d_out) → gradients with respect to the parameters and x."""
    graph, parameters = nnx.split(module)

    def step(parameters, x, out_gradient):
        def forward(parameters, x):
            return nnx.merge(graph, parameters)(x)

        return jax.vjp(forward, parameters, x)[1](out_gradient)

    return step, parameters


def torch_contender(x, out_gradient):
    module = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    x, out_gradient = torch.tensor(x, requires_grad=True), torch.tensor(out_gradient)
    leaves = [*module.parameters(), x]

    def run():
        out, _ = module(x, x, x, need_weights=False)
        torch.autograd.grad(out, leaves, out_gradient)

    return Contender("torch", run)


def contenders():
    rng = np.random.default_rng(0)
    shape = (BATCH, LENGTH, WIDTH)
    x, out_gradient = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    chosen = [torch_contender(x, out_gradient)]
    modules = {
        "mmjax": MultiHeadAttention(WIDTH, HEADS, rngs=nnx.Rngs(0)),
        "flax nnx": nnx.MultiHeadAttention(HEADS, WIDTH, decode=False, rngs=nnx.Rngs(0)),
    }
    for name, module in modules.items():
        step, parameters = gradients(module)
        arrays = parameters, jnp.asarray(x), jnp.asarray(out_gradient)
        chosen.append(jax_contender(name, step, *arrays))
    return chosen


if __name__ == "__main__":
    case = f"B = {BATCH}, T = {LENGTH}, M = {WIDTH}, H = {HEADS}"
    benchmark("Multi-head self-attention, float32", "torch", {case: contenders})
