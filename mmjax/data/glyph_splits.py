"""What a model may see of the glyphs, what it is asked, and the best answer that is possible."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmjax.checks import require, require_one_of
from mmjax.data.glyphs import Glyphs

TEST_CHARACTERS = 500
"""Characters held out for the test; no split for choices may look at them."""


@dataclass(frozen=True)
class GlyphSplit:
    """Indices into the images of `Glyphs` (int32, ascending); the first four share no image.

    Attributes:
        train: characters that are not held out, in faces that are not held out.
        unseen_characters: held-out characters in the faces of `train`. The headline figure of
            zero-shot naming is the mean over all of these, with `candidates` as the choice.
        unseen_faces: characters of `train`, in held-out faces.
        unseen_both: held-out characters in held-out faces.
        canonical: one image for each held-out character, a part of `unseen_characters`: DejaVu Sans
            where that face has it, else the first face that does. Every character counts once.
        candidates: labels (indices into `names`) of the held-out characters, ascending.
    """

    train: np.ndarray
    unseen_characters: np.ndarray
    unseen_faces: np.ndarray
    unseen_both: np.ndarray
    canonical: np.ndarray
    candidates: np.ndarray


def split_glyphs(
    glyphs: Glyphs,
    *,
    held_out_characters: int = TEST_CHARACTERS,
    reserved_characters: int = 0,
    held_out_faces: Sequence[str] = ("DejaVuSansMono-Oblique",),
    seed: int = 0,
) -> GlyphSplit:
    """Divides the glyphs into what is trained on and three kinds of the unseen.

    Characters are ranked by the SHA-256 digest of "seed name" and the first ones are held out. A
    digest is the same on every platform and in every version of NumPy, which promises that for no
    stream of random numbers; and a character more or less changes no other character's rank.
    The face held out by default has no character of its own, so the held-out characters are the
    same with and without it. Characters of held-out faces alone are in no part.

    The first `reserved_characters` of the ranking are in no part either, and the held-out ones are
    those after them. `validation_split` uses this.

    Raises:
        ValueError: for an unknown face, no face left for training, or a number of held-out
            characters that leaves nothing on one of the two sides.
    """
    for face in held_out_faces:
        require_one_of(face, glyphs.face_names, "split_glyphs", "held_out_faces")
    face_is_held = np.isin(glyphs.face_names, list(held_out_faces))
    left = int((~face_is_held).sum())
    require(
        left > 0, "split_glyphs", "held_out_faces", expected="a face left to train on", got=left
    )
    in_held_face = face_is_held[glyphs.faces]
    known = np.unique(glyphs.labels[~in_held_face])  # the characters of the training faces
    require(
        0 <= reserved_characters < len(known) - 1,
        "split_glyphs",
        "reserved_characters",
        expected=f"between 0 and {len(known) - 2}",
        got=reserved_characters,
    )
    ranked = sorted(known, key=lambda label: _digest(seed, glyphs.names[label]))
    known = np.sort(np.array(ranked[reserved_characters:], np.int32))
    require(
        0 < held_out_characters < len(known),
        "split_glyphs",
        "held_out_characters",
        expected=f"between 1 and {len(known) - 1}",
        got=held_out_characters,
    )
    candidates = np.sort(np.array(ranked[reserved_characters:][:held_out_characters], np.int32))
    held = np.isin(glyphs.labels, candidates)
    trained = np.isin(glyphs.labels, np.setdiff1d(known, candidates))
    unseen_characters = _indices(held & ~in_held_face)
    # Images are ordered by face, so the first image of a label is in the first face that has it.
    _, first = np.unique(glyphs.labels[unseen_characters], return_index=True)
    return GlyphSplit(
        train=_indices(trained & ~in_held_face),
        unseen_characters=unseen_characters,
        unseen_faces=_indices(
            np.isin(glyphs.labels, np.setdiff1d(known, candidates)) & in_held_face
        ),
        unseen_both=_indices(held & in_held_face),
        canonical=np.sort(unseen_characters[first]),
        candidates=candidates,
    )


def validation_split(glyphs: Glyphs, *, characters: int = 500) -> GlyphSplit:
    """A split for choosing a recipe: as `split_glyphs`, with other characters held out.

    The 500 characters that `split_glyphs` holds out are in no part of it, so whatever is chosen by
    its figures has never looked at them. `characters` others are held out of what is left. After
    the choice, train on `split_glyphs(glyphs).train` and test once.
    """
    return split_glyphs(glyphs, held_out_characters=characters, reserved_characters=TEST_CHARACTERS)


def _digest(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def _indices(chosen: np.ndarray) -> np.ndarray:
    return np.flatnonzero(chosen).astype(np.int32)


@dataclass(frozen=True)
class Ceiling:
    """The best that any model could reach, and how hard the names are.

    Attributes:
        top_1, top_10: highest possible accuracy over `unseen_characters`.
        canonical_top_1, canonical_top_10: the same over `canonical`.
        look_alikes: groups of held-out names that share at least one picture.
        names_of_seen_words: how many held-out names consist of words that all occur in training
            names. A model with one token a word has never met some word of each other name.
        seen_words_top_1, canonical_seen_words_top_1: highest possible accuracy of a model that
            never gives one of those other names. No bound for all models: a name can be found by
            its other words, or by parts of a word.
    """

    top_1: float
    top_10: float
    canonical_top_1: float
    canonical_top_10: float
    look_alikes: tuple[tuple[str, ...], ...]
    names_of_seen_words: int
    seen_words_top_1: float
    canonical_seen_words_top_1: float


def ceiling(glyphs: Glyphs, split: GlyphSplit) -> Ceiling:
    """Computes the ceiling of zero-shot naming among the held-out names, from pictures alone.

    Some characters are drawn alike in every pixel (LATIN CAPITAL LETTER A, GREEK CAPITAL LETTER
    ALPHA), and whoever sees only the picture can do no better than to give the name most frequent
    among the queries with that picture:

        top_k = (1 / N) sum over pictures p of (the k largest of count(p, name), summed)

    with N query images. Pictures that differ in a single grey level count as different, so the
    true ceiling of a model that sees a little less sharply is lower.
    """
    seen = names_of_seen_words(glyphs, split)
    given = split.candidates[seen]
    return Ceiling(
        top_1=picture_ceiling(glyphs, split.unseen_characters, 1),
        top_10=picture_ceiling(glyphs, split.unseen_characters, 10),
        canonical_top_1=picture_ceiling(glyphs, split.canonical, 1),
        canonical_top_10=picture_ceiling(glyphs, split.canonical, 10),
        look_alikes=look_alikes(glyphs, split.unseen_characters),
        names_of_seen_words=int(seen.sum()),
        seen_words_top_1=picture_ceiling(glyphs, split.unseen_characters, 1, given),
        canonical_seen_words_top_1=picture_ceiling(glyphs, split.canonical, 1, given),
    )


def picture_ceiling(
    glyphs: Glyphs, queries: np.ndarray, k: int = 1, answers: np.ndarray | None = None
) -> float:
    """Highest possible top-k accuracy over the images `queries`; see `ceiling`.

    With `answers`, of a model that gives no label but these.
    """
    require(len(queries) > 0, "picture_ceiling", "queries", expected="an image", got=queries)
    require(k > 0, "picture_ceiling", "k", expected="at least 1", got=k)
    groups = _labels_by_picture(glyphs, queries)
    if answers is not None:
        given = set(answers.tolist())
        groups = [Counter({i: n for i, n in group.items() if i in given}) for group in groups]
    right = sum(count for labels in groups for _, count in labels.most_common(k))
    return right / len(queries)


def look_alikes(glyphs: Glyphs, queries: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Groups of names that share a picture among the images `queries`, each sorted."""
    groups = {tuple(sorted(labels)) for labels in _labels_by_picture(glyphs, queries)}
    return tuple(
        tuple(glyphs.names[label] for label in group) for group in sorted(groups) if len(group) > 1
    )


def names_of_seen_words(glyphs: Glyphs, split: GlyphSplit) -> np.ndarray:
    """bool [held-out characters]: every word of the candidate's name occurs in a training name."""
    training = np.unique(glyphs.labels[split.train])
    words = {word for label in training for word in glyphs.names[label].split()}
    return np.array([words.issuperset(glyphs.names[label].split()) for label in split.candidates])


def _labels_by_picture(glyphs: Glyphs, queries: np.ndarray) -> list[Counter[int]]:
    """For each distinct picture, how often each label has it."""
    groups: dict[bytes, Counter[int]] = defaultdict(Counter)
    for image, label in zip(glyphs.images[queries], glyphs.labels[queries], strict=True):
        groups[image.tobytes()][int(label)] += 1
    return list(groups.values())
