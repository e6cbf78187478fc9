"""Attention, forward and backward, against torch and `jax.nn`: python benchmarks/attention.py"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from harness import Contender, benchmark, jax_contender

from mmjax.attention import blockwise_attention, scaled_dot_product_attention


def arrays(shape):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(4)]


def gradients(attend):
    """Forward and backward pass: (query, key, value, d_out) → (d_query, d_key, d_value)."""

    def step(query, key, value, out_gradient):
        return jax.vjp(attend, query, key, value)[1](out_gradient)

    return step


def jax_nn(query, key, value):
    """`jax.nn` wants [B, T, H, D]; it gets its data in that layout."""
    return jax.nn.dot_product_attention(query, key, value)


def torch_contender(arrays):
    query, key, value, out_gradient = (torch.tensor(x) for x in arrays)
    leaves = [x.requires_grad_() for x in (query, key, value)]
    attend = torch.nn.functional.scaled_dot_product_attention

    def run():
        torch.autograd.grad(attend(query, key, value), leaves, out_gradient)

    return Contender("torch SDPA", run)


def case(shape, plain):
    def contenders():
        data = arrays(shape)
        ours = [jnp.asarray(x) for x in data]
        theirs = [jnp.swapaxes(x, 1, 2) for x in ours]
        chosen = [
            torch_contender(data),
            jax_contender("mmjax blockwise", gradients(blockwise_attention), *ours),
            jax_contender("jax.nn", gradients(jax_nn), *theirs),
        ]
        if plain:
            attend = gradients(scaled_dot_product_attention)
            chosen.append(jax_contender("mmjax plain", attend, *ours))
        return chosen

    return contenders


CASES = {
    "4 x 8 x 512 x 64": case((4, 8, 512, 64), plain=True),
    "1 x 8 x 8192 x 64": case((1, 8, 8192, 64), plain=False),
}

if __name__ == "__main__":
    benchmark("Attention, forward and backward, float32", "torch SDPA", CASES)
