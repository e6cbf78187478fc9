"""Mistakes of section 6.1: experts, the projector, scaling laws."""

from tools.mistakes.mistake import Mistake

PAGE = "tests/book/test_6_1_trends.py"

TREND_MISTAKES = [
    Mistake(
        "one expert a token with gates that sum to one",
        "mmjax/models/routing.py",
        "total = 1 if k == 1 else p.sum(",
        "total = p.sum(",
        (f"{PAGE}::test_the_mixture_is_a_loop_over_tokens_and_experts",),
    ),
    Mistake(
        "gates that are not normalised over the chosen experts",
        "mmjax/models/routing.py",
        "total = 1 if k == 1 else p.sum(axis=1, where=chosen, keepdims=True)",
        "total = p.sum(axis=1, keepdims=True)",
        (f"{PAGE}::test_the_mixture_is_a_loop_over_tokens_and_experts",),
    ),
    Mistake(
        "balance loss of the probabilities alone",
        "mmjax/models/routing.py",
        "return p.shape[1] * (share * mean).sum()",
        "return p.shape[1] * (mean * mean).sum()",
        (f"{PAGE}::test_the_balance_loss_and_its_gradient",),
    ),
    Mistake(
        "an expert with room for one token more",
        "mmjax/models/routing.py",
        "jnp.cumsum(chosen, axis=0) <= capacity",
        "jnp.cumsum(chosen, axis=0) - 1 <= capacity",
        (
            "tests/models/test_mixture.py::test_a_token_without_room_is_dropped_and_the_first_ones_stay",
        ),
    ),
    Mistake(
        "padding that takes the room of real tokens",
        "mmjax/models/routing.py",
        "chosen = chosen & real[:, None]",
        "chosen = chosen",
        ("tests/models/test_routing.py::test_padding_is_sent_nowhere_and_takes_no_room",),
    ),
    Mistake(
        "image tokens without positions",
        "mmjax/models/projector.py",
        "self.project(tokens) + self.places[...][None]",
        "self.project(tokens) + 0 * self.places[...][None]",
        ("tests/models/test_projector.py::test_image_tokens_know_their_places",),
    ),
    Mistake(
        "an answer that sees the words to come",
        "mmjax/models/projector.py",
        "combine_masks(prefix_mask(prefix, x.shape[1]), padding_mask(real))",
        "padding_mask(real)",
        ("tests/models/test_projector.py::test_a_word_sees_those_before_it_and_no_later_one",),
    ),
    Mistake(
        "exponents of the best split interchanged",
        "mmjax/evaluation/scaling.py",
        "return G * C ** (self.beta / total), C ** (self.alpha / total) / G",
        "return G * C ** (self.alpha / total), C ** (self.beta / total) / G",
        (f"{PAGE}::test_the_best_split_of_compute",),
    ),
    Mistake(
        "a scaling law fitted by least squares alone",
        "mmjax/evaluation/scaling.py",
        "w = weight * np.minimum(1, delta / np.maximum(np.abs(residual), 1e-300))",
        "w = weight",
        (f"{PAGE}::test_the_fit_minimises_the_huber_loss",),
    ),
    Mistake(
        "a bootstrap that draws every run once",
        "mmjax/evaluation/scaling.py",
        "rows = rng.integers(len(y), size=len(y))",
        "rows = rng.permutation(len(y))",
        (
            "tests/evaluation/test_scaling.py::test_the_bootstrap_covers_the_truth_and_widens_with_the_noise",
        ),
    ),
]
