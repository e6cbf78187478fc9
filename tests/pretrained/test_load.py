"""Checkpoints of transformers give the same numbers here, and a wrong one gives one error."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.pretrained import load_pretrained, read_safetensors

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

SIDE, LENGTH, V = 12, 7, 23
TOWER = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 14}
VISION = TOWER | {"hidden_size": 10, "image_size": SIDE, "patch_size": 4}
TEXT = TOWER | {"hidden_size": 6, "vocab_size": V, "max_position_embeddings": LENGTH}
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, SIDE, SIDE, 3)).astype(np.float32)
TOKENS = RNG.integers(0, V - 1, (4, LENGTH)).astype(np.int32)
TOKENS[np.arange(4), [6, 2, 4, 1]] = V - 1  # the end of the text, and ids after it


def save(model, folder):
    """Random weights that are far from their start, norms and biases too."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.copy_(0.3 * torch.randn(parameter.shape) + 0.1)
    model.eval().save_pretrained(folder, safe_serialization=True)
    return model


def make_clip(end=V - 1, activation="quick_gelu"):
    both = {"projection_dim": 5, "hidden_act": activation}
    config = transformers.CLIPConfig(
        vision_config=VISION | both,
        text_config=TEXT | both | {"eos_token_id": end},
        projection_dim=5,
    )
    return transformers.CLIPModel(config)


def make_old_clip():
    """As LAION's and OpenAI's first files: GELU, the end by its size, and stored positions."""
    model = make_clip(2, "gelu")
    for tower, count in ((model.text_model, LENGTH), (model.vision_model, 10)):
        tower.embeddings.register_buffer("position_ids", torch.arange(count)[None])
    return model


def make_siglip(patch_size=4):
    text, vision = TEXT | {"projection_size": 10}, VISION | {"patch_size": patch_size}
    return transformers.SiglipModel(
        transformers.SiglipConfig(vision_config=vision, text_config=text)
    )


MADE = {
    "clip": make_clip,
    "clip, old": make_old_clip,
    "siglip": make_siglip,
    "siglip, patches that do not divide": lambda: make_siglip(5),
}


def make_pair(name, folder):
    torch.manual_seed(0)
    return save(MADE[name](), folder), load_pretrained(folder)


@pytest.fixture(params=["clip", "siglip"])
def pair(request, tmp_path):
    return make_pair(request.param, tmp_path)


@pytest.mark.parametrize("name", MADE)
def test_features_and_logits_are_those_of_transformers(name, tmp_path):
    theirs, ours = make_pair(name, tmp_path)
    stored = [n for n in read_safetensors(tmp_path / "model.safetensors") if "position_ids" in n]
    assert len(stored) == (2 if "old" in name else 0)
    pixels = torch.tensor(IMAGES.transpose(0, 3, 1, 2))
    with torch.no_grad():
        out = theirs(pixel_values=pixels, input_ids=torch.tensor(TOKENS).long())
    run = nnx.jit(
        lambda model, images, tokens: (
            model.encode_image(images),
            model.encode_text(tokens),
            model(images, tokens),
        )
    )
    image, text, logits = run(ours, jnp.asarray(IMAGES), jnp.asarray(TOKENS))
    np.testing.assert_allclose(image, out.image_embeds.numpy(), atol=2e-6)
    np.testing.assert_allclose(text, out.text_embeds.numpy(), atol=2e-6)
    np.testing.assert_allclose(logits, out.logits_per_image.numpy(), atol=5e-5)
    bias = float(ours.logit_bias[...]) if hasattr(ours, "logit_bias") else 0.0
    scaled = math.exp(float(ours.logit_scale[...])) * np.asarray(image @ text.T) + bias
    np.testing.assert_allclose(logits, scaled, atol=1e-5)


def edit(folder, change):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({k: np.array(v, order="C") for k, v in tensors.items()}, folder / "model.safetensors")


