"""The sizes of a published model, between its config.json and our configurations.

A published file names only what differs from the defaults of transformers, which are written here.
"""

from collections.abc import Mapping

from mmjax.attention import TransformerConfig
from mmjax.models.public_clip import PublicCLIPConfig
from mmjax.models.public_siglip import SigLIPConfig

Config = PublicCLIPConfig | SigLIPConfig

ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}
LEGACY_END = 2  # CLIP's first config files give this id, and mean the largest id of a text
BASE = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "image_size": 224,
}
CLIP = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
CLIP_IMAGE = BASE | CLIP | {"patch_size": 32}
CLIP_TEXT = BASE | CLIP | {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048}
CLIP_TEXT |= {"vocab_size": 49408, "max_position_embeddings": 77, "eos_token_id": 49407}
SIGLIP = {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
SIGLIP_IMAGE = BASE | SIGLIP | {"patch_size": 16}
SIGLIP_TEXT = BASE | SIGLIP | {"vocab_size": 32000, "max_position_embeddings": 64}


def read_config(settings: Mapping) -> Config:
    """Sizes from the contents of config.json, by its `model_type`.

    Raises ValueError for another type, an unknown activation, or a size that is no whole number.
    """
    kind = settings.get("model_type")
    if kind not in ("clip", "siglip"):
        raise ValueError(f"load_pretrained: model_type 'clip' or 'siglip' expected, got {kind!r}")
    return (clip_config if kind == "clip" else siglip_config)(settings)


def clip_config(settings: Mapping) -> PublicCLIPConfig:
    """Sizes from CLIP's config.json; what it leaves out has the value of ViT-B/32."""
    image = _part(settings, "vision_config", CLIP_IMAGE)
    text = _part(settings, "text_config", CLIP_TEXT)
    end = _whole(text, "eos_token_id")
    return PublicCLIPConfig(
        image_size=_whole(image, "image_size"),
        patch_size=_whole(image, "patch_size"),
        image=_transformer(image),
        vocabulary=_whole(text, "vocab_size"),
        length=_whole(text, "max_position_embeddings"),
        text=_transformer(text),
        embedding=_whole({"projection_dim": 512} | dict(settings), "projection_dim"),
        end_token=end,
        legacy_end=end == LEGACY_END,
    )


def siglip_config(settings: Mapping) -> SigLIPConfig:
    """Sizes from SigLIP's config.json; what it leaves out has the value of the base model."""
    image = _part(settings, "vision_config", SIGLIP_IMAGE)
    text = _part(settings, "text_config", SIGLIP_TEXT)
    if text.get("projection_size") is None:
        text["projection_size"] = text["hidden_size"]
    return SigLIPConfig(
        image_size=_whole(image, "image_size"),
        patch_size=_whole(image, "patch_size"),
        image=_transformer(image),
        vocabulary=_whole(text, "vocab_size"),
        length=_whole(text, "max_position_embeddings"),
        text=_transformer(text),
        embedding=_whole(text, "projection_size"),
    )


def write_config(config: Config) -> dict:
    """The contents of a config.json that says the same, for transformers too."""
    clip = isinstance(config, PublicCLIPConfig)
    text = _written(config.text) | {"vocab_size": config.vocabulary}
    text |= {"max_position_embeddings": config.length}
    image = _written(config.image)
    image |= {"image_size": config.image_size, "patch_size": config.patch_size}
    if not clip:
        text |= {"projection_size": config.embedding}
        return {"model_type": "siglip", "text_config": text, "vision_config": image}
    text |= {"eos_token_id": LEGACY_END if config.legacy_end else config.end_token}
    sizes = {"projection_dim": config.embedding}
    both = {"text_config": text | sizes, "vision_config": image | sizes}
    return {"model_type": "clip"} | both | sizes


def _part(settings: Mapping, name: str, defaults: Mapping) -> dict:
    """One tower's settings. In old files `text_config_dict` stands beside, and wins, as a whole."""
    given = settings.get(f"{name}_dict")
    given = settings.get(name) if given is None else given
    if not isinstance(given, Mapping | None):
        raise ValueError(f"load_pretrained: {name}: a mapping expected, got {given!r}")
    return {**defaults, **(given or {})}


def _whole(settings: Mapping, name: str) -> int:
    value = settings[name]
    if type(value) is not int:
        raise ValueError(f"load_pretrained: {name}: a whole number expected, got {value!r}")
    return value


def _transformer(settings: Mapping) -> TransformerConfig:
    name, epsilon = settings["hidden_act"], settings["layer_norm_eps"]
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"load_pretrained: hidden_act: one of {known} expected, got {name!r}")
    if type(epsilon) is not float:
        raise ValueError(f"load_pretrained: layer_norm_eps: a number expected, got {epsilon!r}")
    return TransformerConfig(
        layers=_whole(settings, "num_hidden_layers"),
        width=_whole(settings, "hidden_size"),
        heads=_whole(settings, "num_attention_heads"),
        hidden=_whole(settings, "intermediate_size"),
        activation=ACTIVATIONS[name],
        epsilon=epsilon,
    )


def _written(config: TransformerConfig) -> dict:
    names = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
    return {
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.layers,
        "hidden_act": names[config.activation],
        "layer_norm_eps": config.epsilon,
    }
