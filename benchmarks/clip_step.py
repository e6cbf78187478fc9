"""A training step of CLIP, ours and the peers': python benchmarks/clip_step.py

Everybody trains the same sizes on the same pairs: 4 + 4 layers of width 128, exact GELU, the
symmetric loss with a learned scale, the gradient clipped at norm 1, AdamW. The peers read a class
token beside the 16 patches, so our texts are one token longer than theirs: 33 tokens a pair for
everybody. A time is that of ten steps.
"""

import importlib.util
import sys
import time
import types

import jax
import numpy as np
import torch
import transformers
from flax import nnx
from harness import Contender, benchmark

from mmjax.attention import TransformerConfig
from mmjax.losses import clip_loss
from mmjax.measure import matrix_flops
from mmjax.models.clip import CLIP, CLIPConfig
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig
from mmjax.training import adamw, init_state, make_train_step, make_train_steps

BATCH, STEPS = 256, 10
LAYERS, WIDTH, HEADS, EMBEDDING = 4, 128, 4, 128
IMAGE, CHANNELS, PATCH = 32, 3, 8  # open_clip reads colour images only
VOCABULARY, LENGTH = 2000, 16
RATE, DECAY = 1e-3, 0.05


def draw_pairs(length: int) -> dict[str, np.ndarray]:
    """Ten batches: images [10, B, 32, 32, C], tokens and their mask [10, B, T]."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, VOCABULARY - 1, (STEPS, BATCH, length))
    real = np.arange(length) < rng.integers(4, length, (STEPS, BATCH))[..., None]
    tokens[..., -1] = VOCABULARY - 1  # open_clip reads the vector of the highest token
    return {
        "images": rng.random((STEPS, BATCH, IMAGE, IMAGE, CHANNELS), np.float32),
        "tokens": tokens.astype(np.int32),
        "real": real,
    }


def loss(model, batch, key):
    return clip_loss(*model(batch["images"], batch["tokens"], batch["real"]))


def our_model(width: int = WIDTH) -> CLIP:
    sizes = TransformerConfig(layers=LAYERS, width=width, heads=HEADS, unroll=LAYERS)
    image = ImageEncoderConfig(IMAGE, CHANNELS, PATCH, sizes)
    text = TextEncoderConfig(VOCABULARY, LENGTH + 1, sizes)
    return CLIP(CLIPConfig(image, text, EMBEDDING), rngs=nnx.Rngs(0))


def mmjax_contenders() -> list[Contender]:
    model, optimizer, key = our_model(), adamw(RATE, 10**6, weight_decay=DECAY), jax.random.key(0)
    batches = jax.device_put(draw_pairs(LENGTH + 1))
    single = [jax.tree.map(lambda x, k=k: x[k], batches) for k in range(STEPS)]
    together = make_train_steps(model, loss, optimizer)
    step = make_train_step(model, loss, optimizer)
    states = {"one": init_state(model, optimizer), "ten": init_state(model, optimizer)}
    compiled = together.lower(states["ten"], batches, key).compile()
    flops = matrix_flops(together, states["ten"], batches, key)

    def ten():
        states["ten"], _ = compiled(states["ten"], batches, key)
        jax.block_until_ready(states["ten"])

    def one():
        for batch in single:
            states["one"], metrics = step(states["one"], batch, key)
            jax.block_until_ready(metrics)

    return [
        Contender("mmjax, ten steps in one call", ten, compiled, flops),
        Contender("mmjax, step by step", one),
    ]


def torch_contender(name: str, model: torch.nn.Module, loss_of) -> Contender:
    """Ten steps of PyTorch; norms, biases, embeddings and the scale do not decay, as in ours."""
    decayed = [p for n, p in model.named_parameters() if p.ndim == 2 and "embedding" not in n]
    ids = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in ids]
    groups = [{"params": decayed}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, RATE, (0.9, 0.98), weight_decay=DECAY, fused=True)
    pairs = draw_pairs(LENGTH)
    batches = [
        {
            "images": torch.tensor(np.ascontiguousarray(np.moveaxis(pairs["images"][k], -1, 1))),
            "tokens": torch.tensor(pairs["tokens"][k].astype(np.int64)),
            "real": torch.tensor(pairs["real"][k].astype(np.int64)),
        }
        for k in range(STEPS)
    ]

    def run():
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            loss_of(model, batch).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return Contender(name, run)


def transformers_model() -> transformers.CLIPModel:
    sizes = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "hidden_act": "gelu",
    }
    text = {"vocab_size": VOCABULARY, "max_position_embeddings": LENGTH}
    text |= {"bos_token_id": 0, "eos_token_id": VOCABULARY - 1}
    image = {"image_size": IMAGE, "patch_size": PATCH, "num_channels": CHANNELS}
    config = transformers.CLIPConfig(
        text_config=sizes | text, vision_config=sizes | image, projection_dim=EMBEDDING
    )
    return transformers.CLIPModel(config).train()


def transformers_loss(model, batch):
    return model(
        input_ids=batch["tokens"],
        attention_mask=batch["real"],
        pixel_values=batch["images"],
        return_loss=True,
    ).loss


def open_clip_model() -> torch.nn.Module:
    """open_clip's CLIP without torchvision, of which there is no build for every PyTorch.

    The model needs one class of it, for frozen batch norms that a Transformer does not have: a
    stand-in takes its place. The package's own first lines import image transforms and are left
    out. What is timed is open_clip's code, unchanged.
    """
    stand_in = types.ModuleType("torchvision.ops.misc")
    stand_in.FrozenBatchNorm2d = torch.nn.BatchNorm2d
    package = types.ModuleType("open_clip")
    package.__path__ = importlib.util.find_spec("open_clip").submodule_search_locations
    sys.modules |= {"torchvision.ops.misc": stand_in, "open_clip": package}
    from open_clip.model import CLIP as OpenCLIP

    image = {"layers": LAYERS, "width": WIDTH, "head_width": WIDTH // HEADS}
    image |= {"image_size": IMAGE, "patch_size": PATCH}
    text = {"layers": LAYERS, "width": WIDTH, "heads": HEADS}
    text |= {"context_length": LENGTH, "vocab_size": VOCABULARY}
    return OpenCLIP(EMBEDDING, image, text).train()


def open_clip_loss(model, batch):
    """open_clip's ClipLoss on one device."""
    images, texts, scale = model(batch["images"], batch["tokens"])
    logits = scale * images @ texts.T
    labels = torch.arange(len(logits))
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2


