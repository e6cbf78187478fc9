"""CLIP's loss with its gradients, against torch: python benchmarks/info_nce.py"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import torch
from harness import Contender, benchmark, jax_contender

from mmjax.losses import blockwise_clip_loss, clip_loss

SCALE = math.log(1 / 0.07)


def arrays(pairs, width):
    rng = np.random.default_rng(0)
    both = (rng.standard_normal((pairs, width)).astype(np.float32) for _ in range(2))
    return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in both]


def torch_contender(images, texts):
    """The formula of open_clip: cross-entropy of the logits along both axes."""
    leaves = [torch.tensor(x, requires_grad=True) for x in (images, texts, np.float32(SCALE))]
    labels = torch.arange(len(images))
    cross_entropy = torch.nn.functional.cross_entropy

    def run():
        image, text, scale = leaves
        logits = scale.exp() * image @ text.T
        loss = (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2
        torch.autograd.grad(loss, leaves)

    return Contender("torch", run)


def case(pairs, whole):
    def contenders():
        data = arrays(pairs, 512)
        ours = [jnp.asarray(x) for x in (*data, np.float32(SCALE))]
        chosen = [torch_contender(*data)]
        losses = {"mmjax blockwise": blockwise_clip_loss}
        if whole:
            losses["mmjax whole"] = clip_loss
        for name, loss in losses.items():
            chosen.append(jax_contender(name, jax.value_and_grad(loss, (0, 1, 2)), *ours))
        return chosen

    return contenders


CASES = {
    "N = 2048, E = 512": case(2048, whole=True),
    "N = 16384, E = 512": case(16384, whole=True),
}

if __name__ == "__main__":
    benchmark("CLIP's loss and its gradients, float32", "torch", CASES)
