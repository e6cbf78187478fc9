"""Shards and their index, folders that transformers wrote, and folders that are not whole."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mmjax.pretrained import (
    load_pretrained,
    published_tensors,
    read_config,
    read_safetensors,
    read_tensors,
    save_pretrained,
    write_safetensors,
)
from mmjax.pretrained.folder import INDEX, WHOLE
from mmjax.pretrained.load import abstract_model

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(5, dtype=np.float16),
    "c": np.array(7, np.int64),
    "d": np.arange(3, dtype=np.float32).astype(jnp.bfloat16),
    "e": np.zeros((0, 2), np.float32),
}
PLACES = {"a": ONE, "b": ONE, "c": ONE, "d": TWO, "e": TWO}


def write_shards(folder, places=PLACES, index=None):
    for name in set(PLACES.values()):
        write_safetensors(folder / name, {t: TENSORS[t] for t in PLACES if PLACES[t] == name})
    index = {"metadata": {"total_size": 1}, "weight_map": places} if index is None else index
    (folder / INDEX).write_text(index if isinstance(index, str) else json.dumps(index))


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert right[name].dtype == tensor.dtype
        np.testing.assert_array_equal(right[name], tensor)


def test_shards_are_read_as_one(tmp_path):
    write_shards(tmp_path)
    assert_same(read_tensors(tmp_path), TENSORS)


def test_the_single_file_goes_first(tmp_path):
    write_shards(tmp_path)
    write_safetensors(tmp_path / WHOLE, {"z": np.ones(2, np.float32)})
    assert read_tensors(tmp_path).keys() == {"z"}


@pytest.mark.parametrize(
    "name",
    [
        "../x.safetensors",
        "/x.safetensors",
        "a/x.safetensors",
        "..\\x.safetensors",
        "C:x.safetensors",
    ]
    + ["", "..", "weights.bin", 3, None],
)
def test_an_index_never_leaves_its_folder(tmp_path, name):
    (tmp_path / "x.safetensors").write_bytes((10).to_bytes(8, "little"))  # read, it would complain
    (tmp_path / "in").mkdir()
    write_shards(tmp_path / "in", PLACES | {"a": name})
    with pytest.raises(ValueError, match=r"index\.json: a: .*same folder expected, got"):
        read_tensors(tmp_path / "in")


def test_all_that_shards_lack_is_listed_at_once(tmp_path):
    absent = "model-00003-of-00003.safetensors"
    places = {name: place for name, place in PLACES.items() if name != "e"}
    write_shards(tmp_path, places | {"b": TWO, "f": ONE, "g": absent})
    with pytest.raises(ValueError, match="files do not fit") as error:
        read_tensors(tmp_path)
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        f"missing file: {absent}",
        f"not in {ONE}: f",
        f"in {ONE}, but not in the index: b",
        f"not in {TWO}: b",
        f"in {TWO}, but not in the index: e",
    ]


@pytest.mark.parametrize("index", ["", "[1]", "{}", '{"weight_map": {}}', '{"weight_map": [1]}'])
def test_a_broken_index_is_named(tmp_path, index):
    write_shards(tmp_path, index=index)
    with pytest.raises(ValueError, match=r"index\.json"):
        read_tensors(tmp_path)


def test_a_damaged_shard_is_named(tmp_path):
    write_shards(tmp_path)
    (tmp_path / TWO).write_bytes((tmp_path / TWO).read_bytes()[:-1])
    with pytest.raises(ValueError, match=TWO):
        read_tensors(tmp_path)


def test_without_weights_it_says_what_is_wanted(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"neither {WHOLE} nor {INDEX}$"):
        read_tensors(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"pytorch_model\.bin is pickled.*save_pretrained"):
        read_tensors(tmp_path)


def test_a_file_may_be_written_over_itself_and_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_safetensors(path, TENSORS)
    write_safetensors(path, read_safetensors(path))  # views of the very file
    assert_same(read_safetensors(path), TENSORS)

    def full(*paths):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk is full"):
        write_safetensors(path, {"a": np.ones(3, np.float32)})
    assert_same(read_safetensors(path), TENSORS)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_the_writer_agrees_with_the_library(tmp_path):
    numpy_file = pytest.importorskip("safetensors.numpy")
    write_safetensors(tmp_path / "x", {k: v.T for k, v in TENSORS.items() if k != "d"})
    read = numpy_file.load_file(tmp_path / "x")
    assert_same(read, {k: v.T for k, v in TENSORS.items() if k != "d"})
    write_safetensors(tmp_path / "x", TENSORS)
    assert_same(read_safetensors(tmp_path / "x"), TENSORS)
    start = int.from_bytes((tmp_path / "x").read_bytes()[:8], "little")
    assert start % 8 == 0
    with pytest.raises(TypeError, match=r"'tensors'.*complex128\[2\]"):
        write_safetensors(tmp_path / "x", {"a": np.zeros(2, complex)})


TOWER = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 14}
SMALL = {
    "model_type": "clip",
    "projection_dim": 5,
    "vision_config": TOWER | {"hidden_size": 10, "image_size": 12, "patch_size": 4},
    "text_config": TOWER | {"hidden_size": 6, "vocab_size": 23, "max_position_embeddings": 7},
}


def small_clip():
    """Random numbers everywhere, norms and biases too; drawn by NumPy, as nothing compiles then."""
    rng = np.random.default_rng(0)
    graph, state = nnx.split(abstract_model(read_config(SMALL)))
    draw = lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape), jnp.float32)  # noqa: E731
    return nnx.merge(graph, jax.tree.map(draw, state))


def test_a_saved_model_comes_back_bit_by_bit(tmp_path):
    model = small_clip()
    save_pretrained(model, tmp_path / "new")
    again = load_pretrained(tmp_path / "new")
    assert again.config == model.config
    assert_same(published_tensors(again), published_tensors(model))


def test_large_checkpoints_of_transformers_are_in_shards(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = transformers.CLIPModel(transformers.CLIPConfig(**SMALL)).to(torch.float16)
    theirs.save_pretrained(tmp_path, max_shard_size="2KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert not (tmp_path / WHOLE).exists()
    ours = published_tensors(load_pretrained(tmp_path))
    expected = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    assert ours.keys() == expected.keys()
    for name, tensor in ours.items():  # float16 in the file, float32 here, no number changed
        assert tensor.dtype == np.float32 and expected[name].dtype == np.float16
        np.testing.assert_array_equal(tensor, expected[name].astype(np.float32))


def test_transformers_reads_what_is_saved_here(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = small_clip()
    save_pretrained(model, tmp_path)
    theirs, report = transformers.CLIPModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 12, 12, 3)).astype(np.float32)
    tokens = rng.integers(0, 23, (3, 7)).astype(np.int32)
    with torch.no_grad():
        pixels = torch.tensor(images.transpose(0, 3, 1, 2))
        out = theirs.eval()(pixel_values=pixels, input_ids=torch.tensor(tokens).long())
    logits = nnx.jit(lambda model, *inputs: model(*inputs))(model, images, tokens)
    np.testing.assert_allclose(logits, out.logits_per_image, atol=2e-5)
