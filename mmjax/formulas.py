"""Every equation of the course, written out literally in NumPy float64.

These functions are the oracle: the tests and the notebooks compare the fast code with them. They
favour the letter of the formula over speed, so loops are welcome and JAX is not. Each
equation of the book names the tests that check it.
"""

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


def normalize(x):
    """x / ‖x‖₂ along the last axis."""
    x = np.asarray(x, np.float64)
    return x / np.sqrt((x**2).sum(axis=-1, keepdims=True))


def info_nce(queries, keys, logit_scale, negatives=None):
    """InfoNCE, one direction: mean_n of −log( e^{z_nn} / Σ_m e^{z_nm} ), z = e^{logit_scale} q·k.

    queries, keys [N, E], L2-normalised. False in negatives [N, N] leaves a pair out of the sum; the
    positive pair on the diagonal always stays in.
    """
    queries, keys = np.asarray(queries, np.float64), np.asarray(keys, np.float64)
    N = len(queries)
    negatives = np.ones((N, N), bool) if negatives is None else negatives
    total = 0.0
    for n in range(N):
        z = [math.exp(logit_scale) * queries[n] @ keys[m] for m in range(N)]
        kept = [z[m] for m in range(N) if m == n or negatives[n, m]]
        total += log_sum_exp(kept) - z[n]
    return total / N


def clip_loss(image_embeddings, text_embeddings, logit_scale, negatives=None):
    """The symmetric loss of CLIP: the mean of InfoNCE image → text and text → image."""
    transposed = None if negatives is None else np.asarray(negatives).T
    image_to_text = info_nce(image_embeddings, text_embeddings, logit_scale, negatives)
    text_to_image = info_nce(text_embeddings, image_embeddings, logit_scale, transposed)
    return (image_to_text + text_to_image) / 2


def clip_gradients(U, V, logit_scale, negatives=None):
    """Gradients (dU, dV, ds) of `clip_loss` with respect to the unit vectors and the logit scale.

    G = ∂L/∂z = (p + q − 2 I) / (2N), p and q the softmax of the rows and columns of z = e^s U Vᵀ.
    dU = e^s G V,  dV = e^s Gᵀ U,  ds = Σ_nm G_nm z_nm.
    """
    U, V = np.asarray(U, np.float64), np.asarray(V, np.float64)
    N, scale = len(U), math.exp(logit_scale)
    z, p, q = scale * U @ V.T, np.zeros((N, N)), np.zeros((N, N))
    kept = np.eye(N, dtype=bool) | (np.ones((N, N), bool) if negatives is None else negatives)
    for n in range(N):
        p[n, kept[n]] = softmax(z[n, kept[n]])
        q[kept[:, n], n] = softmax(z[kept[:, n], n])
    G = (p + q - 2 * np.eye(N)) / (2 * N)
    return scale * G @ V, scale * G.T @ U, (G * z).sum()


def normalize_gradient(a, du):
    """Gradient through u = a / ‖a‖ for vectors a, du [E]: (du − (u·du) u) / ‖a‖."""
    a, du = np.asarray(a, np.float64), np.asarray(du, np.float64)
    length = math.sqrt(a @ a)
    u = a / length
    return (du - (u @ du) * u) / length


def rank_of_target(scores, target):
    """The place of the right candidate for scores [J] of one query: 1 + |{k ≠ y : c_k ≥ c_y}|."""
    return 1 + sum(1 for k, c in enumerate(scores) if k != target and c >= scores[target])


def recall_at_k(scores, targets, k):
    """The share of queries n whose right candidate has a rank of at most k, for scores [N, J]."""
    ranks = [rank_of_target(row, target) for row, target in zip(scores, targets, strict=True)]
    return sum(1 for rank in ranks if rank <= k) / len(ranks)


def warmup_cosine(t, peak, steps, warmup):
    """The learning rate of step t: a straight line up, then half a cosine down to zero."""
    if t < warmup:
        return peak * t / warmup
    return peak * (1 + math.cos(math.pi * (t - warmup) / (steps - warmup))) / 2


def clip_by_norm(g, limit):
    """The vector g, scaled down to the length `limit` if it is longer: g · min(1, limit / ‖g‖)."""
    g = np.asarray(g, np.float64)
    length = math.sqrt((g**2).sum())
    return g if length <= limit else g * limit / length


