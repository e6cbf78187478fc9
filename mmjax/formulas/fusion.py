"""Concatenation, attention and gate, with their gradients (section 2.3). One example at a time:
xs, Ws, … are lists with an entry for each of K modalities in one order, present [K] says which are
there (δ_m)."""

import math

import numpy as np

from mmjax.formulas.attention import softmax


def concatenation_fusion(xs, Ws, bs, present):
    """z = Σ_m δ_m (x_m W_m + b_m) for x_m [E_m], W_m [E_m, E], b_m [E]; 0 if nothing is there."""
    z = np.zeros(len(bs[0]))
    for m, there in enumerate(present):
        if there:
            z = z + np.asarray(xs[m], np.float64) @ Ws[m] + bs[m]
    return z


def fusion_attention_weights(query, keys, present):
    """a_mh = softmax over the m that are there of q_h · k_mh / √D; query [H, D], keys [K, H, D]."""
    query, keys = np.asarray(query, np.float64), np.asarray(keys, np.float64)
    here = [m for m in range(len(keys)) if present[m]]
    a = np.zeros((len(keys), len(query)))
    for h in range(len(query)):
        scores = [query[h] @ keys[m, h] / math.sqrt(query.shape[1]) for m in here]
        if here:
            a[here, h] = softmax(scores)
    return a


def attention_fusion(query, keys, values, present):
    """z = Concat_h Σ_m a_mh v_mh for query [H, D], keys and values [K, H, D] → [H·D]."""
    a, values = fusion_attention_weights(query, keys, present), np.asarray(values, np.float64)
    heads = []
    for h in range(a.shape[1]):
        heads.append(sum(a[m, h] * values[m, h] for m in range(len(a)) if present[m]))
    return np.concatenate([np.broadcast_to(head, values.shape[2]) for head in heads])


def attention_fusion_gradients(query, keys, values, dz, present):
    """Gradients of Σ dz ∘ z with respect to query [H, D], keys and values [K, H, D].

    With s_mh = q_h · k_mh / √D: dv_mh = a_mh dz_h,  ds_mh = a_mh dz_h · (v_mh − z_h),
    dq_h = Σ_m ds_mh k_mh / √D,  dk_mh = ds_mh q_h / √D.
    """
    query, keys, values = (np.asarray(x, np.float64) for x in (query, keys, values))
    a, dz = fusion_attention_weights(query, keys, present), np.reshape(dz, query.shape)
    z = attention_fusion(query, keys, values, present).reshape(query.shape)
    dq, dk, dv = np.zeros_like(query), np.zeros_like(keys), np.zeros_like(values)
    for m, h in np.ndindex(*a.shape):
        if present[m]:
            ds = a[m, h] * (dz[h] @ (values[m, h] - z[h])) / math.sqrt(query.shape[1])
            dv[m, h] = a[m, h] * dz[h]
            dk[m, h] = ds * query[h]
            dq[h] += ds * keys[m, h]
    return dq, dk, dv


def modality_gates(logits, present, kind):
    """Gates [K, E] for logits a [K, E]: σ(a_m), or softmax over the m that are there; else 0."""
    a = np.asarray(logits, np.float64)
    here = [m for m in range(len(a)) if present[m]]
    g = np.zeros_like(a)
    for m in here:
        g[m] = (
            1 / (1 + np.exp(-a[m]))
            if kind == "sigmoid"
            else softmax(a[here], axis=0)[here.index(m)]
        )
    return g


def gated_fusion(values, logits, present, kind):
    """z = Σ_m δ_m g_m ∘ v_m for values and logits [K, E] → [E]."""
    g, values = modality_gates(logits, present, kind), np.asarray(values, np.float64)
    return sum((g[m] * values[m] for m in range(len(g)) if present[m]), np.zeros(g.shape[1]))


def gated_fusion_gradients(values, logits, dz, present, kind):
    """Gradients of Σ dz ∘ z with respect to values and logits [K, E].

    dv_m = g_m ∘ dz. Sigmoid: da_m = g_m ∘ (1 − g_m) ∘ v_m ∘ dz.
    Softmax: da_m = g_m ∘ (v_m − z) ∘ dz.
    """
    values = np.asarray(values, np.float64)
    g, z = modality_gates(logits, present, kind), gated_fusion(values, logits, present, kind)
    dv, da = np.zeros_like(g), np.zeros_like(g)
    for m in range(len(g)):
        if present[m]:
            dv[m] = g[m] * dz
            slope = (1 - g[m]) * values[m] if kind == "sigmoid" else values[m] - z
            da[m] = g[m] * slope * dz
    return dv, da


def gated_unit(xs, Vs, ds, U, present, kind):
    """A gated unit from its parameters: v_m = tanh(x_m V_m + d_m), [a_1 … a_K] = u U.

    u = [δ_1 x_1, …, δ_K x_K, δ_1, …, δ_K]; U [Σ E_m + K, K·E]. Returns z [E].
    """
    K = len(xs)
    shown = [
        np.asarray(xs[m], np.float64) if present[m] else np.zeros(len(xs[m])) for m in range(K)
    ]
    values = np.array([np.tanh(shown[m] @ Vs[m] + ds[m]) for m in range(K)])
    u = np.concatenate([*shown, np.asarray(present, np.float64)])
    return gated_fusion(values, (u @ U).reshape(values.shape), present, kind)


def modality_keep_probability(rate, number):
    """p(a modality is kept) = 1 − r + r^K / K, counted over all 2^K outcomes of K coins.

    A modality is hidden with probability r; where all would be hidden, one of them stays.
    """
    total = 0.0
    for outcome in range(2**number):
        hidden = [bool(outcome >> m & 1) for m in range(number)]
        chance = math.prod(rate if h else 1 - rate for h in hidden)
        total += chance / number if all(hidden) else chance * (not hidden[0])
    return total
