"""Mistakes of captioning, decoding and caption metrics (section 5.1)."""

from tools.mistakes.mistake import Mistake

CAPTION_MISTAKES = [
    Mistake(
        "caption target not shifted",
        "mmjax/losses/next_token.py",
        "return tokens[:, :-1], tokens[:, 1:], real[:, 1:]",
        "return tokens[:, :-1], tokens[:, :-1], real[:, :-1]",
        ("tests/test_next_token.py::test_the_target_of_a_place_is_the_next_token",),
    ),
    Mistake(
        "caption loss averaged over padding",
        "mmjax/losses/next_token.py",
        "jnp.maximum(1, counts.sum()).astype(cost.dtype)",
        "counts.size",
        ("tests/test_next_token.py::test_the_loss_is_the_formula",),
    ),
    Mistake(
        "caption decoder sees the words to come",
        "mmjax/models/captioner.py",
        "            x = block(x, context, mask=mask, context_mask=context_mask, dropout_key=key)",
        "            x = block(x, context, context_mask=context_mask, dropout_key=key)",
        ("tests/models/test_captioner.py::test_cached_decoding_is_the_full_forward_pass",),
    ),
    Mistake(
        "caption cache one position off",
        "mmjax/models/captioner.py",
        "x = next_input(self.text, token, state.caches[0].length)",
        "x = next_input(self.text, token, state.caches[0].length + 1)",
        ("tests/models/test_captioner.py::test_cached_decoding_is_the_full_forward_pass",),
    ),
    Mistake(
        "the same key at every decoding step",
        "mmjax/evaluation/decoding.py",
        "jax.random.fold_in(key, t) if random",
        "key if random",
        (
            "tests/evaluation/test_decoding.py::test_every_step_and_every_row_has_its_own_randomness",
        ),
    ),
    Mistake(
        "nucleus without the token that crosses p",
        "mmjax/evaluation/decoding.py",
        "jnp.cumsum(ranked, axis=-1) - ranked < p",
        "jnp.cumsum(ranked, axis=-1) < p",
        ("tests/evaluation/test_decoding.py::test_the_nucleus_is_the_right_set",),
    ),
    Mistake(
        "beams whose caches are not reordered",
        "mmjax/evaluation/beam_search.py",
        "state = _on_rows(lambda x: x[rows], state)",
        "state = _on_rows(lambda x: x, state)",
        ("tests/evaluation/test_decoding.py::test_a_narrow_beam_keeps_what_it_should",),
    ),
    Mistake(
        "ended beams that pay for padding",
        "mmjax/evaluation/beam_search.py",
        "jnp.where(ended[:, :, None], stay[None, None], log_p)",
        "log_p",
        ("tests/evaluation/test_decoding.py::test_a_narrow_beam_keeps_what_it_should",),
    ),
    Mistake(
        "BLEU without brevity penalty",
        "mmjax/evaluation/caption_metrics/bleu.py",
        "brevity = 1.0 if ratio >= 1 else math.exp(1 - 1 / ratio)",
        "brevity = 1.0",
        ("tests/evaluation/test_caption_metrics.py::test_bleu_is_the_formula",),
    ),
    Mistake(
        "BLEU without clipped counts",
        "mmjax/evaluation/caption_metrics/bleu.py",
        "(own & most).total()",
        "sum(own[gram] for gram in own if gram in most)",
        ("tests/evaluation/test_caption_metrics.py::test_bleu_is_the_formula",),
    ),
    Mistake(
        "CIDEr weights from the number of references",
        "mmjax/evaluation/caption_metrics/cider.py",
        "for group in counted for gram in set().union(*group))",
        "for group in counted for text in group for gram in text)",
        ("tests/evaluation/test_caption_metrics.py::test_cider_d_is_the_formula",),
    ),
    Mistake(
        "places of the stem read column by column",
        "mmjax/models/convolution_stem.py",
        "return x.reshape(len(x), -1, x.shape[3])",
        "return x.swapaxes(1, 2).reshape(len(x), -1, x.shape[3])",
        ("tests/models/test_convolution_stem.py::test_the_tokens_are_the_formula",),
    ),
    Mistake(
        "a stem of patches that do not overlap with their neighbours",
        "mmjax/models/convolution_stem.py",
        "convolution(x, kernel, layer",
        "convolution(x, kernel.at[0].set(0).at[:, 0].set(0), layer",
        (
            "tests/models/test_convolution_stem.py"
            "::test_a_token_has_seen_a_window_that_overlaps_with_its_neighbours",
        ),
    ),
]
