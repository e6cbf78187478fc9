"""From signals to tokens: text, pictures, sound and video (section 2.1)."""

import math

import numpy as np

from mmjax.formulas.attention import sinusoidal_positions


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
