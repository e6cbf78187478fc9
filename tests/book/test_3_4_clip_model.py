"""Section 3.4, equations 44 to 55 and 58 to 60: encoders, optimizers, blocks, moved pictures."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from mmjax import formulas, losses
from mmjax.attention import TransformerConfig
from mmjax.models.encoders import (
    ImageEncoder,
    ImageEncoderConfig,
    TextEncoder,
    TextEncoderConfig,
)
from mmjax.training import adamw, muon, orthogonalize, random_shift, warmup_cosine


def close(left, right, tolerance=1e-10):
    np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


@pytest.fixture
def random():
    return np.random.default_rng(44)


def in_float64(module):
    """The module with its parameters in float64, drawn anew so that no bias is zero."""
    random = np.random.default_rng(7)

    def draw(x):
        return jnp.asarray(random.normal(size=x.shape) * 0.3 + (np.asarray(x) == 1))

    graph, state = nnx.split(module)
    return nnx.merge(graph, jax.tree.map(draw, state))


def array(variable):
    return np.asarray(variable[...])


CONFIG = TransformerConfig(layers=2, width=6, heads=2)


def transformer(module, x, real):
    """The pre-norm Transformer on one sequence x [T, M] from the oracle's parts."""
    state = nnx.to_pure_dict(nnx.state(module.blocks))
    mask = np.broadcast_to(real, (len(x), len(x)))
    for layer in range(CONFIG.layers):
        block = jax.tree.map(lambda leaf, layer=layer: np.asarray(leaf[layer]), state)
        attention, norms = block["attention"], (block["attention_norm"], block["mlp_norm"])
        h = formulas.layer_norm(x, **norms[0])
        maps = [linear(h, attention[name]) for name in ("query", "key", "value")]
        heads = [np.split(y, CONFIG.heads, axis=1) for y in maps]
        parts = [
            formulas.scaled_dot_product_attention(*qkv, mask) for qkv in zip(*heads, strict=True)
        ]
        x = x + linear(np.concatenate(parts, axis=1), attention["output"])
        h = formulas.gelu(linear(formulas.layer_norm(x, **norms[1]), block["mlp"]["expand"]))
        x = x + linear(h, block["mlp"]["contract"])
    return formulas.layer_norm(x, array(module.norm.scale), array(module.norm.bias))


def linear(x, parameters):
    return x @ parameters["kernel"] + parameters["bias"]


@functools.cache
def small_image_encoder():
    config = ImageEncoderConfig(image_size=6, channels=2, patch_size=3, transformer=CONFIG)
    return in_float64(ImageEncoder(config, rngs=nnx.Rngs(0)))


@pytest.fixture
def image_encoder(x64):
    return small_image_encoder()


def image_tokens(encoder, image, P=3, C=2):
    """e_tm by loops over the pixels of each patch."""
    W, places = array(encoder.patch.kernel), array(encoder.positions)
    tokens = array(encoder.patch.bias) + places
    for t, i, j, k in np.ndindex(4, P, P, C):
        row, column = divmod(t, 2)
        tokens[t] += image[row * P + i, column * P + j, k] * W[(i * P + j) * C + k]
    return tokens


@pytest.mark.equation("3.4.44")
def test_patches_are_one_linear_map(image_encoder, random, monkeypatch):
    """e_tm = bias + pos + Σ_ijk x[r P + i, c P + j, k] W: the tokens with f_I left out."""
    image = random.random((6, 6, 2))
    monkeypatch.setattr(image_encoder, "transformer", lambda x, dropout_key: x)
    left = image_encoder.tokens(jnp.asarray(image)[None])[0]
    close(left, image_tokens(image_encoder, image))


@pytest.mark.equation("3.4.45")
def test_the_image_encoder(image_encoder, random):
    """a = mean_t f_I(e)_t W_I: the package against the oracle's Transformer."""
    images, W = random.random((2, 6, 6, 2)), random.normal(size=(6, 4))
    left = np.asarray(image_encoder(jnp.asarray(images))) @ W
    for n, image in enumerate(images):
        tokens = image_tokens(image_encoder, image)
        out = transformer(image_encoder.transformer, tokens, np.ones(4, bool))
        close(left[n], sum(out[t] for t in range(4)) / 4 @ W, 1e-9)


