"""Section 2.1, sound: both sides of every numbered equation, in float64."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax import formulas
from mmjax.modalities import (
    frame,
    hann_window,
    hertz_to_mel,
    inverse_short_time_fourier_transform,
    log_mel_spectrogram,
    mel_filter_bank,
    short_time_fourier_transform,
)

pytestmark = pytest.mark.usefixtures("x64")

SAMPLES, HOP, RATE = 61, 5, 1000.0
SIZES = [16, 17]  # N even and odd


@pytest.fixture
def sound():
    return np.random.default_rng(21).normal(size=SAMPLES)


def close(left, right, tolerance=1e-11):
    np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


@pytest.mark.equation("2.1.10")
@pytest.mark.parametrize("N", SIZES)
def test_frames(sound, N):
    y = frame(sound[None], N, HOP)[0]
    assert len(y) == 1 + math.floor((SAMPLES - N) / HOP)
    for t, n in np.ndindex(*y.shape):
        assert y[t, n] == sound[t * HOP + n]
    assert (len(y) - 1) * HOP + N <= SAMPLES < len(y) * HOP + N


@pytest.mark.equation("2.1.11")
@pytest.mark.parametrize("N", SIZES)
def test_the_hann_window(N):
    literal = [(1 - math.cos(2 * math.pi * n / N)) / 2 for n in range(N)]
    close(hann_window(N, jnp.float64), literal)
    close(hann_window(N, jnp.float64), np.sin(np.pi * np.arange(N) / N) ** 2)


@pytest.mark.equation("2.1.12")
@pytest.mark.parametrize("N", SIZES)
def test_the_short_time_fourier_transform(sound, N):
    X = short_time_fourier_transform(sound[None], N, HOP)[0]
    close(X, formulas.short_time_fourier_transform(sound, N, HOP))
    window = formulas.hann_window(N)
    whole = np.fft.fft(window * sound[2 * HOP : 2 * HOP + N])
    close(X[2], whole[: N // 2 + 1])
    close(whole[1:], whole[1:][::-1].conj())  # the others mirror them


@pytest.mark.equation("2.1.13")
@pytest.mark.parametrize("N", SIZES)
def test_bins_and_their_distance(N):
    for k in range(2, N // 2 - 1):
        tone = np.cos(2 * np.pi * (k * RATE / N) * np.arange(SAMPLES) / RATE)
        X = np.abs(short_time_fourier_transform(tone[None], N, HOP)[0])
        assert (X.argmax(1) == k).all()
    f = np.arange(N // 2 + 1) * RATE / N
    close(np.diff(f) * (N / RATE), 1)
    close(f, np.fft.rfftfreq(N, 1 / RATE))


@pytest.mark.equation("2.1.14")
def test_aliasing():
    n = np.arange(SAMPLES)
    for f in (0.0, 123.4, 500.0):
        left = np.sin(2 * np.pi * (RATE - f) * n / RATE)
        close(left, -np.sin(2 * np.pi * f * n / RATE))


@pytest.mark.equation("2.1.15")
@pytest.mark.parametrize("N", SIZES)
def test_the_spectrum_of_the_window(N):
    W = np.fft.fft(formulas.hann_window(N))
    expected = np.zeros(N)
    expected[[0, 1, -1]] = N / 2, -N / 4, -N / 4
    close(W, expected)


@pytest.mark.equation("2.1.16")
@pytest.mark.parametrize("N", SIZES)
def test_parseval(sound, N):
    X = np.abs(short_time_fourier_transform(sound[None], N, HOP)[0]) ** 2
    beta = np.full(N // 2 + 1, 2.0)
    beta[0] = 1
    if N % 2 == 0:
        beta[-1] = 1
    windowed = formulas.hann_window(N) * np.asarray(frame(sound[None], N, HOP)[0])
    close((windowed**2).sum(1), X @ beta / N)


@pytest.mark.equation("2.1.17")
@pytest.mark.parametrize("N", SIZES)
def test_the_inverse(sound, N):
    X = short_time_fourier_transform(sound[None], N, HOP)
    again = inverse_short_time_fourier_transform(X, N, HOP)[0]
    w, y_hat = formulas.hann_window(N), np.fft.irfft(np.asarray(X[0]), n=N)
    for j in range(1, len(again)):
        held = [t for t in range(len(y_hat)) if 0 <= j - t * HOP < N]
        above = sum(w[j - t * HOP] * y_hat[t, j - t * HOP] for t in held)
        close(sound[j], above / sum(w[j - t * HOP] ** 2 for t in held), 1e-9)
    close(again[1:], sound[1 : len(again)], 1e-9)
    assert again[0] == 0 != sound[0]


@pytest.mark.equation("2.1.18")
def test_the_mel_of_htk():
    f = np.array([0.0, 100.0, 440.0, 1000.0, 8000.0])
    close(hertz_to_mel(f), [2595 * math.log10(1 + x / 700) for x in f])


@pytest.mark.equation("2.1.19")
def test_the_mel_of_slaney():
    f = np.array([0.0, 100.0, 440.0, 1000.0, 8000.0])
    right = [3 * x / 200 if x < 1000 else 15 + 27 * math.log(x / 1000) / math.log(6.4) for x in f]
    close(hertz_to_mel(f, scale="slaney"), right)
    below, above = 3 / 200, 27 / math.log(6.4) / 1000  # the slopes beside 1,000 Hz
    assert abs(3 * 1000 / 200 - 15) < 1e-12 and abs(above / below - 1) < 0.04


def corners(mels, scale):
    ends = [formulas.hertz_to_mel(f, scale) for f in (0.0, RATE / 2)]
    return np.array([formulas.mel_to_hertz(z, scale) for z in np.linspace(*ends, mels + 2)])


@pytest.mark.equation("2.1.20")
@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_filters(scale):
    N, mels = 128, 7
    filters = mel_filter_bank(RATE, N, mels, scale=scale, dtype=jnp.float64)
    c, f = corners(mels, scale), np.arange(N // 2 + 1) * RATE / N
    for k, m in np.ndindex(N // 2 + 1, mels):
        rise = (f[k] - c[m]) / (c[m + 1] - c[m])
        fall = (c[m + 2] - f[k]) / (c[m + 2] - c[m + 1])
        close(filters[k, m], max(0, min(rise, fall)))
    inner = (f >= c[1]) & (f <= c[-2])
    close(filters.sum(1)[inner], 1)


@pytest.mark.equation("2.1.21")
@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_the_norm_of_slaney(scale):
    N, mels = 2**14, 7
    plain, normed = (
        np.asarray(mel_filter_bank(RATE, N, mels, scale=scale, norm=norm, dtype=jnp.float64))
        for norm in (None, "slaney")
    )
    c = corners(mels, scale)
    close(normed, plain * 2 / (c[2:] - c[:-2]))
    integral = normed.sum(0) * RATE / N  # by the trapezoidal rule: exact but at the three corners
    np.testing.assert_allclose(integral, 1, atol=1e-5)


@pytest.mark.equation("2.1.22")
@pytest.mark.parametrize("N", SIZES)
def test_log_mel(sound, N):
    options = {"length": N, "hop": HOP, "mels": 3}
    u = log_mel_spectrogram(sound[None], RATE, **options)[0]
    power = np.abs(formulas.short_time_fourier_transform(sound, N, HOP)) ** 2
    energy = power @ formulas.mel_filter_bank(RATE, N, 3)
    close(u, np.log(np.maximum(energy, 1e-10)), 1e-10)
    silent = log_mel_spectrogram(jnp.zeros((1, SAMPLES)), RATE, **options)
    close(silent, math.log(1e-10))


@pytest.mark.equation("2.1.23")
@pytest.mark.parametrize("a", [0.5, 3.0])
def test_volume_is_an_addition(sound, a):
    quiet, loud = (
        log_mel_spectrogram(b * sound[None], RATE, length=16, hop=HOP, mels=3) for b in (1.0, a)
    )
    close(loud, quiet + 2 * math.log(a), 1e-10)
