"""Published weights in our models: the safetensors format, the names, the loader (chapter 3.2)."""

from mmjax.pretrained.load import clip_config, load_pretrained, siglip_config
from mmjax.pretrained.safetensors import read_safetensors

__all__ = ["clip_config", "load_pretrained", "read_safetensors", "siglip_config"]
