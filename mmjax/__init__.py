"""mmjax: multimodal deep learning from one formula, in JAX and Flax."""

__version__ = "0.1.0"
