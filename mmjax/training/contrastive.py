"""What CLIP minimises, for batches of pictures and texts with labels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from mmjax.losses import clip_loss
from mmjax.models.clip import CLIP
from mmjax.training.augment import random_shift


def to_unit_range(images: Array) -> Array:
    """Images uint8 [B, height, width] → float32 [B, height, width, 1] in [0, 1]."""
    return images.astype(jnp.float32)[..., None] / 255


def contrastive_loss(*, shift: int = 0) -> Callable[[CLIP, dict, Array], tuple[Array, dict]]:
    """The loss for `fit`: loss(model, batch, key) → scalar, and `logit_scale` to be recorded.

    batch: image uint8 [B, height, width], tokens int32 [B, T], real bool [B, T], label int32 [B].
    Two pairs with the same label (one character in two faces) are not negatives of each other. The
    pictures move by up to `shift` pixels, differently at every step.
    """

    def loss(model: CLIP, batch: dict, key: Array) -> tuple[Array, dict]:
        shift_key, image_key, text_key = jax.random.split(key, 3)
        images = random_shift(to_unit_range(batch["image"]), shift_key, pixels=shift)
        image_embeddings = model.encode_image(images, dropout_key=image_key)
        text_embeddings = model.encode_text(batch["tokens"], batch["real"], dropout_key=text_key)
        label = batch["label"]
        negatives = label[:, None] != label[None, :]
        scale = model.logit_scale[...]
        value = clip_loss(image_embeddings, text_embeddings, scale, negatives=negatives)
        return value, {"logit_scale": scale}

    return loss
