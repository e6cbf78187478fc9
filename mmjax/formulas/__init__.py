"""Every equation of the course, written out literally in NumPy float64, a file a chapter.

These functions are the oracle: the tests and the notebooks compare the fast code with them. They
favour the letter of the formula over speed, so loops are welcome and JAX is not. Each
equation of the book names the tests that check it.
"""

from mmjax.formulas.attention import (
    attention_gradients,
    attention_weights,
    gelu,
    layer_norm,
    log_sum_exp,
    multi_head_attention,
    online_softmax_attention,
    rotary,
    scaled_dot_product_attention,
    sinusoidal_positions,
    softmax,
    softmax_jacobian,
)
from mmjax.formulas.checkpoints import ensemble_templates
from mmjax.formulas.contrastive import (
    clip_gradients,
    clip_loss,
    info_nce,
    normalize,
    normalize_gradient,
    sigmoid_loss,
    smoothed_info_nce,
)
from mmjax.formulas.fusion import (
    attention_fusion,
    attention_fusion_gradients,
    concatenation_fusion,
    fusion_attention_weights,
    gated_fusion,
    gated_fusion_gradients,
    gated_unit,
    modality_gates,
    modality_keep_probability,
)
from mmjax.formulas.modalities import (
    byte_pair_counts,
    grid_positions,
    hann_window,
    hertz_to_mel,
    log_mel_spectrogram,
    mel_filter_bank,
    mel_to_hertz,
    patches,
    short_time_fourier_transform,
    tubelets,
)
from mmjax.formulas.representation import (
    best_fit,
    representation_operations,
    representation_parameters,
)
from mmjax.formulas.training import (
    adamw_step,
    clip_by_norm,
    cross_entropy,
    rank_of_target,
    recall_at_k,
    warmup_cosine,
)

__all__ = [
    "adamw_step",
    "attention_fusion",
    "attention_fusion_gradients",
    "attention_gradients",
    "attention_weights",
    "best_fit",
    "byte_pair_counts",
    "clip_by_norm",
    "clip_gradients",
    "clip_loss",
    "concatenation_fusion",
    "cross_entropy",
    "ensemble_templates",
    "fusion_attention_weights",
    "gated_fusion",
    "gated_fusion_gradients",
    "gated_unit",
    "gelu",
    "grid_positions",
    "hann_window",
    "hertz_to_mel",
    "info_nce",
    "layer_norm",
    "log_mel_spectrogram",
    "log_sum_exp",
    "mel_filter_bank",
    "mel_to_hertz",
    "modality_gates",
    "modality_keep_probability",
    "multi_head_attention",
    "normalize",
    "normalize_gradient",
    "online_softmax_attention",
    "patches",
    "rank_of_target",
    "recall_at_k",
    "representation_operations",
    "representation_parameters",
    "rotary",
    "scaled_dot_product_attention",
    "short_time_fourier_transform",
    "sigmoid_loss",
    "sinusoidal_positions",
    "smoothed_info_nce",
    "softmax",
    "softmax_jacobian",
    "tubelets",
    "warmup_cosine",
]
