"""Mistakes that published courses and libraries made, as edits to our files, with their tests.

`tools/break_mathematics.py` makes one at a time and expects a test to fail.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """Replacing `old`, which occurs once in `file`, by `new` must make one of `tests` fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


ATTENTION, TESTS = "mmjax/attention/", "tests/attention/"
DOT_PRODUCT = TESTS + "test_dot_product.py"
BLOCKWISE = DOT_PRODUCT + "::test_float64_forward_and_gradient_are_the_formula"
LAYERS = TESTS + "test_layers.py"
MULTI_HEAD = TESTS + "test_multi_head.py"
TRANSFORMER = TESTS + "test_transformer.py"
LOSSES = "tests/test_losses.py"

ATTENTION_MISTAKES = [
    Mistake(
        "scores divided by the root of the model width, not of the head width",
        ATTENTION + "dot_product.py",
        "masked_softmax(scores / math.sqrt(query.shape[-1]), mask)",
        "masked_softmax(scores / math.sqrt(math.prod(query.shape[-3::2])), mask)",
        (MULTI_HEAD + "::test_output_is_the_formula",),
    ),
    Mistake(
        "scores not scaled at all",
        ATTENTION + "dot_product.py",
        "masked_softmax(scores / math.sqrt(query.shape[-1]), mask)",
        "masked_softmax(scores, mask)",
        (DOT_PRODUCT + "::test_scores_of_zero_and_one",),
    ),
    Mistake(
        "softmax over the queries instead of the keys",
        ATTENTION + "dot_product.py",
        "jax.nn.softmax(jnp.where(mask, scores, lowest), axis=-1)",
        "jax.nn.softmax(jnp.where(mask, scores, lowest), axis=-2)",
        (DOT_PRODUCT + "::test_weights_are_the_formula_and_sum_to_one",),
    ),
    Mistake(
        "−inf masks that make NaN on an empty row",
        ATTENTION + "dot_product.py",
        "lowest = jnp.finfo(scores.dtype).min",
        "lowest = -jnp.inf",
        (DOT_PRODUCT + "::test_an_empty_row_gives_zeros_and_zero_gradient",),
    ),
    Mistake(
        "an empty row attends to everything evenly",
        ATTENTION + "dot_product.py",
        "return jnp.where(mask, weights, jnp.zeros_like(weights))",
        "return weights",
        (DOT_PRODUCT + "::test_an_empty_row_gives_zeros_and_zero_gradient",),
    ),
    Mistake(
        "mask applied after the softmax, so rows no longer sum to 1",
        ATTENTION + "dot_product.py",
        "jax.nn.softmax(jnp.where(mask, scores, lowest), axis=-1)",
        "jax.nn.softmax(scores, axis=-1)",
        (DOT_PRODUCT + "::test_weights_are_the_formula_and_sum_to_one",),
    ),
    Mistake(
        "a causal mask that, with a single query, sees only key 0",
        ATTENTION + "masks.py",
        "<= offset + jnp.arange(query_length)[:, None]",
        "<= jnp.arange(query_length)[:, None]",
        (TESTS + "test_masks.py::test_a_single_new_query_sees_every_cached_key",),
    ),
    Mistake(
        "decoding that restarts at position 0 with every piece",
        ATTENTION + "multi_head.py",
        "positions = cache.length + jnp.arange(new, dtype=jnp.int32)",
        "positions = jnp.arange(new, dtype=jnp.int32)",
        (MULTI_HEAD + "::test_decoding_in_pieces_is_the_whole",),
    ),
    Mistake(
        "a causal mask that hides the token itself",
        ATTENTION + "masks.py",
        "jnp.arange(key_length)[None, :] <= offset",
        "jnp.arange(key_length)[None, :] < offset",
        (TESTS + "test_masks.py::test_causal_worked_examples",),
    ),
    Mistake(
        "rotary embedding applied to the values too",
        ATTENTION + "multi_head.py",
        "query, key = rotary(query, positions), rotary(key, positions)",
        "query, key, value = (rotary(a, positions) for a in (query, key, value))",
        (MULTI_HEAD + "::test_rotary_turns_queries_and_keys_and_not_values",),
    ),
    Mistake(
        "a rotary table of another base than asked for",
        ATTENTION + "positions.py",
        "frequencies = jnp.asarray(base ** (",
        "frequencies = jnp.asarray(10_000.0 ** (",
        (TESTS + "test_positions.py::test_rotary_is_the_formula",),
    ),
    Mistake(
        "rotary pairs taken from the two halves in place of neighbours",
        ATTENTION + "positions.py",
        "a, b = x[..., 0::2].astype(dtype), x[..., 1::2].astype(dtype)",
        "a, b = jnp.split(x.astype(dtype), 2, axis=-1)",
        (TESTS + "test_positions.py::test_rotary_is_the_formula",),
    ),
    Mistake(
        "LayerNorm with the sample standard deviation",
        ATTENTION + "layers.py",
        "rsqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)",
        "rsqrt((centred**2).sum(axis=-1, keepdims=True) / (x.shape[-1] - 1) + epsilon)",
        (LAYERS + "::test_layer_norm_is_the_formula",),
    ),
    Mistake(
        "LayerNorm with ε outside the root",
        ATTENTION + "layers.py",
        "jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)",
        "1 / (jnp.sqrt((centred**2).mean(axis=-1, keepdims=True)) + epsilon)",
        (LAYERS + "::test_layer_norm_is_the_formula",),
    ),
    Mistake(
        "LayerNorm's gradient without the part through the variance",
        ATTENTION + "layers.py",
        "dx = inverse * (d_norm - mean - normalised * projection)",
        "dx = inverse * (d_norm - mean)",
        (LAYERS + "::test_layer_norm_backward_pass_is_the_derivative",),
    ),
    Mistake(
        "GELU by tanh where the exact form is claimed",
        ATTENTION + "layers.py",
        "1.0 + jax.lax.erf(x * 2**-0.5)",
        "1.0 + jnp.tanh(0.7978845608 * (x + 0.044715 * x**3))",
        (LAYERS + "::test_gelu_is_the_formula",),
    ),
    Mistake(
        "dropout that does not divide by 1 − rate",
        ATTENTION + "layers.py",
        "jnp.where(kept, x / (1 - rate), jnp.zeros_like(x))",
        "jnp.where(kept, x, jnp.zeros_like(x))",
        (LAYERS + "::test_dropout_zeroes_its_share_and_preserves_the_expectation",),
    ),
    Mistake(
        "heads cut out of the wrong axis",
        ATTENTION + "multi_head.py",
        "x.reshape(batch, length, heads, width // heads).swapaxes(1, 2)",
        "x.reshape(batch, heads, length, width // heads)",
        (MULTI_HEAD + "::test_output_is_the_formula",),
    ),
    Mistake(
        "grouped heads share in turn instead of by neighbourhood",
        ATTENTION + "multi_head.py",
        "jnp.repeat(x, group, axis=1)",
        "jnp.tile(x, (1, group, 1, 1))",
        (MULTI_HEAD + "::test_grouped_heads_agree_with_jax_nn",),
    ),
    Mistake(
        "the blockwise sum forgets to rescale what it has so far",
        ATTENTION + "blockwise.py",
        'out = rescale * out + _product("ts,sd->td"',
        'out = out + _product("ts,sd->td"',
        (TESTS + "test_blockwise.py::test_output_and_gradients_are_those_of_the_formula",),
    ),
    Mistake(
        "the blockwise gradient without the softmax correction rowsum(P ∘ dP)",
        ATTENTION + "blockwise.py",
        '(_product("td,sd->ts", d_out, v_block) - delta)',
        '_product("td,sd->ts", d_out, v_block)',
        (BLOCKWISE,),
    ),
    Mistake(
        "the last block, when it is shorter, forgotten",
        ATTENTION + "blockwise.py",
        "return step(length - rest, rest, carry) if rest else carry",
        "return carry",
        (TESTS + "test_blockwise.py::test_output_and_gradients_are_those_of_the_formula",),
    ),
    Mistake(
        "one dropout mask for both branches of a block",
        ATTENTION + "transformer.py",
        "keys = (None, None) if dropout_key is None else jax.random.split(dropout_key)",
        "keys = (dropout_key, dropout_key)",
        (TRANSFORMER + "::test_dropout_masks_differ_between_branches_and_layers",),
    ),
    Mistake(
        "one dropout mask for all layers",
        ATTENTION + "transformer.py",
        "jax.random.split(dropout_key, layers)",
        "jax.vmap(lambda _: dropout_key)(jax.numpy.arange(layers))",
        (TRANSFORMER + "::test_dropout_masks_differ_between_branches_and_layers",),
    ),
    Mistake(
        "the mask not handed to the layers",
        ATTENTION + "transformer.py",
        "return block(x, mask=mask, dropout_key=key)",
        "return block(x, dropout_key=key)",
        (TRANSFORMER + "::test_stack_is_the_formula",),
    ),
    Mistake(
        "the oracle's gradient without the softmax correction",
        "mmjax/formulas/attention.py",
        "dS = P * (dP - (P * dP).sum(axis=1, keepdims=True))",
        "dS = P * dP",
        ("tests/test_formulas.py::test_attention_gradients_are_finite_differences",),
    ),
]