TOKENS = np.array([[1, 5, 3, 2, 0], [1, 4, 2, 0, 0]])
REAL = TOKENS != 0


@functools.cache
def small_text_encoder():
    config = TextEncoderConfig(vocabulary=7, length=5, transformer=CONFIG)
    return in_float64(TextEncoder(config, rngs=nnx.Rngs(0)))


@pytest.fixture
def text_encoder(x64):
    return small_text_encoder()


@pytest.mark.equation("3.4.46")
def test_the_text_encoder(text_encoder, random):
    """b = Σ_t ρ_t f_T(e, ρ)_t / Σ_t ρ_t W_T: the package against the oracle's Transformer."""
    W = random.normal(size=(6, 4))
    left = np.asarray(text_encoder(jnp.asarray(TOKENS), jnp.asarray(REAL))) @ W
    for n, (tokens, real) in enumerate(zip(TOKENS, REAL, strict=True)):
        e = array(text_encoder.embedding)[tokens] + array(text_encoder.positions)
        out = transformer(text_encoder.transformer, e, real)
        right = sum(real[t] * out[t] for t in range(5)) / real.sum()
        close(left[n], right @ W, 1e-9)


@pytest.mark.equation("3.4.47")
def test_padding_has_no_influence(text_encoder):
    """y = y' where ρ = 1 ⇒ b(y, ρ) = b(y', ρ); a real token does have influence."""

    def encode(tokens):
        return np.asarray(text_encoder(jnp.asarray(tokens), jnp.asarray(REAL)))

    close(encode(np.where(REAL, TOKENS, 6)), encode(TOKENS))
    changed = TOKENS.copy()
    changed[0, 1] = 6
    assert np.abs(encode(changed) - encode(TOKENS))[0].max() > 1e-3


@pytest.mark.equation("3.4.48")
@pytest.mark.parametrize(("steps", "warmup"), [(20, 5), (20, 0), (7, 6)])
def test_the_learning_rate(steps, warmup, x64):
    """η_t = η_max t/t_w, then η_max (1 + cos(π (t − t_w)/(t_max − t_w)))/2: package and oracle."""
    schedule = warmup_cosine(0.3, steps, warmup)
    for t in range(steps + 1):
        angle = math.pi * (t - warmup) / (steps - warmup)
        right = 0.3 * t / warmup if t < warmup else 0.15 * (1 + math.cos(angle))
        close(schedule(jnp.asarray(t, jnp.float64)), right)
        close(formulas.warmup_cosine(t, 0.3, steps, warmup), right)
    close(formulas.warmup_cosine(steps, 0.3, steps, warmup), 0)


@pytest.mark.equation("3.4.49")
@pytest.mark.parametrize("limit", [0.1, 5.0, 13.0, 100.0])
def test_clipping(limit, x64):
    """g min(1, κ/‖g‖): one length for all arrays together, here 13."""
    g = {"a": jnp.asarray([3.0, 4.0]), "b": jnp.asarray([[12.0]])}
    clip = optax.clip_by_global_norm(limit)
    left = jax.jit(clip.update)(g, clip.init(g))[0]
    right = np.array([3.0, 4.0, 12.0]) * min(1, limit / 13)
    close(np.concatenate([left["a"], left["b"][0]]), right)
    close(formulas.clip_by_norm([3.0, 4.0, 12.0], limit), right)


@pytest.mark.equation("3.4.50")
def test_the_running_means(random, x64):
    """m ← β₁ m + (1−β₁) g, ν ← β₂ ν + (1−β₂) g²: optax's state against the sums written out."""
    gradients = random.normal(size=(6, 3))
    rule = optax.scale_by_adam(b1=0.9, b2=0.98)
    state = rule.init(jnp.zeros(3))
    for g in gradients:
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its step count with floats
            state = rule.update(jnp.asarray(g), state)[1]
    for power, beta, mean in ((1, 0.9, state.mu), (2, 0.98, state.nu)):
        ages = np.arange(len(gradients))[::-1]
        close(mean, sum((1 - beta) * beta**a * g**power
                        for a, g in zip(ages, gradients, strict=True)))  # fmt: skip
    close((1 - 0.9) * sum(0.9**a for a in range(6)), 1 - 0.9**6)


