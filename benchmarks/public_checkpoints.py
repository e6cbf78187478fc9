"""Published CLIP shapes beside transformers: python benchmarks/public_checkpoints.py

transformers makes a model of the real shape with random weights and saves it; ours loads the file.
Both see the same images and tokens. The table shows the largest absolute difference in float32.
The weights are random because the differences come from the shapes, and nothing is downloaded.
Ends with an error where a difference is above 1e-4.
"""

import sys
import tempfile
import time

import jax.numpy as jnp
import numpy as np
import torch
import transformers
from flax import nnx

from mmjax.pretrained import load_pretrained

PAIRS = 4
LIMIT = 1e-4


def clip(width, layers, patch, text_width, embedding):
    vision = {"hidden_size": width, "num_hidden_layers": layers, "patch_size": patch}
    vision |= {"num_attention_heads": width // 64, "intermediate_size": 4 * width}
    text = {"hidden_size": text_width, "num_attention_heads": text_width // 64}
    text |= {"intermediate_size": 4 * text_width, "num_hidden_layers": 12, "eos_token_id": 2}
    sizes = {"projection_dim": embedding}
    config = transformers.CLIPConfig(vision_config=vision, text_config=text, **sizes)
    return transformers.CLIPModel(config)


MODELS = {
    "CLIP ViT-B/32": lambda: clip(768, 12, 32, 512, 512),
    "CLIP ViT-B/16": lambda: clip(768, 12, 16, 512, 512),
    "CLIP ViT-L/14": lambda: clip(1024, 24, 14, 768, 768),
    "SigLIP base, patch 16": lambda: transformers.SiglipModel(transformers.SiglipConfig()),
}


def compare(make):
    """Largest differences of image features, text features and logits; parameters; seconds."""
    torch.manual_seed(0)
    theirs, rng = make().eval(), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder, safe_serialization=True, max_shard_size="200MB")
        start = time.perf_counter()
        ours = load_pretrained(folder)
        seconds = time.perf_counter() - start
    side, length = ours.config.image_size, ours.config.length
    images = rng.normal(size=(PAIRS, side, side, 3)).astype(np.float32)
    tokens = rng.integers(0, ours.config.vocabulary, (PAIRS, length)).astype(np.int32)
    with torch.no_grad():
        pixels = torch.tensor(images.transpose(0, 3, 1, 2))
        out = theirs(pixel_values=pixels, input_ids=torch.tensor(tokens).long())
    expected = (out.image_embeds, out.text_embeds, out.logits_per_image)

    @nnx.jit
    def run(model, images, tokens):
        return model.encode_image(images), model.encode_text(tokens), model(images, tokens)

    found = run(ours, jnp.asarray(images), jnp.asarray(tokens))
    differences = [np.abs(a - b.numpy()).max() for a, b in zip(found, expected, strict=True)]
    return differences, sum(p.numel() for p in theirs.parameters()), seconds


if __name__ == "__main__":
    print(f"torch {torch.__version__}, transformers {transformers.__version__}\n")
    print("| model | parameters | loaded in | image features | text features | logits |")
    print("|---|---:|---:|---:|---:|---:|")
    worst = 0.0
    for name, make in MODELS.items():
        (image, text, logits), count, seconds = compare(make)
        worst = max(worst, image, text, logits)
        size = f"{count / 1e6:.0f} M | {seconds:.1f} s"
        print(f"| {name} | {size} | {image:.1e} | {text:.1e} | {logits:.1e} |", flush=True)
    sys.exit(f"a difference of {worst:.1e} is above {LIMIT:.0e}" if not worst <= LIMIT else 0)