CLIP_MISTAKES = [
    Mistake(
        "no L2 normalisation before the similarity",
        "mmjax/models/clip.py",
        "return normalize(self.image_projection(features))",
        "return self.image_projection(features)",
        ("tests/models/test_clip.py::test_embeddings_have_length_one_and_the_common_width",),
    ),
    Mistake(
        "a temperature that is fixed",
        "mmjax/losses/similarity.py",
        "scale = inverse_temperature(logit_scale, dtype)\n",
        "scale = jnp.asarray(1 / 0.07, dtype)\n",
        (LOSSES + "::test_loss_is_the_formula",),
    ),
    Mistake(
        "the temperature where its inverse was meant",
        "mmjax/losses/similarity.py",
        "jnp.exp(jnp.minimum(jnp.asarray(logit_scale, dtype), MAX_LOGIT_SCALE))",
        "jnp.exp(-jnp.minimum(jnp.asarray(logit_scale, dtype), MAX_LOGIT_SCALE))",
        (LOSSES + "::test_the_stored_scale_is_a_logarithm_of_the_inverse_temperature",),
    ),
    Mistake(
        "logit_scale not clipped",
        "mmjax/losses/similarity.py",
        "jnp.exp(jnp.minimum(jnp.asarray(logit_scale, dtype), MAX_LOGIT_SCALE))",
        "jnp.exp(jnp.asarray(logit_scale, dtype))",
        (LOSSES + "::test_the_scale_is_capped_at_100_and_its_gradient_stops_there",),
    ),
    Mistake(
        "the loss by exp and then log(· + ε) instead of log-sum-exp",
        "mmjax/losses/contrastive.py",
        "jax.nn.logsumexp(logits, axis=1) - target",
        "jnp.log(jnp.exp(logits).sum(axis=1) + 1e-6) - target",
        (LOSSES + "::test_opposite_pairs_at_the_cap_stay_finite",),
    ),
    Mistake(
        "only one direction of the symmetric loss",
        "mmjax/losses/contrastive.py",
        "return (forward + _rows_loss(logits.T, transposed, label_smoothing)) / 2",
        "return forward",
        (LOSSES + "::test_both_directions_count_and_they_differ",),
    ),
    Mistake(
        "negatives not transposed for the second direction",
        "mmjax/losses/contrastive.py",
        "transposed = None if negatives is None else negatives.T",
        "transposed = negatives",
        (LOSSES + "::test_loss_is_the_formula",),
    ),
    Mistake(
        "padding counted in a mean pool",
        "mmjax/models/encoders.py",
        "(x * weight).sum(axis=1) / jnp.maximum(weight.sum(axis=1), 1)",
        "x.mean(axis=1)",
        ("tests/models/test_encoders.py::test_masked_mean_counts_real_tokens_only",),
    ),
    Mistake(
        "words attend to padding",
        "mmjax/models/encoders.py",
        "self.transformer(x, mask=padding_mask(real), dropout_key=dropout_key)",
        "self.transformer(x, dropout_key=dropout_key)",
        ("tests/models/test_encoders.py::test_padding_has_no_influence",),
    ),
    Mistake(
        "recall@K with ties counted as wins",
        "mmjax/evaluation/retrieval.py",
        "return (scores >= own).sum(axis=1)",
        "return 1 + (scores > own).sum(axis=1)",
        ("tests/evaluation/test_retrieval.py",),
    ),
    Mistake(
        "the same random key at every step",
        "mmjax/training/step.py",
        "step_key = jax.random.fold_in(key, state.step)",
        "step_key = key",
        ("tests/training/test_step.py::test_each_step_has_a_key_of_its_own",),
    ),
    Mistake(
        "muon without the longer step of a wide kernel",
        "mmjax/training/muon.py",
        "max(1.0, columns / rows) ** 0.5 * orthogonalize(update)",
        "orthogonalize(update)",
        ("tests/training/test_muon.py::test_five_steps_are_the_literal_ones",),
    ),
    Mistake(
        "muon with the wrong sign in its polynomial",
        "mmjax/training/muon.py",
        "(b * square + c * (square @ square)) @ x",
        "(b * square - c * (square @ square)) @ x",
        ("tests/training/test_muon.py::test_five_steps_are_the_literal_ones",),
    ),
]

