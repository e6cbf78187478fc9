"""Attention, the parts of a Transformer block, and positions (sections 3.1 and 4)."""

import math

import numpy as np


def softmax(x, axis=-1):
    """Softmax: softmax(x)_i = exp(x_i) / Σ_j exp(x_j), shifted by the maximum."""
    x = np.asarray(x, np.float64)
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_jacobian(p):
    """Jacobian of softmax at p = softmax(x) [S]: J_ij = p_i (δ_ij − p_j), as [S, S]."""
    p = np.asarray(p, np.float64)
    return np.diag(p) - np.outer(p, p)


def log_sum_exp(x, axis=-1):
    """log Σ_j exp(x_j), shifted by the maximum so that no exponential overflows."""
    x = np.asarray(x, np.float64)
    top = x.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.exp(x - top).sum(axis=axis))


def attention_weights(Q, K, mask=None):
    """Row-wise softmax(Q Kᵀ / √d_k) for Q [T, D], K [S, D]; True in mask [T, S] = may attend.

    The softmax runs over the positions that may be attended to. A row without any is all zeros.
    """
    Q, K = np.asarray(Q, np.float64), np.asarray(K, np.float64)
    T, S, d_k = Q.shape[0], K.shape[0], Q.shape[1]
    mask = np.ones((T, S), bool) if mask is None else np.broadcast_to(mask, (T, S))
    P = np.zeros((T, S))
    for t in range(T):
        allowed = [s for s in range(S) if mask[t, s]]
        if allowed:
            P[t, allowed] = softmax([Q[t] @ K[s] / math.sqrt(d_k) for s in allowed])
    return P


def scaled_dot_product_attention(Q, K, V, mask=None):
    """Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V for Q [T, D], K [S, D], V [S, D_v]."""
    return attention_weights(Q, K, mask) @ np.asarray(V, np.float64)


def attention_gradients(Q, K, V, dO, mask=None):
    """Gradients of the scalar Σ dO ∘ Attention(Q, K, V) with respect to Q, K and V.

    dV = Pᵀ dO,  dP = dO Vᵀ,  dS = P ∘ (dP − rowsum(P ∘ dP)),  dQ = dS K / √d_k,  dK = dSᵀ Q / √d_k.
    """
    Q, K, V, dO = (np.asarray(a, np.float64) for a in (Q, K, V, dO))
    P = attention_weights(Q, K, mask)
    dV = P.T @ dO
    dP = dO @ V.T
    dS = P * (dP - (P * dP).sum(axis=1, keepdims=True))
    return dS @ K / math.sqrt(Q.shape[1]), dS.T @ Q / math.sqrt(Q.shape[1]), dV


def online_softmax_attention(Q, K, V, mask=None):
    """Attention with one pass over the keys: per row a running maximum m, sum l and output o.

    m' = max(m, s),  l' = e^{m−m'} l + e^{s−m'},  o' = (e^{m−m'} l o + e^{s−m'} v) / l'.
    Source: Milakov & Gimelshein (2018); Rabe & Staats (2021).
    """
    Q, K, V = (np.asarray(a, np.float64) for a in (Q, K, V))
    T, S = Q.shape[0], K.shape[0]
    mask = np.ones((T, S), bool) if mask is None else np.broadcast_to(mask, (T, S))
    out = np.zeros((T, V.shape[1]))
    for t in range(T):
        m, total, o = -math.inf, 0.0, np.zeros(V.shape[1])
        for s in range(S):
            if not mask[t, s]:
                continue
            score = Q[t] @ K[s] / math.sqrt(Q.shape[1])
            m_new = max(m, score)
            kept, added = math.exp(m - m_new) * total, math.exp(score - m_new)
            o = (kept * o + added * V[s]) / (kept + added)
            m, total = m_new, kept + added
        out[t] = o
    return out


def multi_head_attention(X_q, X_kv, W_Q, W_K, W_V, W_O, mask=None):
    """MultiHead(X_q, X_kv) = Concat(head_1, …, head_H) W_O.

    head_h = Attention(X_q W_Q^h, X_kv W_K^h, X_kv W_V^h).
    X_q [T, M], X_kv [S, M'], W_Q [H, M, D], W_K and W_V [H_kv, M', D], W_O [H·D, M]. With H_kv < H
    (grouped keys and values), head h uses the key and value of group h // (H / H_kv).
    """
    X_q, X_kv, W_Q, W_K, W_V = (np.asarray(a, np.float64) for a in (X_q, X_kv, W_Q, W_K, W_V))
    heads, group = len(W_Q), len(W_Q) // len(W_K)
    outputs = []
    for h in range(heads):
        Q, K, V = X_q @ W_Q[h], X_kv @ W_K[h // group], X_kv @ W_V[h // group]
        outputs.append(scaled_dot_product_attention(Q, K, V, mask))
    return np.concatenate(outputs, axis=1) @ np.asarray(W_O, np.float64)


def layer_norm(x, scale, bias, epsilon=1e-5):
    """LayerNorm: scale ∘ (x − mean) / √(var + ε) + bias; var divides by M, not by M − 1."""
    x = np.asarray(x, np.float64)
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return scale * (x - mean) / np.sqrt(variance + epsilon) + bias


def gelu(x):
    """GELU: x Φ(x) with Φ the distribution function of the standard normal distribution."""
    x = np.asarray(x, np.float64)
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def sinusoidal_positions(length, width, base=10_000.0):
    """Sinusoidal positions: PE[t, 2i] = sin(t / base^(2i/M)), PE[t, 2i+1] = cos of the same."""
    table = np.zeros((length, width))
    for t in range(length):
        for i in range(width // 2):
            angle = t / base ** (2 * i / width)
            table[t, 2 * i], table[t, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return table


def rotary(x, positions, base=10_000.0):
    """Rotary positions: each pair (x_{2i}, x_{2i+1}) of row t is turned by t · base^(−2i/D)."""
    x = np.asarray(x, np.float64)
    out = np.zeros_like(x)
    for t, position in enumerate(positions):
        for i in range(x.shape[1] // 2):
            angle = position * base ** (-2 * i / x.shape[1])
            a, b = x[t, 2 * i], x[t, 2 * i + 1]
            out[t, 2 * i] = a * math.cos(angle) - b * math.sin(angle)
            out[t, 2 * i + 1] = a * math.sin(angle) + b * math.cos(angle)
    return out
