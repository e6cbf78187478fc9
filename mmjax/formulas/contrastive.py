"""Unit vectors and contrastive losses, with their gradients (sections 3.4 and 3.5)."""

import math

import numpy as np

from mmjax.formulas.attention import log_sum_exp, softmax


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