def adamw_step(theta, m, v, g, t, rate, b1, b2, epsilon, weight_decay):
    """One step of AdamW, t = 0 for the first; returns the new (theta, m, v).

    m' = β₁ m + (1 − β₁) g,  v' = β₂ v + (1 − β₂) g²,
    θ' = θ − η (m' / (1 − β₁^{t+1}) / (√(v' / (1 − β₂^{t+1})) + ε) + λ θ).
    """
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
    mean, square = m / (1 - b1 ** (t + 1)), v / (1 - b2 ** (t + 1))
    step = mean / (np.sqrt(square) + epsilon) + weight_decay * theta
    return theta - rate * step, m, v


# Section 2.1: signals become tokens


def byte_pair_counts(words):
    """c(a, b) = Σ_w n_w Σ_i [w_i = a, w_i+1 = b]: how often parts are neighbours, words {w: n}."""
    counts = {}
    for parts, number in words.items():
        for pair in zip(parts, parts[1:], strict=False):
            counts[pair] = counts.get(pair, 0) + number
    return counts


def tubelets(x, N, P):
    """Boxes of N frames and P × P pixels of a video x [F, height, width, C], one a row."""
    x = np.asarray(x, np.float64)
    F, height, width, _ = x.shape
    return np.stack(
        [
            x[q : q + N, r : r + P, s : s + P].reshape(-1)
            for q in range(0, F, N)
            for r in range(0, height, P)
            for s in range(0, width, P)
        ]
    )


def patches(x, P):
    """Squares of P × P pixels of an image x [height, width, C], one a row."""
    return tubelets(np.asarray(x)[None], 1, P)


def grid_positions(sizes, width, base=10_000.0):
    """The sinusoidal positions of each coordinate of each place of a grid, one after the other."""
    part = width // len(sizes)
    tables = [sinusoidal_positions(size, part, base) for size in sizes]
    places = np.ndindex(*sizes)
    return np.stack(
        [np.concatenate([t[i] for t, i in zip(tables, p, strict=True)]) for p in places]
    )


def hann_window(N):
    """w_n = (1 − cos(2π n / N)) / 2."""
    return np.array([(1 - math.cos(2 * math.pi * n / N)) / 2 for n in range(N)])


