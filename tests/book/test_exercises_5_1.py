"""The exercises of section 5.1: the notebook's checks accept the solutions, and only those."""

import numpy as np
import pytest

from mmjax import formulas

NAMES = {1: "my_loss", 2: "my_nucleus", 3: "my_beam_step", 4: "my_bleu_2"}


@pytest.fixture
def notebook(exercises):
    return exercises("5_1_image_captioning", "section_5_1")


def token_costs(z, targets):
    log_p = np.log(formulas.softmax(z))
    return -np.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]


def mean_of_means(z, targets, counts):
    return ((token_costs(z, targets) * counts).sum(1) / counts.sum(1)).mean()


def nucleus_without_the_word_that_crosses(probabilities, p):
    order = np.argsort(-probabilities)
    stay = order[np.cumsum(probabilities[order]) <= p]
    kept = np.zeros_like(probabilities)
    kept[stay] = probabilities[stay]
    return kept / max(kept.sum(), 1e-9)


def nucleus_not_renormalised(probabilities, p):
    stay = formulas.nucleus_set(np.log(probabilities), p)
    return np.array([q if v in stay else 0.0 for v, q in enumerate(probabilities)])


def beams_apart(total, ended, log_p):
    """Every beginning keeps its own best word."""
    words = np.where(ended, 0, log_p.argmax(1))
    return np.arange(len(total)), words, total + np.where(ended, 0, log_p.max(1))


def beams_that_never_end(total, ended, log_p):
    reached = (total[:, None] + log_p).ravel()
    best = np.argsort(-reached)[: len(total)]
    return best // log_p.shape[1], best % log_p.shape[1], reached[best]


def bleu_of(candidates, references, *, brevity=True, clip=True):
    candidates = [c.split() for c in candidates]
    references = [[r.split() for r in group] for group in references]
    if not clip:
        hits = [[0, 0], [0, 0]]
        for words, group in zip(candidates, references, strict=True):
            for n in (1, 2):
                grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
                known = {tuple(t[i : i + n]) for t in group for i in range(len(t) - n + 1)}
                hits[0][n - 1] += sum(g in known for g in grams)
                hits[1][n - 1] += len(grams)
        return float(np.sqrt(np.prod(np.divide(*hits))))
    value = formulas.bleu(candidates, references, 2)[1]
    if brevity:
        return value
    c = sum(map(len, candidates))
    r = sum(
        min((abs(len(t) - len(w)), len(t)) for t in g)[1]
        for w, g in zip(candidates, references, strict=True)
    )
    return value / min(1, np.exp(1 - r / c))


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, lambda z, targets, counts: token_costs(z, targets).mean()),  # padding counts
        (1, mean_of_means),
        (2, nucleus_without_the_word_that_crosses),
        (2, nucleus_not_renormalised),
        (3, beams_apart),
        (3, beams_that_never_end),
        (4, lambda c, r: bleu_of(c, r, brevity=False)),
        (4, lambda c, r: bleu_of(c, r, clip=False)),
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line
