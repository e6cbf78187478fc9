"""Mistakes of attention, positions, norms and the Transformer (chapters 3.1, 3.2 and 4)."""

from tools.mistakes.mistake import Mistake

ATTENTION, TESTS = "mmjax/attention/", "tests/attention/"
DOT_PRODUCT = TESTS + "test_dot_product.py"
BLOCKWISE = DOT_PRODUCT + "::test_float64_forward_and_gradient_are_the_formula"
LAYERS = TESTS + "test_layers.py"
MULTI_HEAD = TESTS + "test_multi_head.py"
TRANSFORMER = TESTS + "test_transformer.py"

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
