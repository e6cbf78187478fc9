"""The two captioners: their formulas in NumPy, decoding with a cache, and what has influence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export

from mmjax import formulas
from mmjax.attention import TransformerConfig
from mmjax.evaluation.beam_search import beam_search
from mmjax.evaluation.decoding import generate
from mmjax.measure import matrix_flops
from mmjax.models.captioner import Captioner, CaptionerConfig
from mmjax.models.prefix_captioner import PrefixCaptioner, PrefixCaptionerConfig

B, S, T, FEATURES, V, H, D = 3, 5, 7, 11, 13, 2, 4
M = H * D
SIZES = {"width": M, "heads": H, "hidden": 9}
ENCODER, DECODER = TransformerConfig(layers=2, **SIZES), TransformerConfig(layers=3, **SIZES)
FORMS = {
    "cross": (Captioner, CaptionerConfig(FEATURES, S, V, T, ENCODER, DECODER)),
    "prefix": (PrefixCaptioner, PrefixCaptionerConfig(FEATURES, S, V, T, DECODER)),
}
EACH_FORM = pytest.mark.parametrize("form", FORMS)


@functools.lru_cache
def build(form):
    """In float64, every parameter drawn at random, so that no norm or bias hides a mistake."""
    kind, config = FORMS[form]
    model, rng = nnx.eval_shape(lambda: kind(config, rngs=nnx.Rngs(0))), np.random.default_rng(0)

    def fill(leaf):
        return jnp.asarray(rng.normal(size=leaf.shape) / leaf.shape[-1] ** 0.25)

    nnx.update(model, jax.tree.map(fill, nnx.state(model)))
    return model


@functools.lru_cache
def build_narrow(form):
    kind, config = FORMS[form]
    return kind(config, rngs=nnx.Rngs(0))


@functools.lru_cache
def apply(form):
    """logits(images, tokens, image_mask), compiled once a form."""
    model = build(form)
    return jax.jit(lambda images, tokens, mask: model(images, tokens, image_mask=mask))


def draw(seed=1):
    """Images [B, S, FEATURES], their mask (the last row has a single real token), tokens [B, T]."""
    rng = np.random.default_rng(seed)
    real = np.arange(S) < np.array([[S], [3], [1]])
    tokens = rng.integers(3, V, (B, T)).astype(np.int32)
    tokens[:, 0] = 1
    return jnp.asarray(rng.normal(size=(B, S, FEATURES))), jnp.asarray(tokens), jnp.asarray(real)


# --- the formulas, one row, a position at a time ------------------------------------------------


def number(parameter):
    return np.asarray(parameter[...], np.float64)


def linear(module, x):
    return x @ number(module.kernel) + number(module.bias)


def norm(module, x):
    return formulas.layer_norm(x, number(module.scale), number(module.bias))


def attend(module, x, context):
    """One query x [M] over the rows of context: Concat(head_1, …) W_O + b."""
    q, k, v = linear(module.query, x), linear(module.key, context), linear(module.value, context)
    heads = [slice(h * D, h * D + D) for h in range(H)]
    parts = [formulas.scaled_dot_product_attention(q[None, h], k[:, h], v[:, h])[0] for h in heads]
    return linear(module.output, np.concatenate(parts))


def mlp(module, x):
    return linear(module.contract, formulas.gelu(linear(module.expand, x)))


def block(module, rows, seen, context=None):
    """rows [n, M]; row t sees the first seen[t] rows; context [S, M] for a decoder's block."""
    inner = module.block if context is not None else module
    out = []
    for t, x in enumerate(rows):
        x = x + attend(
            inner.attention,
            norm(inner.attention_norm, x),
            norm(inner.attention_norm, rows[: seen[t]]),
        )
        if context is not None:
            x = x + attend(module.context_attention, norm(module.context_norm, x), context)
        out.append(x + mlp(inner.mlp, norm(inner.mlp_norm, x)))
    return np.array(out)


def layer(stacked, index):
    graph, state = nnx.split(stacked)
    return nnx.merge(graph, jax.tree.map(lambda leaf: leaf[index], state))