def contenders() -> list[Contender]:
    return [
        torch_contender("transformers", transformers_model(), transformers_loss),
        torch_contender("open_clip", open_clip_model(), open_clip_loss),
        *mmjax_contenders(),
    ]


def with_torch_compile() -> list[Contender]:
    compiled = torch.compile(transformers_model())
    return [
        torch_contender("transformers", transformers_model(), transformers_loss),
        torch_contender("transformers, torch.compile", compiled, transformers_loss),
        mmjax_contenders()[0],
    ]


def python_of_a_step(calls: int = 200) -> float:
    """Milliseconds of the calling thread for a step of a model whose arithmetic takes no time."""
    model, optimizer, key = our_model(width=HEADS), adamw(RATE, 10**6), jax.random.key(0)
    step, state = make_train_step(model, loss, optimizer), init_state(model, optimizer)
    batch = jax.device_put(jax.tree.map(lambda x: x[0, :1], draw_pairs(LENGTH + 1)))
    times = []
    for _ in range(calls):
        start = time.thread_time()
        state, metrics = step(state, batch, key)
        times.append(time.thread_time() - start)
        jax.block_until_ready((state, metrics))
    return 1e3 * float(np.median(times))


if __name__ == "__main__":
    sizes = f"{BATCH} pairs, {LAYERS} + {LAYERS} layers, width {WIDTH}, {STEPS} steps"
    cases = {sizes: contenders, f"{sizes}, torch.compile": with_torch_compile}
    benchmark("CLIP train step, float32", "transformers", cases)
    if "--memory" not in sys.argv:
        print(f"\nPython's share of a step called singly: {python_of_a_step():.2f} ms")
