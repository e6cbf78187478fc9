"""A folder with a Hugging Face checkpoint becomes a model, and a model such a folder."""

import json
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx

from mmjax.models.public_clip import PublicCLIP, PublicCLIPConfig
from mmjax.models.public_siglip import SigLIP
from mmjax.pretrained.config import Config, read_config, write_config
from mmjax.pretrained.folder import WHOLE, read_json, read_tensors
from mmjax.pretrained.names import Rule, clip_rules, siglip_rules
from mmjax.pretrained.safetensors import write_safetensors

IGNORED = (".position_ids",)  # older checkpoints hold 0, 1, 2, … as a tensor


def load_pretrained(folder: str | Path) -> PublicCLIP | SigLIP:
    """Loads OpenAI's CLIP or SigLIP from a folder, in float32, whatever the file holds.

    The folder holds config.json, and model.safetensors or its index and shards.

    Raises:
        ValueError: for an unknown kind of model or activation, a damaged file, or tensors that are
            missing, left over or of another shape; all of them are listed in one message.
        OSError: if a file is not there or cannot be opened.
    """
    folder = Path(folder)
    config = read_config(read_json(folder / "config.json"))
    tensors = read_tensors(folder)
    graph, state = nnx.split(abstract_model(config))
    _require_fit(_shapes(state, config), tensors)
    nnx.replace_by_pure_dict(state, _parameters(_rules(config), tensors))
    return nnx.merge(graph, state)


def save_pretrained(model: PublicCLIP | SigLIP, folder: str | Path) -> None:
    """Writes config.json and model.safetensors, which `load_pretrained` and transformers read.

    The parameters keep their dtype. Raises OSError if a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.dumps(write_config(model.config), indent=2, sort_keys=True)
    (folder / "config.json").write_text(settings + "\n", encoding="utf-8")
    write_safetensors(folder / WHOLE, published_tensors(model))


def published_tensors(model: PublicCLIP | SigLIP) -> dict[str, np.ndarray]:
    """The parameters of a model under the names, and in the shapes, of a published checkpoint."""
    state = nnx.to_flat_state(nnx.state(model))
    return _published({path: np.asarray(leaf[...]) for path, leaf in state}, model.config)


def published_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Name → shape of each tensor that a checkpoint of these sizes must hold."""
    return _shapes(nnx.state(abstract_model(config)), config)


def abstract_model(config: Config) -> PublicCLIP | SigLIP:
    """A model of these sizes with shapes in place of numbers: nothing is drawn or stored."""
    make = PublicCLIP if isinstance(config, PublicCLIPConfig) else SigLIP
    return nnx.eval_shape(lambda: make(config, rngs=nnx.Rngs(0)))


def _rules(config: Config) -> dict[str, Rule]:
    make = clip_rules if isinstance(config, PublicCLIPConfig) else siglip_rules
    return make(config.image.layers, config.text.layers)


def _published(parameters: Mapping[tuple, np.ndarray], config: Config) -> dict[str, np.ndarray]:
    named = {".".join(map(str, path)): array for path, array in parameters.items()}
    parts: dict[str, list[np.ndarray]] = {}
    for path, rule in _rules(config).items():
        layers = named[path] if rule.stacked else [named[path]]
        for name, array in zip(rule.names, layers, strict=True):
            parts.setdefault(name, []).append(rule.back(array, config.patch_size))
    return {name: np.concatenate(p) if len(p) > 1 else p[0] for name, p in parts.items()}


def _shapes(state: nnx.State, config: Config) -> dict[str, tuple[int, ...]]:
    flat = nnx.to_flat_state(state)
    empty = {path: np.broadcast_to(np.float32(0), leaf.shape) for path, leaf in flat}
    return {name: array.shape for name, array in _published(empty, config).items()}


def _require_fit(shapes: Mapping[str, tuple], tensors: Mapping[str, np.ndarray]) -> None:
    """One error that lists all tensors that are missing, left over, or of another shape or kind."""
    extra = sorted(n for n in tensors.keys() - shapes.keys() if not n.endswith(IGNORED))
    problems = [f"missing: {name}" for name in sorted(shapes.keys() - tensors.keys())]
    problems += [f"left over: {name}" for name in extra]
    for name in sorted(shapes.keys() & tensors.keys()):
        shape, expected = list(tensors[name].shape), list(shapes[name])
        if shape != expected:
            problems.append(f"wrong shape: {name} {shape}, expected {expected}")
        elif not jnp.issubdtype(tensors[name].dtype, jnp.floating):
            problems.append(f"not floating-point: {name} {tensors[name].dtype}")
    if problems:
        raise ValueError("load_pretrained: the tensors do not fit:\n  " + "\n  ".join(problems))


def _parameters(rules: Mapping[str, Rule], tensors: Mapping[str, np.ndarray]) -> dict:
    """Our parameters as a nested dictionary, from tensors that fit."""
    nested: dict = {}
    for path, rule in rules.items():
        parts = [np.asarray(rule.change(tensors[name]), np.float32) for name in rule.names]
        *parents, last = path.split(".")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = jnp.asarray(np.stack(parts) if rule.stacked else parts[0])
    return nested
