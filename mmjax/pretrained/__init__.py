"""Published weights in our models: the format, the names, pictures, the loader (chapter 3.2)."""

from mmjax.pretrained.images import Preparation, clip_preparation, siglip_preparation
from mmjax.pretrained.load import clip_config, load_pretrained, siglip_config
from mmjax.pretrained.safetensors import read_safetensors

__all__ = [
    "Preparation",
    "clip_config",
    "clip_preparation",
    "load_pretrained",
    "read_safetensors",
    "siglip_config",
    "siglip_preparation",
]
