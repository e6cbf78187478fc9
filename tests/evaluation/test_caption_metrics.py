"""BLEU, ROUGE-L and CIDEr-D: the formulas word for word, sacrebleu and the COCO evaluation."""

import numpy as np
import pytest

from mmjax import formulas
from mmjax.evaluation.caption_metrics import bleu, cider_d, exact_match, rouge_l, word_f1
from mmjax.evaluation.caption_metrics.rouge import longest_common_subsequence

WORDS = tuple("a the red blue cat dog sits runs".split())


def draw_corpus(seed):
    """One to six candidates of 0 to 9 words, with one to four references each."""
    rng = np.random.default_rng(seed)
    size, alphabet = rng.integers(1, 7), WORDS[: rng.integers(1, 9)]
    text = lambda low: " ".join(rng.choice(alphabet, rng.integers(low, 10)))  # noqa: E731
    references = [[text(1) for _ in range(rng.integers(1, 5))] for _ in range(size)]
    copied = rng.random(size) < 0.3
    candidates = [group[0] if c else text(0) for c, group in zip(copied, references, strict=True)]
    return candidates, references


DEGENERATE = [
    ([""], [["a cat"]]),
    (["cat"], [["cat"]]),
    (["cat"], [["dog"]]),
    (["a red cat sits"], [["a red cat sits"]]),
    (["a red cat sits", "the dog"], [["a red cat sits"], ["the dog"]]),
    (["a red cat sits"], [["the blue dog runs"]]),
    (["a a a a a"], [["a cat"]]),
    (["a cat"], [["the dog runs", "x"]]),
    (["", ""], [["a"], ["b"]]),
    (["a cat sits the dog", "cat"], [["a cat sits", "a cat"], ["cat cat", "the cat runs"]]),
]
CORPORA = DEGENERATE + [draw_corpus(seed) for seed in range(300)]


def split(corpus):
    candidates, references = corpus
    return [c.split() for c in candidates], [[r.split() for r in g] for g in references]


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-9)


@pytest.mark.equation("5.1.17", "5.1.18", "5.1.19")
def test_bleu_is_the_formula():
    for corpus in CORPORA:
        close(bleu(*corpus), formulas.bleu(*split(corpus)))
        coco = formulas.bleu(*split(corpus), tiny=1e-15, small=1e-9)
        close(bleu(*corpus, smoothing="coco"), coco)


@pytest.mark.equation("5.1.20", "5.1.21")
def test_rouge_l_is_the_formula():
    for corpus in CORPORA[:120]:
        wanted = [formulas.rouge_l(*pair) for pair in zip(*split(corpus), strict=True)]
        close(rouge_l(*corpus), wanted)


@pytest.mark.equation("5.1.22", "5.1.23")
def test_cider_d_is_the_formula():
    for corpus in CORPORA:
        close(cider_d(*corpus), formulas.cider_d(*split(corpus)))


def test_bleu_agrees_with_sacrebleu():
    metrics = pytest.importorskip("sacrebleu.metrics")
    options = {"tokenize": "none", "smooth_method": "none", "force": True}
    peers = [metrics.BLEU(max_ngram_order=n, **options) for n in (1, 2, 3, 4)]
    for candidates, references in CORPORA:
        most = max(map(len, references))  # its streams of references may have holes
        streams = [[g[k] if k < len(g) else None for g in references] for k in range(most)]
        wanted = [peer.corpus_score(candidates, streams).score / 100 for peer in peers]
        np.testing.assert_allclose(bleu(candidates, references), wanted, rtol=0, atol=1e-6)


def test_all_three_agree_with_the_coco_evaluation():
    peer = pytest.importorskip("pycocoevalcap.bleu.bleu_scorer").BleuScorer
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
    cider = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    for candidates, references in CORPORA:
        scorer = peer(n=4)
        for pair in zip(candidates, references, strict=True):
            scorer += pair
        wanted, _ = scorer.compute_score(option="closest", verbose=0)
        ours = bleu(candidates, references, smoothing="coco")
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-6)
        own = dict(enumerate([c] for c in candidates))
        others = dict(enumerate(references))
        for metric, ours in ((rouge, rouge_l), (cider, cider_d)):
            _, wanted = metric.compute_score(others, own)
            found = ours(candidates, references)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_values_by_hand():
    # 5 words against 6: three of five words, one of four pairs; the shorter text pays e^(1 − 6/5).
    candidates, references = ["the cat the cat sat"], [["the cat sat on a mat"]]
    brevity = np.exp(1 - 6 / 5)
    close(
        bleu(candidates, references, orders=2), brevity * np.array([3 / 5, np.sqrt(3 / 5 * 2 / 4)])
    )
    close(rouge_l(["a b c d"], [["a c d e f"]]), 2.44 * 0.75 * 0.6 / (0.6 + 1.44 * 0.75))
    close(bleu(["a b"], [["a b c", "a"]], orders=1), [1.0])  # of 1 and 3 words, 1 is the shorter
    assert longest_common_subsequence("a b c d".split(), "b d a c".split()) == 2


def test_identical_captions_are_perfect_and_foreign_ones_worthless():
    texts = ["a red cat sits", "the blue dog runs"]
    references = [[text] for text in texts]
    close(bleu(texts, references), np.ones(4))
    close(rouge_l(texts, references), np.ones(2))
    close(cider_d(texts, references), np.full(2, 10.0))
    for metric in (bleu, rouge_l, cider_d, exact_match, word_f1):
        close(metric(["x y z w"] * 2, references), 0)


def test_exact_match_and_word_f1():
    candidates = ["a  cat", "cat a", "a a", "", ""]
    references = [["a cat"], ["a cat"], ["x", "a"], [""], ["a"]]
    assert exact_match(candidates, references).tolist() == [1, 0, 0, 1, 0]
    close(word_f1(candidates, references), [1, 1, 2 / 3, 1, 0])


@pytest.mark.parametrize("metric", [bleu, rouge_l, cider_d, exact_match, word_f1])
@pytest.mark.parametrize(
    ("candidates", "references", "error", "match"),
    [
        ("a cat", [["a cat"]], TypeError, "'candidates': expected a sequence"),
        (["a cat"], ["a cat"], TypeError, "'references': expected sequences"),
        (["a cat"], [["a"], ["b"]], ValueError, "'references': expected 1 seq.*got 2"),
        (["a cat"], [[]], ValueError, "'references': expected at least one each"),
        ([], [], ValueError, "'candidates': expected at least one"),
        ([3], [["a"]], TypeError, "'candidates': expected texts only, got 3"),
    ],
)
def test_bad_captions_are_refused(metric, candidates, references, error, match):
    with pytest.raises(error, match=match):
        metric(candidates, references)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="bleu: argument 'orders': expected at least 1, got 0"):
        bleu(["a"], [["a"]], orders=0)
    with pytest.raises(ValueError, match="'smoothing': expected one of 'none', 'coco'"):
        bleu(["a"], [["a"]], smoothing="exp")
