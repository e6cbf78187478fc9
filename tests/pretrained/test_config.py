"""Config files as they are published: the sizes and shapes that transformers makes of them."""

import pytest

from mmjax.pretrained import published_shapes, read_config
from mmjax.pretrained.config import write_config

OLD = {"model_type": "clip", "projection_dim": 512, "logit_scale_init_value": 2.6592}
OLD_TEXT = {
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
    "model_type": "clip_text_model",
}
TOWER_14 = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
TOWER_14 |= {"num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768}
TEXT_14 = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
SO400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27}
SO400M |= {"num_attention_heads": 16}
# What sets each published family apart in its config.json; what is left out there is left out here.
FILES = {
    "OpenAI, ViT-B/32": OLD
    | {
        "text_config": OLD_TEXT | {"hidden_size": 512, "hidden_act": "quick_gelu"},
        "text_config_dict": None,
        "vision_config": {"hidden_size": 768, "patch_size": 32, "torch_dtype": None},
        "vision_config_dict": None,
        "torch_dtype": "float32",
    },
    "OpenAI, ViT-B/16": OLD | {"text_config": OLD_TEXT, "vision_config": {"patch_size": 16}},
    "OpenAI, ViT-L/14, 336 pixels, sizes given twice": OLD
    | {
        "projection_dim": 768,
        "text_config": OLD_TEXT | TEXT_14,
        "text_config_dict": TEXT_14 | {"num_hidden_layers": 12, "projection_dim": 768},
        "vision_config": TOWER_14 | {"image_size": 224},
        "vision_config_dict": TOWER_14 | {"image_size": 336},
    },
    "LAION, ViT-B/32, another activation": OLD
    | {"text_config": {"hidden_act": "gelu"}, "vision_config": {"hidden_act": "gelu"}},
    "LAION, ViT-H/14, heads of 80": OLD
    | {
        "projection_dim": 1024,
        "text_config": OLD_TEXT
        | {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
        | {"num_hidden_layers": 24, "hidden_act": "gelu"},
        "vision_config": {"hidden_size": 1280, "intermediate_size": 5120, "hidden_act": "gelu"}
        | {"num_attention_heads": 16, "num_hidden_layers": 32, "patch_size": 14},
    },
    "one tower left out": OLD | {"text_config": None, "vision_config": {"patch_size": 16}},
    "everything left out": {"model_type": "clip"},
    "SigLIP, base": {
        "model_type": "siglip",
        "initializer_factor": 1.0,
        "text_config": {"model_type": "siglip_text_model"},
        "vision_config": {"model_type": "siglip_vision_model"},
    },
    "SigLIP, base, many languages": {
        "model_type": "siglip",
        "text_config": {"vocab_size": 250000},
        "vision_config": {"image_size": 256},
    },
    "SigLIP, SO-400M, 14 does not divide 384": {
        "model_type": "siglip",
        "text_config": SO400M,
        "vision_config": SO400M | {"image_size": 384, "patch_size": 14},
    },
    "SigLIP 2 in the form of SigLIP": {
        "model_type": "siglip",
        "text_config": {"vocab_size": 256000, "projection_size": 768, "hidden_act": "gelu"},
        "vision_config": {},
    },
}


@pytest.mark.parametrize("name", FILES)
def test_names_and_shapes_are_those_of_transformers(name):
    """The models are made without storage, so the largest one costs nothing."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    kind = "CLIP" if FILES[name]["model_type"] == "clip" else "Siglip"
    settings = getattr(transformers, f"{kind}Config")(**FILES[name])
    with torch.device("meta"):
        theirs = getattr(transformers, f"{kind}Model")(settings)
    config = read_config(FILES[name])
    expected = {tensor: tuple(value.shape) for tensor, value in theirs.state_dict().items()}
    assert published_shapes(config) == expected
    for ours, them in ((config.image, settings.vision_config), (config.text, settings.text_config)):
        assert ours.heads == them.num_attention_heads
        assert ours.epsilon == them.layer_norm_eps
        act = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}
        assert ours.activation == act[them.hidden_act]
    if kind == "CLIP":
        end = settings.text_config.eos_token_id
        assert (config.end_token, config.legacy_end) == (end, end == 2)


@pytest.mark.parametrize("name", FILES)
def test_a_written_config_says_the_same(name):
    config = read_config(FILES[name])
    assert read_config(write_config(config)) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "model_type"),
        ({"model_type": "siglip2"}, "'clip' or 'siglip' expected, got 'siglip2'"),
        ({"model_type": "clip", "text_config": {"hidden_act": "relu"}}, "hidden_act.*'relu'"),
        ({"model_type": "clip", "text_config": [1]}, "text_config: a mapping expected"),
        ({"model_type": "clip", "projection_dim": None}, "projection_dim: a whole number"),
        ({"model_type": "siglip", "vision_config": {"image_size": "224"}}, "image_size: a whole"),
        ({"model_type": "siglip", "vision_config": {"num_hidden_layers": 0}}, "'layers'"),
        ({"model_type": "clip", "vision_config": {"layer_norm_eps": "0"}}, "layer_norm_eps"),
        ({"model_type": "clip", "vision_config": {"num_attention_heads": 7}}, "heads"),
    ],
)
def test_settings_that_make_no_model_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        published_shapes(read_config(settings))