ALIGN_MISTAKES = [
    Mistake(
        "a depthwise backward pass that does not turn the window round",
        "mmjax/models/convolution.py",
        "_depthwise(1, spread, kernel[::-1, ::-1])",
        "_depthwise(1, spread, kernel)",
        ("tests/models/test_convolution.py",),
    ),
    Mistake(
        "squeeze-and-excitation that reads the maximum instead of the mean",
        "mmjax/models/convolution.py",
        "linear(x.mean(axis=(1, 2)), *squeeze)",
        "linear(x.max(axis=(1, 2)), *squeeze)",
        ("tests/models/test_convolution.py::test_squeeze_and_excitation_is_the_formula",),
    ),
    Mistake(
        "label smoothing shared by the wrong texts only",
        "mmjax/losses/contrastive.py",
        "label_smoothing * logits.mean(axis=1, where=kept)",
        "label_smoothing * (logits.sum(axis=1) - jnp.diagonal(logits)) / (len(logits) - 1)",
        ("tests/test_losses_of_others.py::test_smoothed_loss_of_align_in_transformers",),
    ),
    Mistake(
        "wrong captions drawn anew, so that some names become more frequent",
        "mmjax/data/noise.py",
        "captions[np.roll(chosen, 1)]",
        "captions[chosen[np.random.default_rng(seed).integers(0, max(count, 1), count)]]",
        ("tests/data/test_noise.py",),
    ),
]

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
]

MISTAKES = ATTENTION_MISTAKES + CLIP_MISTAKES + ALIGN_MISTAKES + CAPTION_MISTAKES
