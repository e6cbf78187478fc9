"""Which choices help CLIP to name unseen characters? A short training for each, one table.

    python benchmarks/clip_choices.py                      every choice, a minute or two each
    python benchmarks/clip_choices.py recipe words         those that begin so
    python benchmarks/clip_choices.py batch --seeds 0 1 2  mean and standard deviation of three
    python benchmarks/clip_choices.py recipe --test --examples 153600 --seeds 1 2

Each row changes one thing of `recipe`, or the two that it names, and sees as many examples. All
figures are over the pictures of 500 characters that no row has trained on, which choose among their
500 names. They are those of `validation_split`, unless `--test` asks for the ones that a result is
reported on: that is for the one recipe that was chosen.
"""

import argparse
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.data import load_glyphs, split_glyphs, validation_split
from mmjax.evaluation import encode_in_batches, recall_at_k, zero_shot_scores
from mmjax.modalities import BytePairVocabulary, WordVocabulary
from mmjax.models.clip import CLIP, CLIPConfig
from mmjax.models.encoders import ImageEncoderConfig, TextEncoderConfig
from mmjax.training import adamw, contrastive_loss, fit, muon, one_of_each, to_unit_range

FIGURES = ("top-1", "top-10", "image to text @10", "text to image @10")


@dataclass(frozen=True)
class Choice:
    """One recipe; the defaults are those of the notebook."""

    examples: int = 64_000
    batch: int = 256
    one_of_each: bool = True  # each character once an epoch; False: each picture
    muon: bool = True  # False: AdamW
    merges: int = 800  # of the byte-pair encoding; 0 for whole words
    length: int = 12
    patch: int = 8
    shift: int = 0
    width: int = 128
    heads: int = 2
    image_layers: int = 3
    text_layers: int = 1
    learning_rate: float = 0.02  # the peak; Adam's part of Muon has 2e-3


CHOICES = {
    "recipe": Choice(),
    "AdamW in place of Muon": Choice(muon=False, learning_rate=2e-3),
    "AdamW and two layers": Choice(muon=False, learning_rate=2e-3, text_layers=2),
    "every picture once an epoch": Choice(one_of_each=False),
    "two layers for the names": Choice(text_layers=2),
    "whole words as tokens": Choice(merges=0, length=10),
    "400 merges": Choice(merges=400, length=16),  # short parts, so more of them a name
    "twice the learning rate": Choice(learning_rate=0.04),
    "batch 64": Choice(batch=64),
    "batch 128": Choice(batch=128),
    "batch 512": Choice(batch=512),
}


@nnx.jit
def encode_image(model: CLIP, images):
    return model.encode_image(to_unit_range(images))


@nnx.jit
def encode_text(model: CLIP, tokens, real):
    return model.encode_text(tokens, real)


def clip_of(choice: Choice, vocabulary: int, seed: int) -> CLIP:
    """The untrained model of a recipe."""

    def stack(layers):
        return TransformerConfig(layers, choice.width, choice.heads, unroll=layers)

    image = ImageEncoderConfig(32, 1, choice.patch, stack(choice.image_layers))
    text = TextEncoderConfig(vocabulary, choice.length, stack(choice.text_layers))
    return CLIP(CLIPConfig(image, text), rngs=nnx.Rngs(seed))


def train(choice: Choice, glyphs, split, seed: int) -> tuple[list[float], float]:
    """Trains one recipe and returns its figures and its examples a second."""
    labels = glyphs.labels[split.train]
    names = [glyphs.names[label] for label in np.unique(labels)]
    if choice.merges:
        vocabulary = BytePairVocabulary.train(names, choice.merges)
    else:
        vocabulary = WordVocabulary.from_texts(names)
    tokens, real = vocabulary.encode(glyphs.names, choice.length, on_overflow="truncate")
    data = {"image": glyphs.images[split.train], "label": labels}
    data |= {"tokens": tokens[labels], "real": real[labels]}
    sampler = one_of_each(labels, choice.batch, seed=seed) if choice.one_of_each else None
    steps = choice.examples // choice.batch // 10 * 10
    model, history = fit(
        clip_of(choice, vocabulary.size, seed),
        contrastive_loss(shift=choice.shift),
        data,
        (muon if choice.muon else adamw)(choice.learning_rate, steps),
        steps=steps,
        batch_size=choice.batch,
        seed=seed,
        sampler=sampler,
        progress=False,
    )
    candidates = split.candidates
    texts = encode_in_batches(partial(encode_text, model), tokens[candidates], real[candidates])
    return figures(model, texts, glyphs, split), history.speed


def figures(model: CLIP, texts: np.ndarray, glyphs, split) -> list[float]:
    """`FIGURES`: the first two over all pictures, the others with one picture a character."""
    queries, candidates = split.unseen_characters, split.candidates
    pictures = encode_in_batches(partial(encode_image, model), glyphs.images[queries])
    scores = zero_shot_scores(pictures, texts)
    targets = np.searchsorted(candidates, glyphs.labels[queries])
    one = np.searchsorted(queries, split.canonical)
    square = scores[one[np.argsort(targets[one])]]  # row n and column n belong together
    order = np.arange(len(candidates))
    return [
        recall_at_k(scores, targets, 1),
        recall_at_k(scores, targets, 10),
        recall_at_k(square, order, 10),
        recall_at_k(square.T, order, 10),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="beginnings of names of choices")
    parser.add_argument("--examples", type=int, default=Choice.examples)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--test", action="store_true", help="the split that results are for")
    options = parser.parse_args()
    glyphs = load_glyphs()
    split = split_glyphs(glyphs) if options.test else validation_split(glyphs)
    print(f"| choice | {' | '.join(FIGURES)} | examples/s |", flush=True)
    print("|---" * (len(FIGURES) + 2) + "|", flush=True)
    for name, choice in CHOICES.items():
        if options.names and not any(name.startswith(wanted) for wanted in options.names):
            continue
        choice = replace(choice, examples=options.examples)
        runs = [train(choice, glyphs, split, seed) for seed in options.seeds]
        rows = np.array([row for row, _ in runs])
        cells = [f"{mean:.1%}" for mean in rows.mean(axis=0)]
        if len(rows) > 1:
            spread = rows.std(axis=0, ddof=1)
            cells = [f"{cell} ± {s:.1%}" for cell, s in zip(cells, spread, strict=True)]
        speed = np.mean([speed for _, speed in runs])
        print(f"| {name} | {' | '.join(cells)} | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
