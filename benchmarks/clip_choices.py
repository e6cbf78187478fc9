"""Which choices help CLIP to name unseen characters? One short training for each, one table.

    python benchmarks/clip_choices.py                 every choice, about two minutes each
    python benchmarks/clip_choices.py plain words     some of them

Each row changes one thing of `plain` and sees as many examples. The share of right first names
(top-1) and of right names among ten (top-10) is over all pictures of the 500 held-out characters.
"""

import argparse
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.data.glyph_splits import split_glyphs
from mmjax.data.glyphs import load_glyphs
from mmjax.evaluation import encode_in_batches, recall_at_k, zero_shot_scores
from mmjax.modalities import BytePairVocabulary, WordVocabulary
from mmjax.models.clip import CLIP, CLIPConfig
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig
from mmjax.training import adamw, contrastive_loss, fit, to_unit_range


@dataclass(frozen=True)
class Choice:
    """One recipe; the defaults are `plain`."""

    examples: int = 128_000
    batch: int = 256
    merges: int = 800  # of the byte-pair encoding; 0 for whole words
    length: int = 16
    patch: int = 8
    shift: int = 0
    image_width: int = 128
    image_layers: int = 3
    text_width: int = 128
    text_layers: int = 2
    learning_rate: float = 2e-3
    seed: int = 0


CHOICES = {
    "plain": Choice(),
    "seed 1": Choice(seed=1),
    "pictures move by up to 2 pixels": Choice(shift=2),
    "whole words as tokens": Choice(merges=0),
    "300 merges": Choice(merges=300, length=20),
    "learning rate 4e-3": Choice(learning_rate=4e-3),
    "patches of 4 pixels, width 96": Choice(patch=4, image_width=96),
    "batch 512": Choice(batch=512),
}


@nnx.jit
def encode_image(model: CLIP, images):
    return model.encode_image(to_unit_range(images))


@nnx.jit
def encode_text(model: CLIP, tokens, real):
    return model.encode_text(tokens, real)


def train(choice: Choice, glyphs, split) -> dict[str, float]:
    """Trains one recipe and returns its figures."""
    train_names = [glyphs.names[label] for label in np.unique(glyphs.labels[split.train])]
    if choice.merges:
        vocabulary = BytePairVocabulary.train(train_names, choice.merges)
    else:
        vocabulary = WordVocabulary.from_texts(train_names)
    tokens, real = vocabulary.encode(glyphs.names, choice.length, on_overflow="truncate")

    def stack(layers, width):
        return TransformerConfig(layers, width, width // 32, unroll=layers)

    config = CLIPConfig(
        ImageEncoderConfig(32, 1, choice.patch, stack(choice.image_layers, choice.image_width)),
        TextEncoderConfig(
            vocabulary.size, choice.length, stack(choice.text_layers, choice.text_width)
        ),
    )
    labels = glyphs.labels[split.train]
    data = {"image": glyphs.images[split.train], "label": labels}
    data |= {"tokens": tokens[labels], "real": real[labels]}
    steps = choice.examples // choice.batch // 10 * 10
    optimizer = adamw(choice.learning_rate, steps, warmup=steps // 10)
    model, history = fit(
        CLIP(config, rngs=nnx.Rngs(choice.seed)),
        contrastive_loss(shift=choice.shift),
        data,
        optimizer,
        steps=steps,
        batch_size=choice.batch,
        seed=choice.seed,
        progress=False,
    )
    candidates, queries = split.candidates, split.unseen_characters
    texts = encode_in_batches(partial(encode_text, model), tokens[candidates], real[candidates])
    pictures = encode_in_batches(partial(encode_image, model), glyphs.images[queries])
    scores = zero_shot_scores(pictures, texts)
    targets = np.searchsorted(candidates, glyphs.labels[queries])
    return {
        "top-1": recall_at_k(scores, targets, 1),
        "top-10": recall_at_k(scores, targets, 10),
        "speed": history.speed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of names of choices")
    parser.add_argument("--examples", type=int, default=Choice.examples)
    options = parser.parse_args()
    glyphs = load_glyphs()
    split = split_glyphs(glyphs)
    print("| choice | top-1 | top-10 | examples/s |\n|---|---|---|---|", flush=True)
    for name, choice in CHOICES.items():
        if options.names and not any(name.startswith(wanted) for wanted in options.names):
            continue
        figures = train(replace(choice, examples=options.examples), glyphs, split)
        row = f"| {name} | {figures['top-1']:.1%} | {figures['top-10']:.1%} "
        print(f"{row}| {figures['speed']:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
