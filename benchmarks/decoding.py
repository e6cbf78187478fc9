"""Greedy decoding, ours and transformers' `generate`: python benchmarks/decoding.py

Everybody writes 64 words after 16 image tokens with 4 layers of width 128, 4 heads, a hidden width
of 512 and a vocabulary of 1,000. Ours is the prefix form. The peer is a GPT-2 of the same sizes; it
gets 16 vectors as `inputs_embeds`, and its head is tied, too. No text ends early: there is no end
token. A time is that of all words, the reading of the picture included.
"""

import jax
import numpy as np
import torch
import transformers
from flax import nnx
from harness import Contender, benchmark

from mmjax.attention import TransformerConfig
from mmjax.evaluation.decoding import Specials, generate
from mmjax.models.prefix_captioner import PrefixCaptioner, PrefixCaptionerConfig

LAYERS, WIDTH, HEADS, VOCABULARY = 4, 128, 4, 1000
PREFIX, WORDS = 16, 64
NEVER = Specials(pad=0, start=1, end=VOCABULARY)  # no token has this number


def ours(batch: int) -> Contender:
    sizes = TransformerConfig(layers=LAYERS, width=WIDTH, heads=HEADS)
    config = PrefixCaptionerConfig(WIDTH, PREFIX, VOCABULARY, WORDS + 1, sizes)
    graph, state = nnx.split(PrefixCaptioner(config, rngs=nnx.Rngs(0)))

    def write(state, images):
        model = nnx.merge(graph, state)
        begin = model.start(images, WORDS + 1)
        return generate(model.step, begin, batch, WORDS + 1, specials=NEVER).tokens

    images = jax.random.normal(jax.random.key(0), (batch, PREFIX, WIDTH))
    compiled = jax.jit(write).lower(state, images).compile()
    assert (np.asarray(compiled(state, images))[:, 1:] > 1).all()

    def run():
        jax.block_until_ready(compiled(state, images))

    return Contender("mmjax", run, compiled)


def peer(batch: int) -> Contender:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=PREFIX + WORDS + 1,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=1,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    images = torch.randn(batch, PREFIX, WIDTH)
    options = {"max_new_tokens": WORDS, "do_sample": False}

    def run():
        with torch.inference_mode():
            mask = torch.ones(images.shape[:2], dtype=torch.long)
            out = model.generate(inputs_embeds=images, attention_mask=mask, **options)
        assert out.shape == (batch, WORDS)

    return Contender("transformers", run)


def cases(batch: int):
    return lambda: [peer(batch), ours(batch)]


if __name__ == "__main__":
    title = f"Greedy decoding of {WORDS} words, float32"
    names = {f"batch {n}": cases(n) for n in (1, 8, 32)}
    benchmark(title, "transformers", names)
