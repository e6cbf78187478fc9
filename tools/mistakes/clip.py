"""Mistakes of contrastive losses, training and evaluation (section 3.4)."""

from tools.mistakes.mistake import Mistake

LOSSES = "tests/test_losses.py"

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
