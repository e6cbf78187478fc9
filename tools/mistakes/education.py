"""Mistakes of beliefs, decisions and fairness (section 5.6)."""

from tools.mistakes.mistake import Mistake

BOOK = "tests/book/test_5_6_education.py"

EDUCATION_MISTAKES = [
    Mistake(
        "a filter whose state moves backwards",
        "mmjax/data/learners/bayes.py",
        'belief = np.einsum("ngfvs,nsz->ngfvz", belief, move, optimize=True)',
        'belief = np.einsum("ngfvs,nzs->ngfvz", belief, move, optimize=True)',
        (f"{BOOK}::test_the_filter_is_the_sum_over_all_paths",),
    ),
    Mistake(
        "a likelihood without the energy of its template",
        "mmjax/data/learners/bayes.py",
        "(x @ templates.T - (templates**2).sum(axis=1) / 2)",
        "(x @ templates.T)",
        (f"{BOOK}::test_the_likelihood_of_one_signal",),
    ),
    Mistake(
        "a mask that is causal over tokens and not over steps",
        "mmjax/models/over_time.py",
        "    one = causal_mask(length)\n    tiled",
        "    return causal_mask(modalities * length)\n    tiled",
        (f"{BOOK}::test_the_mask_is_causal_over_steps_and_open_over_modalities",),
    ),
    Mistake(
        "a model over time that sees the future",
        "mmjax/models/over_time.py",
        "may = combine_masks(padding_mask(mask), steps_mask(number, length))",
        "may = combine_masks(padding_mask(mask))",
        (f"{BOOK}::test_a_step_is_a_mean_of_its_tokens_and_knows_nothing_of_the_future",),
    ),
    Mistake(
        "a plan that moves with the exercise of another state",
        "mmjax/data/learners/policy.py",
        'np.einsum("ast,t->sa", transition, value)',
        'np.einsum("ats,t->sa", transition, value)',
        (f"{BOOK}::test_the_value_of_an_exercise_is_that_of_the_best_plan",),
    ),
    Mistake(
        "equalised odds by the share of answers and not of true states",
        "mmjax/evaluation/groups.py",
        "total = counts.sum(axis=2, keepdims=True)",
        "total = counts.sum(axis=1, keepdims=True)",
        (f"{BOOK}::test_equalised_odds_by_counting",),
    ),
    Mistake(
        "a bootstrap over whom it likes and not within groups",
        "mmjax/evaluation/groups.py",
        "rng.choice(rows, len(rows)) for rows in members",
        "rng.choice(len(groups), len(rows)) for rows in members",
        (
            "tests/evaluation/test_groups.py::"
            "test_the_bootstrap_draws_persons_of_each_group_and_covers_the_mean",
        ),
    ),
    Mistake(
        "weights that favour the common group",
        "mmjax/training/balanced.py",
        "len(groups) / (len(counts) * counts[index])",
        "counts[index] * len(groups) / (counts**2).sum()",
        (f"{BOOK}::test_balanced_batches_are_weights_in_the_loss",),
    ),
    Mistake(
        "a probe with the sample covariance in place of the mean of products",
        "mmjax/evaluation/probes.py",
        "scatter = inside.T @ inside / len(x)",
        "scatter = inside.T @ inside / (len(x) - 1)",
        (f"{BOOK}::test_the_probe_is_the_least_squares_solution",),
    ),
]
