"""The exercises of section 5.4: the notebook's checks accept the solutions, and only those."""

import gzip

import numpy as np
import pytest

from mmjax import formulas
from tests.data.test_fashion import files

NAMES = {1: "my_ndcg", 2: "my_posterior", 3: "my_next_purchase", 4: "my_slate"}


@pytest.fixture
def notebook(exercises):
    return exercises("5_4_e_commerce", "section_5_4")


def ndcg_in_catalogue_order(scores, gains, k):
    return formulas.ndcg(list(gains[np.argsort(-scores, kind="stable")]), k)


def ndcg_of_the_shown(scores, gains, k):
    listed = list(gains[np.argsort(-scores, kind="stable")])
    return formulas.dcg(listed, k) / max(formulas.dcg(sorted(listed[:k])[::-1], k), 1e-9)


def posterior_without_the_prior(prior, picture, text):
    return formulas.softmax(picture + text)


def posterior_that_underflows(prior, picture, text):
    with np.errstate(all="ignore"):
        weight = prior * np.exp(picture) * np.exp(text)
        return weight / weight.sum()


def mean_of_the_purchases(prior, past, now, history):
    taste = prior * past[:, history].mean(axis=1)
    return taste / taste.sum() @ now


def likeliest_taste_only(prior, past, now, history):
    return now[np.argmax(prior * past[:, history].prod(axis=1))]


def slate_by_probability(p, v, cost, k):
    shown = np.zeros(len(p), bool)
    shown[np.argsort(-p)[:k]] = True
    return shown, float((p * v - cost)[shown].sum())


def slate_that_is_always_full(p, v, cost, k):
    net, shown = p * v - cost, np.zeros(len(p), bool)
    shown[np.argsort(-net)[:k]] = True
    return shown, float(net[shown].sum())


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, ndcg_in_catalogue_order),
        (1, ndcg_of_the_shown),
        (2, posterior_without_the_prior),
        (2, posterior_that_underflows),
        (3, mean_of_the_purchases),
        (3, likeliest_taste_only),
        (4, slate_by_probability),
        (4, slate_that_is_always_full),
    ],
)
def test_a_common_mistake_gets_a_hint(notebook, number, wrong):
    line = notebook.verdict(number, **{NAMES[number]: wrong})
    assert line.startswith("not yet right: ") and "Hint: " in line


def test_the_part_with_real_pictures_runs_where_they_are(notebook, tmp_path, monkeypatch):
    """On small files in the exact format of Fashion-MNIST, as the set itself is not at hand."""
    (tmp_path / "fashion").mkdir()
    for part, number in (("train", 24), ("t10k", 12)):
        for name, content in files(part, number).items():
            (tmp_path / "fashion" / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", None)
    (source,) = notebook.tagged("real-set")
    notebook.namespace["BATCH"] = 256
    exec(source.replace("steps=200", "steps=10"), notebook.namespace)
    line = notebook.capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("Fashion-MNIST, pictures found by words: NDCG@10 ")
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path / "fashion"))
    monkeypatch.setenv("MMJAX_CACHE", str(tmp_path / "cache"))
    exec(source, notebook.namespace)
    assert "left out" in notebook.capsys.readouterr().out
