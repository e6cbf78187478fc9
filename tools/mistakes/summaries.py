"""Mistakes of video summarization (section 5.3)."""

from tools.mistakes.mistake import Mistake

SUMMARY_MISTAKES = [
    Mistake(
        "a true key frame matched by several chosen ones",
        "mmjax/evaluation/summaries.py",
        "i, j = i + (near or c < t), j + (near or t < c)",
        "i, j = i + (near or c < t), j + (t < c)",
        ("tests/evaluation/test_summaries.py::test_two_frames_of_one_event_are_one_pair",),
    ),
    Mistake(
        "recall divided by the number of chosen frames",
        "mmjax/evaluation/summaries.py",
        "return Score(pairs / k, pairs / n, 2 * pairs / (k + n))",
        "return Score(pairs / k, pairs / k, 2 * pairs / (k + n))",
        ("tests/evaluation/test_summaries.py::test_precision_recall_and_f1",),
    ),
    Mistake(
        "diversity with a frame's likeness to itself",
        "mmjax/evaluation/summaries.py",
        "float((among.sum() - np.trace(among)) / (k * (k - 1)))",
        "float(among.mean())",
        ("tests/evaluation/test_summaries.py::test_diversity",),
    ),
    Mistake(
        "key frames without suppression of their neighbours",
        "mmjax/evaluation/key_frames.py",
        "free &= abs(frames - best) >= apart",
        "free &= frames != best",
        ("tests/evaluation/test_key_frames.py::test_the_highest_scores_that_are_apart",),
    ),
    Mistake(
        "coverage gain counted anew for what is covered",
        "mmjax/evaluation/key_frames.py",
        "gain = weights @ np.maximum(similar - covered[:, None], 0)",
        "gain = weights @ similar",
        ("tests/evaluation/test_key_frames.py::test_greedy_adds_the_frame_that_adds_most",),
    ),
    Mistake(
        "k-means stopped after one round",
        "mmjax/evaluation/key_frames.py",
        "            centres = moved\n",
        "            centres = moved\n            break\n",
        ("tests/evaluation/test_key_frames.py::test_k_means_ends_where_scipy_stays",),
    ),
    Mistake(
        "importance from a softmax over the batch",
        "mmjax/models/frame_selector.py",
        "jax.nn.softmax(scores, axis=1)",
        "jax.nn.softmax(scores, axis=0)",
        (
            "tests/models/test_frame_selector.py"
            "::test_importance_is_a_softmax_and_the_logits_are_a_weighted_vote",
        ),
    ),
    Mistake(
        "encoder of frames without its window",
        "mmjax/models/frame_selector.py",
        "return self.encoder(x, mask=window_mask(shape[1], c.window))",
        "return self.encoder(x)",
        ("tests/models/test_frame_selector.py::test_a_frame_knows_its_window_and_no_more",),
    ),
    Mistake(
        "events that can be told without the sound",
        "mmjax/data/clips/world.py",
        "return [EVENT] * events + [SEEN] * alone + [HEARD] * alone + [NOTHING] * nothing",
        "return [EVENT] * events + [HEARD] * alone + [NOTHING] * (nothing + alone)",
        ("tests/book/test_5_3_video_summarization.py::test_eight_moments_five_seen_five_heard",),
    ),
    Mistake(
        "moments drawn without their spacing",
        "mmjax/data/clips/world.py",
        "return 1 + chosen + (spacing - 1) * np.arange(moments)",
        "return 1 + chosen",
        ("tests/data/test_clips.py::test_every_set_of_middles_is_as_likely",),
    ),
]
