"""Section 3.6: what published models compute, in float64, beside the oracle."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from mmjax import formulas
from mmjax.attention.activations import ACTIVATIONS
from mmjax.modalities.unigram import best_split
from mmjax.pretrained import clip_preparation, published_shapes, read_config, siglip_preparation
from mmjax.pretrained.load import abstract_model
from mmjax.pretrained.names import PATCHES

SIDE, P, S, V, HEADS = 6, 3, 5, 11, 2
TOWER = {"num_hidden_layers": 2, "num_attention_heads": HEADS}
IMAGE = TOWER | {"hidden_size": 6, "intermediate_size": 7, "image_size": SIDE, "patch_size": P}
TEXT = TOWER | {"hidden_size": 4, "intermediate_size": 5, "vocab_size": V}
TEXT |= {"max_position_embeddings": S}
CLIP = {"model_type": "clip", "projection_dim": 3, "vision_config": IMAGE}
CLIP |= {"text_config": TEXT | {"eos_token_id": V - 1}}
SIGLIP = {"model_type": "siglip", "vision_config": IMAGE}
SIGLIP |= {"text_config": TEXT | {"projection_size": 6}}
RANDOM = np.random.default_rng(36)
PICTURES = RANDOM.normal(size=(2, SIDE, SIDE, 3))
TEXTS = np.array([[7, 2, 3, V - 1, 1], [7, V - 1, V - 1, 4, 2]])
OTHERS = np.array([[7, 2, 3, V - 1, 9], [7, V - 1, 1, 5, 6]])  # the same up to the first end


def close(left, right, tolerance=1e-10):
    np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


@functools.cache
def made(kind):
    """A model with all of its numbers random, in float64, and what it computes of the inputs."""
    random = np.random.default_rng(6)
    graph, state = nnx.split(abstract_model(read_config(CLIP if kind == "clip" else SIGLIP)))
    state = jax.tree.map(lambda leaf: jnp.asarray(0.4 * random.normal(size=leaf.shape)), state)
    run = jax.jit(lambda state, *inputs: outputs(nnx.merge(graph, state), *inputs))
    return nnx.merge(graph, state), run(
        state, jnp.asarray(PICTURES), jnp.asarray([*TEXTS, *OTHERS])
    )


def outputs(model, images, tokens):
    return model.encode_image(images), model.encode_text(tokens), model(images, tokens)


def array(variable):
    return np.asarray(variable[...], np.float64)


def linear(x, parameters):
    return x @ parameters["kernel"] + parameters.get("bias", 0)


def attend(parameters, query, x, mask=None):
    """Multi-head attention of the oracle, with the biases that it leaves out."""
    maps = [linear(a, parameters[n]) for a, n in ((query, "query"), (x, "key"), (x, "value"))]
    heads = zip(*(np.split(y, HEADS, axis=1) for y in maps), strict=True)
    parts = [formulas.scaled_dot_product_attention(*qkv, mask) for qkv in heads]
    return linear(np.concatenate(parts, axis=1), parameters["output"])


def transformer(module, x, activation, epsilon, mask=None):
    """The pre-norm Transformer on one sequence [T, M], a layer after another."""
    state = nnx.to_pure_dict(nnx.state(module.blocks))
    for layer in range(2):
        block = jax.tree.map(lambda leaf, layer=layer: np.asarray(leaf[layer]), state)
        h = formulas.layer_norm(x, **block["attention_norm"], epsilon=epsilon)
        x = x + attend(block["attention"], h, h, mask)
        h = formulas.layer_norm(x, **block["mlp_norm"], epsilon=epsilon)
        x = x + linear(activation(linear(h, block["mlp"]["expand"])), block["mlp"]["contract"])
    return norm(module.norm, x, epsilon)


def norm(module, x, epsilon):
    return formulas.layer_norm(x, array(module.scale), array(module.bias), epsilon)


def patch_sums(kernel, picture):
    """e_t by loops over the pixels of each patch."""
    e = np.zeros((4, kernel.shape[1]))
    for t, i, j, k in np.ndindex(4, P, P, 3):
        e[t] += picture[t // 2 * P + i, t % 2 * P + j, k] * kernel[(i * P + j) * 3 + k]
    return e


@pytest.mark.equation("3.6.1")
@pytest.mark.parametrize("make", [clip_preparation, siglip_preparation])
def test_pixels_are_scaled_and_shifted(make):
    pixels = RANDOM.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    prepare = make(SIDE)
    got = prepare([Image.fromarray(pixels)])[0]
    for i, j, k in np.ndindex(pixels.shape):
        expected = (pixels[i, j, k] / 255 - prepare.mean[k]) / prepare.deviation[k]
        assert got[i, j, k] == pytest.approx(expected, abs=1e-6)  # pictures are float32


@pytest.mark.equation("3.6.2", "3.6.3")
def test_the_class_token_is_the_picture_of_clip(x64):
    model, (u, _, _) = made("clip")
    tower = model.image
    for n, picture in enumerate(PICTURES):
        e = np.vstack([array(tower.class_token), patch_sums(array(tower.patches.kernel), picture)])
        x = norm(tower.first_norm, e + array(tower.positions), 1e-5)
        x = transformer(tower.transformer, x, formulas.quick_gelu, 1e-5)
        close(u[n], formulas.normalize(x[0] @ array(model.image_projection.kernel)))


@pytest.mark.equation("3.6.4")
def test_the_kernel_of_a_convolution_is_the_map_of_the_patches():
    K, x = RANDOM.normal(size=(5, 3, P, P)), PICTURES[0]
    W = PATCHES.there(K)
    for m, i, j, k in np.ndindex(5, P, P, 3):
        assert W[(i * P + j) * 3 + k, m] == K[m, k, i, j]
    close((K * x[:P, :P].transpose(2, 0, 1)).sum((1, 2, 3)), patch_sums(W, x)[0])
    np.testing.assert_array_equal(PATCHES.back(W, P), K)


@pytest.mark.equation("3.6.5", "3.6.6")
def test_activations_are_their_formulas(x64):
    x = np.linspace(-9, 9, 1001)
    for name in ("gelu", "quick_gelu", "gelu_tanh"):
        close(ACTIVATIONS[name](jnp.asarray(x)), getattr(formulas, name)(x), 1e-12)
    phi = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in x])
    close(formulas.gelu(x), x * phi, 1e-12)


@pytest.mark.equation("3.6.7")
def test_how_far_the_approximations_are_from_gelu():
    """On a grid of 1e-4; second derivatives are below 1, so between two points is 1e-8 at most."""
    x = np.linspace(-12, 12, 240_001)
    quick = np.abs(formulas.quick_gelu(x) - formulas.gelu(x)).max()
    tanh = np.abs(formulas.gelu_tanh(x) - formulas.gelu(x)).max()
    assert 0.0203 < quick < 0.0204 - 1e-5 and 0.0004 < tanh < 0.0005 - 1e-5
    far = np.array([12.0, 20.0, 100.0])  # beyond, each is x or 0 to ten digits
    for f in (formulas.gelu, formulas.quick_gelu, formulas.gelu_tanh):
        close(f(far), far, 1e-7)
        close(f(-far), 0 * far, 1e-7)


@pytest.mark.equation("3.6.8")
def test_the_end_is_the_largest_id_and_its_first_place():
    for text in RANDOM.integers(0, V, (200, S)):
        if V - 1 in text:
            assert formulas.end_of_text(text, V - 1) == np.argmax(text)


@pytest.mark.equation("3.6.8", "3.6.9")
def test_the_end_token_is_the_text_of_clip(x64):
    model, (_, v, _) = made("clip")
    tower, causal = model.text, np.tril(np.ones((S, S), bool))
    for n, text in enumerate(TEXTS):
        x = array(tower.table)[text] + array(tower.positions)
        x = transformer(tower.transformer, x, formulas.quick_gelu, 1e-5, causal)
        b = x[formulas.end_of_text(text, V - 1)] @ array(model.text_projection.kernel)
        close(v[n], formulas.normalize(b))


@pytest.mark.equation("3.6.10")
def test_what_follows_the_end_is_not_read_by_clip_and_is_by_siglip(x64):
    for kind in ("clip", "siglip"):
        v = np.asarray(made(kind)[1][1])
        difference = np.abs(v[:2] - v[2:]).max(axis=1)
        assert (difference < 1e-14).all() if kind == "clip" else (difference > 1e-3).all()


@pytest.mark.equation("3.6.11")
def test_a_query_reads_the_picture_of_siglip(x64):
    model, (u, _, _) = made("siglip")
    parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model.pool)))
    for n, picture in enumerate(PICTURES):
        x = patch_sums(array(model.patches.kernel), picture) + array(model.patches.bias)
        x = x + array(model.image_positions)
        x = transformer(model.image_transformer, x, formulas.gelu_tanh, 1e-6)
        p = attend(parameters["attention"], parameters["query"], x)
        h = linear(norm(model.pool.norm, p, 1e-6), parameters["mlp"]["expand"])
        a = p + linear(formulas.gelu_tanh(h), parameters["mlp"]["contract"])
        close(u[n], formulas.normalize(a[0]))


def test_siglip_reads_its_text_at_the_last_token(x64):
    model, (_, v, _) = made("siglip")
    for n, text in enumerate(TEXTS):
        x = array(model.table)[text] + array(model.text_positions)
        x = transformer(model.text_transformer, x, formulas.gelu_tanh, 1e-6)
        parameters = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model.text_projection)))
        close(v[n], formulas.normalize(linear(x[-1], parameters)))


@pytest.mark.equation("3.6.12", "3.6.13")
def test_each_pair_of_siglip_is_a_question_of_its_own(x64):
    model, (u, v, z) = made("siglip")
    u, v, s, b = np.asarray(u), np.asarray(v), array(model.logit_scale), array(model.logit_bias)
    close(z, math.exp(s) * np.einsum("ne,ke->nk", u, v) + b)
    probability = 1 / (1 + np.exp(-np.asarray(z)))
    close(probability, np.exp(z) / (1 + np.exp(z)))
    for s, b in itertools.product((0.5, math.log(10)), (-1.3, 0.2, -10.0)):
        for cosine in RANDOM.uniform(-1, 1, 50):
            likely = 1 / (1 + math.exp(-math.exp(s) * cosine - b)) > 0.5
            assert likely == (cosine > -b * math.exp(-s))
    assert 10 * math.exp(-math.log(10)) == pytest.approx(1)  # −b e^{−s} at the start


@pytest.mark.equation("3.6.14", "3.6.15")
def test_viterbi_finds_the_largest_product():
    draw = np.random.default_rng(1)
    letters = np.array(list("xyz"))
    pieces = {"".join(draw.choice(letters, draw.integers(2, 5))) for _ in range(20)} | set("xy")
    p = {piece: draw.uniform(0.01, 0.2) for piece in sorted(pieces)}
    ln_p = {piece: math.log(value) for piece, value in p.items()}
    unknown = min(ln_p.values()) - 10
    for _ in range(20):
        text = "".join(draw.choice(letters, draw.integers(1, 10)))
        cut = best_split(text, ln_p, 4, unknown)
        product = math.prod(p.get(piece, math.exp(unknown)) for piece in cut)
        _, total = formulas.best_split(text, ln_p, unknown)
        assert math.log(product) == pytest.approx(total, rel=1e-10) and "".join(cut) == text


@pytest.mark.equation("3.6.16", "3.6.17")
@pytest.mark.parametrize(
    ("P", "M", "L", "M_text", "E", "count"),
    [
        (32, 768, 12, 512, 512, 151_277_313),
        (16, 768, 12, 512, 512, 149_620_737),
        (14, 1024, 24, 768, 768, 427_616_513),
    ],
)
def test_the_published_models_have_so_many_numbers(P, M, L, M_text, E, count):
    image = {"patch_size": P, "hidden_size": M, "intermediate_size": 4 * M, "num_hidden_layers": L}
    text = {"hidden_size": M_text, "intermediate_size": 4 * M_text}
    sizes = {"model_type": "clip", "projection_dim": E}
    sizes |= {"vision_config": image | {"num_attention_heads": M // 64}}
    sizes |= {"text_config": text | {"num_attention_heads": M_text // 64}}
    shapes = published_shapes(read_config(sizes))
    args = (224, P, M, 4 * M, L, 49408, 77, M_text, 4 * M_text, 12, E)
    assert sum(map(math.prod, shapes.values())) == formulas.clip_parameters(*args) == count
    blocks = [k for k in shapes if k.startswith(("vision_model.encoder", "vision_model.post"))]
    stack = sum(math.prod(shapes[name]) for name in blocks)
    assert stack == formulas.transformer_parameters(M, 4 * M, L)
