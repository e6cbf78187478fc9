"""Which tensor of a Hugging Face checkpoint is which parameter of ours.

A rule gives, for a parameter of ours, the names of its tensors (one, or one a layer) and how a
tensor becomes the array and back: PyTorch keeps a kernel as [out, in], we as [in, out].
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Change(NamedTuple):
    """`there`: tensor → array; `back`: array and patch side P → tensor."""

    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray, int], np.ndarray]


class Rule(NamedTuple):
    """`names`: one tensor, or one for each layer; a tensor that several rules name holds them
    one under the other, in the order of the rules."""

    names: tuple[str, ...]
    both: Change
    stacked: bool = False

    def change(self, tensor: np.ndarray) -> np.ndarray:
        """The tensor as one array of ours (of one layer, if stacked)."""
        return self.both.there(tensor)

    def back(self, array: np.ndarray, patch: int) -> np.ndarray:
        """Our array as the tensor, or as its part of it; `patch` is the side P of a patch."""
        return self.both.back(array, patch)


def _from_patches(x, side):
    return x.reshape(side, side, -1, x.shape[1]).transpose(3, 2, 0, 1)


SAME = Change(lambda x: x, lambda x, _: x)
TRANSPOSED = Change(lambda x: x.T, lambda x, _: x.T)
ROW = Change(lambda x: x.reshape(1, -1), lambda x, _: x.reshape(-1))
PROBE = Change(lambda x: x.reshape(1, -1), lambda x, _: x.reshape(1, 1, -1))
NUMBER = Change(lambda x: x.reshape(()), lambda x, _: x.reshape(1))
# [M, 3, P, P] of a convolution ↔ [P·P·3, M], in the order of `patchify`.
PATCHES = Change(lambda x: x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0]), _from_patches)


def _norm(ours: str, theirs: str) -> dict[str, Rule]:
    names = {"scale": "weight", "bias": "bias"}
    return {f"{ours}.{a}": Rule((f"{theirs}.{b}",), SAME) for a, b in names.items()}


def _linear(ours: str, theirs: str, *, bias: bool = True) -> dict[str, Rule]:
    rules = {f"{ours}.kernel": Rule((f"{theirs}.weight",), TRANSPOSED)}
    return rules | ({f"{ours}.bias": Rule((f"{theirs}.bias",), SAME)} if bias else {})


def _transformer(ours: str, theirs: str, last_norm: str, layers: int) -> dict[str, Rule]:
    parts = _norm("attention_norm", "layer_norm1") | _norm("mlp_norm", "layer_norm2")
    heads = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
    for a, b in heads.items():
        parts |= _linear(f"attention.{a}", f"self_attn.{b}")
    parts |= _linear("mlp.expand", "mlp.fc1") | _linear("mlp.contract", "mlp.fc2")
    rules = {}
    for name, ((tensor,), change, _) in parts.items():
        names = tuple(f"{theirs}.encoder.layers.{i}.{tensor}" for i in range(layers))
        rules[f"{ours}.blocks.{name}"] = Rule(names, change, stacked=True)
    return rules | _norm(f"{ours}.norm", f"{theirs}.{last_norm}")


def _table(ours: str, theirs: str) -> dict[str, Rule]:
    return {ours: Rule((f"{theirs}.weight",), SAME)}


def clip_rules(image_layers: int, text_layers: int) -> dict[str, Rule]:
    """Parameter of `PublicCLIP` → its tensors."""
    vision, text = "vision_model", "text_model"
    return {
        "image.class_token": Rule((f"{vision}.embeddings.class_embedding",), ROW),
        "image.patches.kernel": Rule((f"{vision}.embeddings.patch_embedding.weight",), PATCHES),
        **_table("image.positions", f"{vision}.embeddings.position_embedding"),
        **_norm("image.first_norm", f"{vision}.pre_layrnorm"),  # spelled so in the checkpoints
        **_transformer("image.transformer", vision, "post_layernorm", image_layers),
        **_table("text.table", f"{text}.embeddings.token_embedding"),
        **_table("text.positions", f"{text}.embeddings.position_embedding"),
        **_transformer("text.transformer", text, "final_layer_norm", text_layers),
        **_linear("image_projection", "visual_projection", bias=False),
        **_linear("text_projection", "text_projection", bias=False),
        "logit_scale": Rule(("logit_scale",), SAME),
    }


def siglip_rules(image_layers: int, text_layers: int) -> dict[str, Rule]:
    """Parameter of `SigLIP` → its tensors."""
    vision, text = "vision_model", "text_model"
    head, rules = f"{vision}.head", {}
    for place, name in enumerate(("query", "key", "value")):
        for ours, theirs, part in (("kernel", "weight", TRANSPOSED), ("bias", "bias", SAME)):
            tensor = f"{head}.attention.in_proj_{theirs}"
            rules[f"pool.attention.{name}.{ours}"] = Rule((tensor,), _third(place, part))
    patch = f"{vision}.embeddings.patch_embedding"
    return rules | {
        "patches.kernel": Rule((f"{patch}.weight",), PATCHES),
        "patches.bias": Rule((f"{patch}.bias",), SAME),
        **_table("image_positions", f"{vision}.embeddings.position_embedding"),
        **_transformer("image_transformer", vision, "post_layernorm", image_layers),
        "pool.query": Rule((f"{head}.probe",), PROBE),
        **_linear("pool.attention.output", f"{head}.attention.out_proj"),
        **_norm("pool.norm", f"{head}.layernorm"),
        **_linear("pool.mlp.expand", f"{head}.mlp.fc1"),
        **_linear("pool.mlp.contract", f"{head}.mlp.fc2"),
        **_table("table", f"{text}.embeddings.token_embedding"),
        **_table("text_positions", f"{text}.embeddings.position_embedding"),
        **_transformer("text_transformer", text, "final_layer_norm", text_layers),
        **_linear("text_projection", f"{text}.head"),
        "logit_scale": Rule(("logit_scale",), NUMBER),
        "logit_bias": Rule(("logit_bias",), NUMBER),
    }


def _third(place: int, part: Change) -> Change:
    """Query, key and value lie one under the other in PyTorch's in_proj."""
    return Change(lambda x: part.there(np.split(x, 3)[place]), part.back)