def by_hand(form, image, words):
    """Logits [T, V] of one picture, of its real tokens only, and T words."""
    model = build(form)
    picture = linear(model.image.linear, image) + number(model.image.positions)[: len(image)]
    E = number(model.text.embedding)
    x, n = E[words] + number(model.text.positions)[: len(words)], len(image)
    if form == "cross":
        for index in range(ENCODER.layers):
            picture = block(layer(model.encoder.blocks, index), picture, [n] * n)
        picture = norm(model.encoder.norm, picture)
        for module in model.blocks:
            x = block(module, x, range(1, len(words) + 1), picture)
        return norm(model.norm, x) @ E.T
    x = np.concatenate([picture, x])
    for module in model.blocks:
        x = block(module, x, [n] * n + list(range(n + 1, len(x) + 1)))
    return norm(model.norm, x[n:]) @ E.T


@pytest.mark.equation("5.1.2", "5.1.6", "5.1.7")
@EACH_FORM
def test_logits_are_the_formula(x64, form):
    images, tokens, real = draw()
    logits = apply(form)(images, tokens, real)
    assert logits.shape == (B, T, V)
    for b in range(B):
        image = np.asarray(images[b])[np.asarray(real[b])]
        np.testing.assert_allclose(logits[b], by_hand(form, image, tokens[b]), atol=1e-10)


@pytest.mark.equation("5.1.5")
def test_a_tied_table_gets_the_gradient_of_both_its_uses(x64):
    model, (images, tokens, real) = build("prefix"), draw()
    graph, state = nnx.split(model)
    weights = jnp.asarray(np.random.default_rng(5).normal(size=(B, T, V)))  # ∂L/∂z

    def scalar(state, moved):
        """Σ weights ∘ z, with `moved` [B, T, M] added to the vectors of the words."""
        model = nnx.merge(graph, state)
        logits, hidden = with_hidden(model, moved)
        return (weights * logits).sum(), hidden

    def with_hidden(model, moved):
        x, mask, prefix = model._sequence(images, tokens, real)
        x = x.at[:, prefix:].add(moved)
        for module in model.blocks:
            x = module(x, mask=mask)
        hidden = model.norm(x[:, prefix:])
        return hidden @ model.text.embedding[...].T, hidden

    zero = jnp.zeros((B, T, M))
    gradient = jax.jit(jax.grad(scalar, argnums=(0, 1), has_aux=True))
    (whole, words), hidden = gradient(state, zero)
    wanted = np.zeros((V, M))
    for b in range(B):
        for t in range(T):
            wanted[tokens[b, t]] += words[b, t]  # as a word that is read
            wanted += np.outer(weights[b, t], hidden[b, t])  # as a word that may be said
    np.testing.assert_allclose(whole["text"]["embedding"][...], wanted, atol=1e-9)


# --- decoding ----------------------------------------------------------------------------------


@pytest.mark.equation("5.1.8")
@EACH_FORM
def test_cached_decoding_is_the_full_forward_pass(x64, form):
    model, (images, tokens, real) = build(form), draw()

    @jax.jit
    def cached(images, tokens, real):
        def one(state, token):
            logits, state = model.step(token, state)
            return state, logits

        state = model.start(images, T, image_mask=real)
        return jax.lax.scan(one, state, tokens.T)[1].swapaxes(0, 1)

    whole = apply(form)(images, tokens, real)
    np.testing.assert_allclose(cached(images, tokens, real), whole, atol=1e-11)


@EACH_FORM
def test_greedy_and_beam_search_are_those_of_the_full_forward_pass(x64, form):
    model, (images, _, real) = build(form), draw(2)

    @jax.jit
    def write(images, real):
        state = model.start(images, T, image_mask=real)
        return generate(model.step, state, B, T), beam_search(model.step, state, B, T, beams=3)

    greedy, beam = write(images, real)

    def log_p(tokens):
        logits = apply(form)(images, tokens, real).at[:, :, :2].set(-jnp.inf)
        return jax.nn.log_softmax(logits)

    tokens = np.zeros((B, T), np.int32)
    tokens[:, 0] = 1
    for t in range(1, T):
        best = np.asarray(log_p(jnp.asarray(tokens))[:, t - 1].argmax(-1))
        tokens[:, t] = np.where((tokens[:, :t] == 2).any(1), 0, best)
    np.testing.assert_array_equal(greedy.tokens, tokens)
    for k in range(3):
        found = beam.tokens[:, k]
        gains = jnp.take_along_axis(log_p(found)[:, :-1], found[:, 1:, None], axis=2)[..., 0]
        total = jnp.where(found[:, 1:] != 0, gains, 0).sum(1)
        np.testing.assert_allclose(beam.log_probability[:, k], total, atol=1e-10)
    assert (np.diff(beam.log_probability, axis=1) <= 0).all()


# --- what has influence ------------------------------------------------------------------------


