"""Mistakes of cross-modal retrieval (section 5.2)."""

from tools.mistakes.mistake import Mistake

GROUPS = "mmjax/evaluation/retrieval_groups.py"
TESTS = "tests/evaluation/test_retrieval_groups.py"

RETRIEVAL_MISTAKES = [
    Mistake(
        "retrieval with ties counted as wins",
        GROUPS,
        "return 1 + (~right & (scores >= best)).sum(axis=1)",
        "return 1 + (~right & (scores > best)).sum(axis=1)",
        (f"{TESTS}::test_rank_is_the_formula_and_the_slow_sort",),
    ),
    Mistake(
        "retrieval with the captions of a picture in each other's way",
        GROUPS,
        "return 1 + (~right & (scores >= best)).sum(axis=1)",
        "return (scores >= best).sum(axis=1)",
        (f"{TESTS}::test_right_answers_do_not_stand_in_each_others_way",),
    ),
    Mistake(
        "retrieval rank of a picture's worst caption",
        GROUPS,
        "    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)\n    return",
        "    best = np.where(right, scores, np.inf).min(axis=1, keepdims=True)\n    return",
        (f"{TESTS}::test_rank_is_the_formula_and_the_slow_sort",),
    ),
    Mistake(
        "retrieval chance of several right answers as K r / M",
        GROUPS,
        "    return 1 - math.comb(wrong, places) / math.comb(right + wrong, places)",
        "    return places * right / (right + wrong)",
        (f"{TESTS}::test_chance_is_what_a_constant_score_gets_by_lot",),
    ),
    Mistake(
        "best possible retrieval that forgets what each signal says alone",
        "mmjax/data/scenes/matching.py",
        "    return _log_joint(a, b, objects) - alone[0] - alone[1].T",
        "    return _log_joint(a, b, objects)",
        ("tests/data/test_scenes_matching.py::test_best_match_is_the_sum_over_all_scenes",),
    ),
    Mistake(
        "retrieval that keeps the best of the last block",
        "mmjax/evaluation/search.py",
        "        scores = jnp.concatenate([best[0], added[0]], axis=1)\n",
        "        scores = jnp.concatenate([best[0] - 1e9, added[0]], axis=1)\n",
        (
            "tests/book/test_5_2_cross_modal_retrieval.py::"
            "test_the_best_of_blocks_are_the_best_of_all",
        ),
    ),
    Mistake(
        "retrieval by a video encoder without the order of frames",
        "mmjax/models/video_encoder.py",
        "x = jnp.moveaxis(x.reshape(B, T, small, small, -1), 1, 3)",
        "x = jnp.moveaxis(jnp.sort(x.reshape(B, T, small, small, -1), axis=1), 1, 3)",
        ("tests/models/test_video_encoder.py::test_the_encoder_by_hand",),
    ),
]
