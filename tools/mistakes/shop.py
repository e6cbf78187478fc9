"""Mistakes of ranking, search and recommendation (section 5.4)."""

from tools.mistakes.mistake import Mistake

SHOP_MISTAKES = [
    Mistake(
        "DCG that discounts the first place too",
        "mmjax/evaluation/ranking.py",
        "np.log2(np.arange(2, k + 2))",
        "np.log2(np.arange(3, k + 3))",
        ("tests/evaluation/test_ranking.py::test_dcg_and_ndcg_are_the_formulas",),
    ),
    Mistake(
        "DCG whose ties are in the order of the catalogue",
        "mmjax/evaluation/ranking.py",
        "return (mean * gain).sum(axis=1)",
        "return (weights * gain).sum(axis=1)",
        ("tests/evaluation/test_ranking.py::test_ties_are_the_mean_over_all_orders",),
    ),
    Mistake(
        "NDCG divided by the best of what was shown",
        "mmjax/evaluation/ranking.py",
        "best = dcg_at_k(np.asarray(gains, np.float64), gains, k)",
        "best = dcg_at_k(np.where(scores >= -np.sort(-scores)[:, k - 1 : k], gains, 0), gains, k)",
        ("tests/evaluation/test_ranking.py::test_dcg_and_ndcg_are_the_formulas",),
    ),
    Mistake(
        "recall divided by k",
        "mmjax/evaluation/ranking.py",
        "_expected_sum(scores, relevant, counts), relevant.sum(axis=1)",
        "_expected_sum(scores, relevant, counts), np.full(len(scores), k)",
        ("tests/evaluation/test_ranking.py::test_recall_is_the_share_found",),
    ),
    Mistake(
        "pixels taken as independent under a common light",
        "mmjax/data/products/pictures.py",
        "    fit = fit + light**2 * d**2 / (2 * noise**2 * (noise**2 + light**2 * mm))\n",
        "",
        ("tests/book/test_5_4_e_commerce.py::test_the_picture_likelihood_is_the_gaussian",),
    ),
    Mistake(
        "the picture's colour kept in 'like this, but red'",
        "mmjax/data/products/search.py",
        "np.where(asked[:, None, :, None, None], -np.inf, parts)",
        "parts",
        ("tests/book/test_5_4_e_commerce.py::test_like_this_but_is_a_mean_over_the_other_colours",),
    ),
    Mistake(
        "evidence of what is not there",
        "mmjax/models/evidence.py",
        "return jnp.where(there[:, None], evidence, jnp.zeros_like(evidence))",
        "return evidence",
        ("tests/models/test_evidence.py::test_what_is_not_there_has_no_influence",),
    ),
    Mistake(
        "purchases without exposure",
        "mmjax/data/products/customers.py",
        "affinities() @ product_posteriors.T * exposure",
        "affinities() @ product_posteriors.T * (exposure > 0)",
        ("tests/book/test_5_4_e_commerce.py::test_a_purchase_is_exposure_times_affinity",),
    ),
    Mistake(
        "the mean of probabilities over a history instead of their product",
        "mmjax/data/products/customers.py",
        "total = evidence[histories].sum(axis=1)",
        "total = np.log(probabilities.T[histories].mean(axis=1))",
        ("tests/book/test_5_4_e_commerce.py::test_a_history_is_evidence_on_a_taste",),
    ),
    Mistake(
        "a form measured without its faint pixels left out",
        "mmjax/data/fashion.py",
        "covered = images >= INK",
        "covered = images > 0",
        ("tests/data/test_fashion.py::test_the_words_are_measured",),
    ),
]
