"""A folder with a Hugging Face checkpoint becomes a model: config.json and model.safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx

from mmjax.attention import TransformerConfig
from mmjax.models.public_clip import PublicCLIP, PublicCLIPConfig
from mmjax.models.public_siglip import SigLIP, SigLIPConfig
from mmjax.pretrained.names import Rule, clip_rules, siglip_rules
from mmjax.pretrained.safetensors import read_safetensors

ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}
IGNORED = (".position_ids",)  # older checkpoints hold 0, 1, 2, … as a tensor
LEGACY_END = 2  # CLIP's first config files give this id, and mean the largest id of a text


def load_pretrained(folder: str | Path) -> PublicCLIP | SigLIP:
    """Loads OpenAI's CLIP or SigLIP from a folder, in float32, whatever the file holds.

    Raises:
        ValueError: for an unknown kind of model or activation, a damaged file, or tensors that are
            missing, left over or of another shape; all of them are listed in one message.
        OSError: if a file cannot be opened.
    """
    folder = Path(folder)
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = settings.get("model_type")
    if kind not in ("clip", "siglip"):
        raise ValueError(f"load_pretrained: model_type 'clip' or 'siglip' expected, got {kind!r}")
    config = (clip_config if kind == "clip" else siglip_config)(settings)
    make, rules = (PublicCLIP, clip_rules) if kind == "clip" else (SigLIP, siglip_rules)
    tensors = read_safetensors(folder / "model.safetensors")
    abstract = nnx.eval_shape(lambda: make(config, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(abstract)
    found = _collect(rules(config.image.layers, config.text.layers), state, tensors)
    nnx.replace_by_pure_dict(state, found)
    return nnx.merge(graph, state)


def _collect(rules: Mapping[str, Rule], state: nnx.State, tensors: Mapping) -> dict:
    """The parameters as a nested dictionary; or one error with all that does not fit."""
    wanted = {".".join(map(str, path)): leaf.shape for path, leaf in nnx.to_flat_state(state)}
    assert wanted.keys() == rules.keys(), wanted.keys() ^ rules.keys()
    used = {name for rule in rules.values() for name in rule.names}
    missing = sorted(used - tensors.keys())
    extra = sorted(n for n in tensors.keys() - used if not n.endswith(IGNORED))
    problems = [f"missing: {name}" for name in missing] + [f"left over: {name}" for name in extra]
    arrays: dict = {}
    for path, rule in rules.items():
        if not used.isdisjoint(missing) and any(name in missing for name in rule.names):
            continue
        try:
            parts = [np.asarray(rule.change(tensors[name]), np.float32) for name in rule.names]
            array = np.stack(parts) if rule.stacked else parts[0]
        except ValueError as error:
            problems.append(
                f"wrong shape: {rule.names[0]} {tensors[rule.names[0]].shape} ({error})"
            )
            continue
        if array.shape != wanted[path]:
            shape = list(tensors[rule.names[0]].shape)
            problems.append(f"wrong shape: {rule.names[0]} {shape} for {path} {list(wanted[path])}")
            continue
        *parents, last = path.split(".")
        node = arrays
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = jnp.asarray(array)
    if problems:
        raise ValueError("load_pretrained: the tensors do not fit:\n  " + "\n  ".join(problems))
    return arrays


def _transformer(settings: Mapping, activation: str, epsilon: float) -> TransformerConfig:
    name = settings.get("hidden_act", activation)
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"load_pretrained: hidden_act: one of {known} expected, got {name!r}")
    return TransformerConfig(
        layers=settings.get("num_hidden_layers", 12),
        width=settings["hidden_size"],
        heads=settings["num_attention_heads"],
        hidden=settings["intermediate_size"],
        activation=ACTIVATIONS[name],
        epsilon=settings.get("layer_norm_eps", epsilon),
    )


def clip_config(settings: Mapping) -> PublicCLIPConfig:
    """Sizes from CLIP's config.json; what it leaves out has the value of ViT-B/32."""
    image = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
    image |= settings.get("vision_config") or {}
    text = {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048}
    text |= settings.get("text_config") or {}
    end = text.get("eos_token_id", 49407)
    return PublicCLIPConfig(
        image_size=image.get("image_size", 224),
        patch_size=image.get("patch_size", 32),
        image=_transformer(image, "quick_gelu", 1e-5),
        vocabulary=text.get("vocab_size", 49408),
        length=text.get("max_position_embeddings", 77),
        text=_transformer(text, "quick_gelu", 1e-5),
        embedding=settings.get("projection_dim", 512),
        end_token=end,
        legacy_end=end == LEGACY_END,
    )


def siglip_config(settings: Mapping) -> SigLIPConfig:
    """Sizes from SigLIP's config.json; what it leaves out has the value of the base model."""
    size = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
    image, text = (size | (settings.get(k) or {}) for k in ("vision_config", "text_config"))
    return SigLIPConfig(
        image_size=image.get("image_size", 224),
        patch_size=image.get("patch_size", 16),
        image=_transformer(image, "gelu_pytorch_tanh", 1e-6),
        vocabulary=text.get("vocab_size", 32000),
        length=text.get("max_position_embeddings", 64),
        text=_transformer(text, "gelu_pytorch_tanh", 1e-6),
        embedding=text.get("projection_size") or text["hidden_size"],
    )
