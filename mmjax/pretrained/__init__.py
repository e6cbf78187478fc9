"""Published weights in our models: the format, the names, pictures, the loader (chapter 3.2)."""

from mmjax.pretrained.config import clip_config, read_config, siglip_config
from mmjax.pretrained.folder import read_tensors
from mmjax.pretrained.images import Preparation, clip_preparation, siglip_preparation
from mmjax.pretrained.load import (
    load_pretrained,
    published_shapes,
    published_tensors,
    save_pretrained,
)
from mmjax.pretrained.safetensors import read_safetensors, write_safetensors

__all__ = [
    "Preparation",
    "clip_config",
    "clip_preparation",
    "load_pretrained",
    "published_shapes",
    "published_tensors",
    "read_config",
    "read_safetensors",
    "read_tensors",
    "save_pretrained",
    "siglip_config",
    "siglip_preparation",
    "write_safetensors",
]