@EACH_FORM
def test_a_word_does_not_see_what_comes_after_it(x64, form):
    images, tokens, real = draw()
    before = apply(form)(images, tokens, real)
    after = apply(form)(images, tokens.at[:, 4:].set(9), real)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert not np.allclose(before[:, 4:], after[:, 4:])


@EACH_FORM
def test_masked_image_tokens_have_no_influence_and_real_ones_have(x64, form):
    images, tokens, real = draw()
    before = apply(form)(images, tokens, real)
    other = jnp.where(real[:, :, None], images, jnp.nan)
    np.testing.assert_array_equal(before, apply(form)(other, tokens, real))
    assert not np.allclose(before, apply(form)(images + 1, tokens, real))
    blind = jnp.zeros_like(real)
    unseen = apply(form)(images, tokens, blind)
    assert np.isfinite(unseen).all()
    np.testing.assert_array_equal(unseen, apply(form)(images + 1, tokens, blind))


def test_looks_are_weights_over_the_real_image_tokens(x64):
    model, (images, tokens, real) = build("cross"), draw()
    looks = jax.jit(lambda i, t, m: model.looks(i, t, image_mask=m))(images, tokens, real)
    assert looks.shape == (DECODER.layers, B, H, T, S)
    np.testing.assert_allclose(looks.sum(-1), 1, atol=1e-12)
    assert (
        np.asarray(looks).swapaxes(0, 1)[
            ~np.broadcast_to(np.asarray(real)[:, None, None, None], (B, DECODER.layers, H, T, S))
        ]
        == 0
    ).all()
    # Layer 1, position 0: the first word sees itself only, so its query can be written down.
    first, b = model.blocks[0], 1
    words = number(model.text.embedding)[tokens[b, :1]] + number(model.text.positions)[:1]
    inner = norm(first.block.attention_norm, words)
    x = words[0] + attend(first.block.attention, inner[0], inner)
    context = np.asarray(model.encode(images, real)[0][b])[np.asarray(real[b])]
    q = linear(first.context_attention.query, norm(first.context_norm, x))
    k = linear(first.context_attention.key, context)
    wanted = formulas.attention_weights(q[None, :D], k[:, :D])[0]
    np.testing.assert_allclose(looks[0, b, 0, 0, : len(wanted)], wanted, atol=1e-12)


def test_looks_reads_each_layer_once_and_nothing_where_nothing_is_real():
    model, (images, tokens, real) = build_narrow("cross"), draw()
    images = images.astype(jnp.float32)
    head = 2 * B * T * M * V  # which the looks do without
    whole, looks = matrix_flops(model, images, tokens), matrix_flops(model.looks, images, tokens)
    assert looks == whole - head
    found = jax.jit(lambda *a: model.looks(*a[:2], image_mask=a[2]))(
        images, tokens, real.at[1].set(False)
    )
    np.testing.assert_array_equal(found[:, 1], 0)
    np.testing.assert_allclose(found[:, 2].sum(-1), 1, atol=1e-6)


@EACH_FORM
@pytest.mark.parametrize("length", [0, T + 1])
def test_more_words_than_positions_are_refused(form, length):
    model, images = build_narrow(form), draw()[0]
    with pytest.raises(ValueError, match=rf"start: .*'length': expected from 1 to 7, got {length}"):
        model.start(images, length)


@EACH_FORM
def test_exports_for_every_platform(form):
    kind, config = FORMS[form]
    model = nnx.eval_shape(lambda: kind(config, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(model)

    def write(state, images):
        model = nnx.merge(graph, state)
        return generate(model.step, model.start(images, T), B, T)

    images = jax.ShapeDtypeStruct((B, S, FEATURES), jnp.float32)
    for platform in ("cpu", "cuda", "tpu"):
        assert export.export(jax.jit(write), platforms=[platform])(state, images).mlir_module()


def test_widths_that_differ_and_empty_sizes_are_refused():
    wide = TransformerConfig(layers=1, width=2 * M, heads=H)
    with pytest.raises(ValueError, match="'decoder': expected the width of the encoder, got 16"):
        CaptionerConfig(FEATURES, S, V, T, ENCODER, wide)
    for kind, sizes in ((CaptionerConfig, (ENCODER, DECODER)), (PrefixCaptionerConfig, (DECODER,))):
        with pytest.raises(ValueError, match="'vocabulary': expected at least 1, got 0"):
            kind(FEATURES, S, 0, T, *sizes)
