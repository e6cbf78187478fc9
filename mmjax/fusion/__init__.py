"""Fusion: several modalities become one vector, as a weighted sum of what each of them says.

Concatenation gives every modality fixed weights, attention lets each modality's own key decide, a
gate lets all modalities together decide. Everywhere a modality has a name, arrays come in a mapping
from name to array, and `present` says for each name in which examples it is there: bool [B], all by
default. Names are sorted, so the order of the mapping does not matter. A missing modality has no
influence and no gradient, whatever its array holds. Where nothing is there the result is zero.

Sources: Arevalo et al. (2017), "Gated multimodal units for information fusion"; Vaswani et al.
(2017), the attention; Neverova et al. (2016), "ModDrop", dropping modalities in training.
"""

from mmjax.fusion.attention import AttentionFusion, attention_fusion, modality_attention
from mmjax.fusion.concatenation import ConcatenationFusion, concatenate
from mmjax.fusion.dropout import modality_dropout
from mmjax.fusion.gate import GATES, Gate, GatedFusion, gated_fusion, modality_gates

__all__ = [
    "AttentionFusion",
    "ConcatenationFusion",
    "GATES",
    "Gate",
    "GatedFusion",
    "attention_fusion",
    "concatenate",
    "gated_fusion",
    "modality_attention",
    "modality_dropout",
    "modality_gates",
]
