"""What published models compute that our own do not (section 3.6)."""

import numpy as np

from mmjax.formulas.contrastive import normalize


def ensemble_templates(W):
    """v_k = m_k / ‖m_k‖ with m_k = 1/R Σ_r w_rk / ‖w_rk‖, name by name: [R, K, E] → [K, E]."""
    R, K = len(W), len(W[0])
    rows = []
    for k in range(K):
        total = 0.0
        for r in range(R):
            total = total + normalize(W[r][k])
        rows.append(normalize(total / R))
    return np.array(rows)