def test_everything_that_does_not_fit_is_listed_at_once(tmp_path):
    save(make_clip(), tmp_path)

    def spoil(tensors):
        del tensors["visual_projection.weight"]
        del tensors["text_model.encoder.layers.1.mlp.fc1.bias"]
        tensors["head.weight"] = np.zeros((2, 2), np.float32)
        tensors["text_model.embeddings.position_ids"] = np.arange(LENGTH)[None]  # known, ignored
        tensors["vision_model.pre_layrnorm.weight"] = np.zeros(11, np.float32)
        tensors["text_model.encoder.layers.1.layer_norm1.bias"] = np.zeros(7, np.float32)
        tensors["vision_model.pre_layrnorm.bias"] = np.zeros(10, np.int32)
        transposed = tensors["text_projection.weight"].T
        tensors["text_projection.weight"] = transposed

    edit(tmp_path, spoil)
    with pytest.raises(ValueError, match="do not fit") as error:
        load_pretrained(tmp_path)
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        "missing: text_model.encoder.layers.1.mlp.fc1.bias",
        "missing: visual_projection.weight",
        "left over: head.weight",
        "wrong shape: text_model.encoder.layers.1.layer_norm1.bias [7], expected [6]",
        "wrong shape: text_projection.weight [6, 5], expected [5, 6]",
        "not floating-point: vision_model.pre_layrnorm.bias int32",
        "wrong shape: vision_model.pre_layrnorm.weight [11], expected [10]",
    ]


def test_half_precision_becomes_float32(tmp_path):
    whole = save(make_siglip(), tmp_path)
    wide = load_pretrained(tmp_path)
    whole.to(torch.bfloat16).save_pretrained(tmp_path, safe_serialization=True)
    narrow = load_pretrained(tmp_path)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(nnx.state(narrow)))
    pairs = zip(*(jax.tree.leaves(nnx.state(m)) for m in (wide, narrow)), strict=True)
    assert max(float(jnp.abs(a - b).max()) for a, b in pairs) < 0.02


def test_a_broken_config_is_named(tmp_path):
    for content in ("", "[]"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=r"config\.json"):
            load_pretrained(tmp_path)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_exports(pair, platform):
    graph, state = nnx.split(pair[1])
    run = jax.jit(lambda state, images, tokens: nnx.merge(graph, state)(images, tokens))
    exported = jax.export.export(run, platforms=[platform])(state, IMAGES, TOKENS)
    assert exported.platforms == (platform,)


def test_wrong_inputs_are_named(pair):
    ours = pair[1]
    for argument, call in {
        "images": lambda: ours.encode_image(jnp.zeros((1, SIDE, SIDE + 1, 3))),
        "tokens": lambda: ours.encode_text(jnp.full((1, LENGTH), V)),
    }.items():
        with pytest.raises(ValueError, match=f"argument '{argument}'"):
            call()
    with pytest.raises(TypeError, match="argument 'tokens'"):
        ours.encode_text(jnp.zeros((1, LENGTH)))


def test_the_reader_agrees_with_the_library(tmp_path):
    from safetensors.numpy import save_file

    tensors = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3, np.int32), "c": np.zeros((0, 2))}
    tensors["d"] = RNG.normal(size=5).astype(np.float16)
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "np"})
    read = read_safetensors(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read[name], tensor)
        assert read[name].dtype == tensor.dtype


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        (10**6).to_bytes(8, "little"),
        file_of(b"not json"),
        file_of([1]),
        file_of({"a": ENTRY}),  # no data
        file_of({"a": ENTRY | {"shape": [3]}}, bytes(8)),
        file_of({"a": ENTRY | {"dtype": "PICKLE"}}, bytes(8)),
        file_of({"a": ENTRY | {"data_offsets": [-4, 4]}}, bytes(8)),
        file_of({"a": {"dtype": "F32"}}, bytes(8)),
        file_of({"a": ENTRY | {"shape": [-2]}}, bytes(8)),
        file_of(b"[" * 100_000),
        file_of({"a": ENTRY | {"data_offsets": [0, 8.0]}}, bytes(8)),
        file_of({"a": ENTRY | {"shape": [0, 10**30], "data_offsets": [0, 0]}}, bytes(8)),
        file_of({"a": ENTRY, "b": ENTRY}, bytes(8)),  # two tensors in one place
        file_of({"a": ENTRY}, bytes(12)),  # bytes of no tensor
    ],
)
def test_a_damaged_file_is_one_clear_error(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.safetensors"):
        read_safetensors(path)