@pytest.mark.equation("3.4.51")
def test_the_step_of_adamw(random, x64):
    """θ ← θ − η (m̂ / (√ν̂ + ε) + λ θ), with λ for kernels only: the package against the oracle."""
    steps, warmup, peak = 8, 3, 0.1
    start = {"kernel": random.normal(size=(2, 3)), "bias": random.normal(size=3)}
    gradients = [
        {k: 2 * random.normal(size=x.shape) for k, x in start.items()} for _ in range(steps)
    ]
    rule = adamw(peak, steps, warmup=warmup, weight_decay=0.5, clip_norm=1.5, b2=0.98)
    theta = jax.tree.map(jnp.asarray, start)
    state, update = rule.init(theta), jax.jit(rule.update)
    right = {name: (x, 0.0, 0.0) for name, x in start.items()}
    for t, g in enumerate(gradients):
        with jax.numpy_dtype_promotion("standard"):
            updates, state = update(jax.tree.map(jnp.asarray, g), state, theta)
        theta = optax.apply_updates(theta, updates)
        length = math.sqrt(sum((x**2).sum() for x in g.values()))
        rate = formulas.warmup_cosine(t, peak, steps, warmup)
        for name, decay in (("kernel", 0.5), ("bias", 0.0)):
            clipped = g[name] * min(1, 1.5 / length)
            right[name] = formulas.adamw_step(
                *right[name], clipped, t, rate, 0.9, 0.98, 1e-8, decay
            )
            close(theta[name], right[name][0])


@pytest.mark.equation("3.4.52")
@pytest.mark.parametrize("block", [1, 3, 4, 10])
def test_the_log_sum_exp_of_a_column_in_blocks(random, block, x64):
    """Λ_m ← ln(e^{Λ_m} + Σ_{n in block} e^{z_nm}), from −∞: after the last block Λ(z_·m)."""
    z = random.normal(size=(10, 10)) * 5
    columns = np.full(10, -np.inf)
    for start in range(0, 10, block):
        columns = np.log(np.exp(columns) + np.exp(z[start : start + block]).sum(axis=0))
    close(columns, [math.log(sum(math.exp(x) for x in z[:, m])) for m in range(10)])
    loss = (formulas.log_sum_exp(z) + columns - 2 * np.diagonal(z)).mean() / 2
    arguments = jnp.asarray(z), jnp.eye(10), jnp.asarray(0.0)
    compiled = jax.jit(losses.blockwise_clip_loss, static_argnames="block_size")
    close(compiled(*arguments, block_size=block), loss)


@pytest.mark.equation("3.4.53")
@pytest.mark.parametrize("loss", [losses.clip_loss, losses.blockwise_clip_loss])
def test_both_softmaxes_from_two_log_sum_exps(loss, random, x64):
    """G_nm = (e^{z − Λ(row n)} + e^{z − Λ(column m)} − 2 δ) / (2N): the package's gradients."""
    z = random.normal(size=(5, 5))
    rows, columns = formulas.log_sum_exp(z, 1)[:, None], formulas.log_sum_exp(z, 0)[None, :]
    left = jax.jit(jax.grad(lambda z: loss(z, jnp.eye(5), jnp.asarray(0.0))))(jnp.asarray(z))
    close(left, (np.exp(z - rows) + np.exp(z - columns) - 2 * np.eye(5)) / 10)


@pytest.mark.equation("3.4.54")
@pytest.mark.parametrize("pairs", [64, 192])
def test_what_is_kept_for_the_backward_pass(pairs, random):
    """N_plain ≥ 2NE + N², N_blockwise = 2NE + 2N: what JAX holds between the two passes."""
    E = 8
    U, V = (jnp.asarray(x, jnp.float32) for x in random.normal(size=(2, pairs, E)))

    def kept(loss):
        backward = jax.vjp(loss, U, V, jnp.float32(1.0))[1]
        return sum(x.size for x in jax.tree.leaves(backward) if x.size > 1)

    assert kept(losses.clip_loss) >= 2 * pairs * E + pairs**2
    assert kept(functools.partial(losses.blockwise_clip_loss, block_size=16)) == (
        2 * pairs * E + 2 * pairs
    )