def short_time_fourier_transform(x, N, hop):
    """X_tk = Σ_n w_n x_{t·hop + n} e^(−2πi k n / N) for a signal x [samples], k = 0 … ⌊N / 2⌋."""
    x, w, n = np.asarray(x, np.float64), hann_window(N), np.arange(N)
    return np.array(
        [
            [(w * x[s : s + N] * np.exp(-2j * np.pi * k * n / N)).sum() for k in range(N // 2 + 1)]
            for s in range(0, len(x) - N + 1, hop)
        ]
    )


def hertz_to_mel(f, scale="htk"):
    """The mel of one frequency in Hz, by HTK's or by Slaney's formula."""
    if scale == "htk":
        return 2595 * math.log10(1 + f / 700)
    return 3 * f / 200 if f < 1000 else 15 + 27 * math.log(f / 1000) / math.log(6.4)


def mel_to_hertz(z, scale="htk"):
    """The frequency in Hz of one mel: the inverse of `hertz_to_mel`."""
    if scale == "htk":
        return 700 * (10 ** (z / 2595) - 1)
    return 200 * z / 3 if z < 15 else 1000 * 6.4 ** ((z - 15) / 27)


def mel_filter_bank(sample_rate, N, mels, scale="htk", norm=None, low=0.0, high=None):
    """Λ_km: a triangle over the corners c_m, c_m+1, c_m+2, seen at the frequency of each bin k."""
    high = sample_rate / 2 if high is None else high
    ends = hertz_to_mel(low, scale), hertz_to_mel(high, scale)
    c = [mel_to_hertz(z, scale) for z in np.linspace(*ends, mels + 2)]
    filters = np.zeros((N // 2 + 1, mels))
    for k in range(N // 2 + 1):
        f = k * sample_rate / N
        for m in range(mels):
            if c[m] <= f <= c[m + 1]:
                filters[k, m] = (f - c[m]) / (c[m + 1] - c[m])
            elif c[m + 1] < f <= c[m + 2]:
                filters[k, m] = (c[m + 2] - f) / (c[m + 2] - c[m + 1])
            if norm == "slaney":
                filters[k, m] *= 2 / (c[m + 2] - c[m])
    return filters


def log_mel_spectrogram(x, sample_rate, N, hop, mels, floor=1e-10, **options):
    """ln max(Σ_k |X_tk|² Λ_km, floor) for a signal x [samples]."""
    power = np.abs(short_time_fourier_transform(x, N, hop)) ** 2
    return np.log(np.maximum(power @ mel_filter_bank(sample_rate, N, mels, **options), floor))


# --- section 2.2: representation ---------------------------------------------------------------


def cross_entropy(logits, labels, label_smoothing=0.0):
    """mean_n Σ_c −t_nc log softmax(z_n)_c with t_nc = (1 − ε) [c = y_n] + ε / C, for z [N, C]."""
    logits = np.asarray(logits, np.float64)
    N, C = logits.shape
    total = 0.0
    for n in range(N):
        for c in range(C):
            target = (1 - label_smoothing) * (c == labels[n]) + label_smoothing / C
            total -= target * (logits[n, c] - log_sum_exp(logits[n]))
    return total / N


def representation_parameters(kind, rows, lengths, L, M, F, E):
    """Parameters of a model of K modalities: kind "joint", "coordinated" or "crossattention".

    rows [K]: the rows of each input's matrix (features and a bias, or the vocabulary); lengths [K]:
    its positions; L layers of width M and hidden width F; embedding width E.
    """
    K, block = len(rows), 4 * M * M + 4 * M + 2 * M * F + F + M + 4 * M
    inputs = sum((row + length) * M for row, length in zip(rows, lengths, strict=True))
    if kind == "joint":
        return inputs + K * M + L * block + 2 * M + M * E
    if kind == "coordinated":
        return inputs + K * (L * block + 2 * M + M * E) + 1
    cross = 4 * M * M + 4 * M + 2 * M
    return inputs + K * (L * (block + cross) + 2 * M + M * E)


def representation_operations(kind, features, lengths, L, M, F, E):
    """Operations of all matrix products for one example; features [K], 0 for words (a table)."""
    K, T = len(lengths), sum(lengths)
    inputs = sum(2 * t * f * M for f, t in zip(features, lengths, strict=True))
    if kind == "joint":
        return inputs + L * (8 * T * M * M + 4 * T * T * M + 4 * T * M * F) + 2 * M * E
    total = inputs + 2 * K * M * E
    for t in lengths:
        total += L * (8 * t * M * M + 4 * t * t * M + 4 * t * M * F)
        if kind == "crossattention":
            total += L * (4 * t * M * M + 4 * (T - t) * M * M + 4 * t * (T - t) * M)
    return total


def best_fit(posteriors_a, posteriors_b, prior):
    """p(a, b) / (p(a) p(b)) = Σ_s p(s|a) p(s|b) / p(s) for posteriors [N, S], [M, S] → [N, M]."""
    score = np.zeros((len(posteriors_a), len(posteriors_b)))
    for n, p in enumerate(posteriors_a):
        for m, q in enumerate(posteriors_b):
            score[n, m] = sum(p[s] * q[s] / prior[s] for s in range(len(prior)))
    return score


# Section 2.3, fusion. One example; xs, Ws, … are lists with an entry for each of K modalities,
# present [K] says which are there (δ_m).


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


# Section 3.5: contrastive losses beside InfoNCE.


def smoothed_info_nce(queries, keys, logit_scale, epsilon, negatives=None):
    """InfoNCE with label smoothing: the target is 1 − ε on the pair and ε shared by all kept."""
    N, losses = len(queries), []
    for n in range(N):
        kept = [m for m in range(N) if m == n or negatives is None or negatives[n, m]]
        z = {m: math.exp(min(logit_scale, math.log(100))) * (queries[n] @ keys[m]) for m in kept}
        log_total = log_sum_exp(np.array(list(z.values())))
        target = {m: (1 - epsilon) * (m == n) + epsilon / len(kept) for m in kept}
        losses.append(-sum(target[m] * (z[m] - log_total) for m in kept))
    return sum(losses) / N


def sigmoid_loss(images, texts, logit_scale, logit_bias, negatives=None):
    """−1/N Σ log σ(y (e^s u·v + b)); y = 1 for a pair, −1 for two that do not belong together."""
    N, total = len(images), 0.0
    for n in range(N):
        for m in range(N):
            if n != m and negatives is not None and not negatives[n, m]:
                continue
            z = math.exp(logit_scale) * (images[n] @ texts[m]) + logit_bias
            total += np.logaddexp(0.0, -z if n == m else z)
    return total / N