def moved(image, d, e):
    """(3.4.55) by a loop over the pixels."""
    out = np.zeros_like(image)
    for i, j in np.ndindex(image.shape):
        if 0 <= i + d < image.shape[0] and 0 <= j + e < image.shape[1]:
            out[i, j] = image[i + d, j + e]
    return out


@pytest.mark.equation("3.4.55")
@pytest.mark.parametrize("delta", [0, 1, 2])
def test_each_picture_moves_by_its_own_offset(delta, random, x64):
    """x'[i, j] = x[i + d, j + e] or 0 outside, d and e uniform on −δ … δ."""
    image = random.random((5, 7))
    copies = jnp.tile(jnp.asarray(image)[None, :, :, None], (400, 1, 1, 1))
    left = np.asarray(random_shift(copies, jax.random.key(0), pixels=delta))[..., 0]
    offsets = list(itertools.product(range(-delta, delta + 1), repeat=2))
    right = np.array([moved(image, d, e) for d, e in offsets])
    same = (left[:, None] == right[None]).all(axis=(2, 3))  # [picture, offset]
    assert (same.sum(axis=1) == 1).all()
    expected = 400 / len(offsets)
    assert (np.abs(same.sum(axis=0) - expected) <= 4 * math.sqrt(expected)).all()


@pytest.mark.equation("3.4.58")
def test_the_steepest_step_of_a_matrix(random):
    """No map of norm 1 has a larger product with G: random ones, and those close to U Vᵀ."""
    G = random.normal(size=(3, 5))
    U, values, V = np.linalg.svd(G, full_matrices=False)
    nuclear = sum(math.sqrt(x) for x in np.linalg.eigvalsh(G @ G.T))
    close((G * (U @ V)).sum(), nuclear)
    close(values.sum(), nuclear)
    for distance in (0.01, 0.1, 1.0, 10.0):
        for _ in range(50):
            O = U @ V + distance * random.normal(size=G.shape)  # noqa: E741
            O = O / np.linalg.norm(O, 2)  # noqa: E741
            assert (G * O).sum() < nuclear


@pytest.mark.equation("3.4.59")
@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_a_polynomial_of_a_matrix_is_one_of_its_singular_values(random, shape, x64):
    a, b, c = 3.4445, -4.775, 2.0315
    X = random.normal(size=shape)
    U, s, V = np.linalg.svd(X, full_matrices=False)
    left = a * X + b * (X @ X.T) @ X + c * (X @ X.T) @ (X @ X.T) @ X
    close(left, U @ np.diag(a * s + b * s**3 + c * s**5) @ V)
    close(orthogonalize(jnp.asarray(X)), formulas.orthogonalize(X), 1e-6)
    values = np.linalg.svd(formulas.orthogonalize(X), compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.25


@pytest.mark.equation("3.4.60")
@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_the_step_of_muon(random, shape, x64):
    """Momentum, orthogonal direction, decay: matrix products against singular values."""
    steps, warmup, peak = 8, 3, 0.1
    W, D = random.normal(size=shape), np.zeros(shape)
    rule = muon(peak, steps, warmup=warmup, momentum=0.9, weight_decay=0.5, clip_norm=1.5)
    theta = {"kernel": jnp.asarray(W)}
    state = rule.init(theta)
    for t in range(steps):
        G = 2 * random.normal(size=shape)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = rule.update({"kernel": jnp.asarray(G)}, state, theta)
        theta = optax.apply_updates(theta, updates)
        rate = formulas.warmup_cosine(t, peak, steps, warmup)
        W, D = formulas.muon_step(W, D, formulas.clip_by_norm(G, 1.5), rate, 0.9, 0.5)
    close(theta["kernel"], W, 1e-6)
