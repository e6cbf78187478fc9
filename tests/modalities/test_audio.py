"""Sound: against the oracle, torch and librosa, and what a Fourier transform must do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.test_util import check_grads

from mmjax import formulas
from mmjax.modalities import (
    audio_tokens,
    frame,
    hann_window,
    inverse_short_time_fourier_transform,
    log_mel_spectrogram,
    short_time_fourier_transform,
)

B, SAMPLES, LENGTH, HOP, MELS, RATE = 3, 101, 23, 7, 5, 1000
T, K = 12, 12  # 1 + (101 - 23) // 7 and 23 // 2 + 1


def sound(samples=SAMPLES, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(B, samples)).astype(dtype)


@pytest.mark.parametrize(("length", "hop"), [(23, 7), (7, 23), (10, 10), (101, 1), (1, 1)])
def test_frames_are_the_formula(length, hop):
    x = sound()
    frames = frame(x, length, hop)
    assert frames.shape == (B, 1 + (SAMPLES - length) // hop, length)
    for t in range(frames.shape[1]):
        np.testing.assert_array_equal(frames[:, t], x[:, t * hop : t * hop + length])


def test_frames_without_overlap_are_a_reshape():
    x = sound(99)
    np.testing.assert_array_equal(frame(x, 11, 11), x.reshape(B, 9, 11))


@pytest.mark.parametrize("length", [1, 2, 23, 512])
def test_the_window_is_the_formula(length):
    window = hann_window(length)
    assert window.shape == (length,) and window.dtype == jnp.float32
    np.testing.assert_allclose(window, formulas.hann_window(length), atol=1e-7)


def test_windows_half_a_frame_apart_add_up_to_one():
    window = np.asarray(hann_window(64))
    np.testing.assert_allclose(window[:32] + window[32:], 1, atol=1e-6)


def test_the_transform_is_the_formula(x64):
    x = sound(dtype=np.float64)
    spectrum = short_time_fourier_transform(x, LENGTH, HOP)
    assert spectrum.shape == (B, T, K) and spectrum.dtype == jnp.complex128
    expected = [formulas.short_time_fourier_transform(row, LENGTH, HOP) for row in x]
    np.testing.assert_allclose(spectrum, expected, atol=1e-12)


@pytest.mark.parametrize(("length", "hop"), [(512, 128), (400, 160), (23, 7)])
def test_the_transform_is_that_of_torch(length, hop):
    torch = pytest.importorskip("torch")
    x = sound(2000)
    peer = torch.stft(
        torch.from_numpy(x),
        n_fft=length,
        hop_length=hop,
        window=torch.hann_window(length),
        center=False,
        return_complex=True,
    )
    ours = short_time_fourier_transform(x, length, hop)
    np.testing.assert_allclose(ours, peer.numpy().swapaxes(1, 2), atol=1e-4)


@pytest.mark.parametrize("length", [22, 23])
def test_energy_is_kept(x64, length):
    """Parseval: bins that stand for two, k and N − k, count twice."""
    x = sound(dtype=np.float64)
    power = np.abs(short_time_fourier_transform(x, length, HOP)) ** 2
    twice = np.full(power.shape[2], 2.0)
    twice[0] = 1
    if length % 2 == 0:
        twice[-1] = 1
    windowed = np.asarray(frame(x, length, HOP)) * np.asarray(hann_window(length, np.float64))
    np.testing.assert_allclose(power @ twice / length, (windowed**2).sum(-1), rtol=1e-12)


@pytest.mark.parametrize("cycles", [2, 31, 62])
def test_a_pure_tone_lands_in_its_bin(x64, cycles):
    """Whole cycles a frame: N / 4 in the tone's own bin, half of it beside it, else nothing."""
    time = np.arange(512) / 128
    tone = np.cos(2 * np.pi * cycles * time)[None]
    spectrum = np.abs(short_time_fourier_transform(tone, 128, 64))
    expected = np.zeros(65)
    expected[cycles - 1 : cycles + 2] = 16, 32, 16
    np.testing.assert_allclose(spectrum, np.broadcast_to(expected, spectrum.shape), atol=1e-10)


def test_the_transform_is_linear():
    x, y = sound(), sound()[::-1]
    both = short_time_fourier_transform(2 * x - 3 * y, LENGTH, HOP)
    one, other = (short_time_fourier_transform(z, LENGTH, HOP) for z in (x, y))
    np.testing.assert_allclose(both, 2 * one - 3 * other, atol=1e-4)


@pytest.mark.parametrize(("length", "hop"), [(23, 7), (24, 12), (16, 16)])
def test_the_inverse_gives_the_signal_back(x64, length, hop):
    x = sound(dtype=np.float64)
    again = inverse_short_time_fourier_transform(
        short_time_fourier_transform(x, length, hop), length, hop
    )
    end = (SAMPLES - length) // hop * hop + length
    assert again.shape == (B, end)
    unseen = [m for m in range(end) if m % hop == 0 and (m == 0 or hop == length)]
    seen = np.setdiff1d(np.arange(end), unseen)
    np.testing.assert_allclose(again[:, seen], x[:, seen], atol=1e-9)
    np.testing.assert_array_equal(again[:, unseen], 0)


def test_the_inverse_in_float32():
    x = sound(2048)
    again = inverse_short_time_fourier_transform(
        short_time_fourier_transform(x, 512, 128), 512, 128
    )
    np.testing.assert_allclose(again[:, 128:-128], x[:, 128:-128], atol=1e-5)
    np.testing.assert_allclose(again[:, 1:], x[:, 1:], atol=1e-2)


OPTIONS = [
    {"scale": scale, "norm": norm, "low": low, "high": high}
    for scale in ("htk", "slaney")
    for norm in (None, "slaney")
    for low, high in ((0.0, None), (50.0, 430.0))
]


@pytest.mark.parametrize("options", OPTIONS)
def test_log_mel_is_the_formula(x64, options):
    x = sound(dtype=np.float64)
    out = log_mel_spectrogram(x, RATE, length=LENGTH, hop=HOP, mels=3, **options)
    assert out.shape == (B, T, 3) and out.dtype == jnp.float64
    expected = [formulas.log_mel_spectrogram(row, RATE, LENGTH, HOP, 3, **options) for row in x]
    np.testing.assert_allclose(out, expected, atol=1e-10)


@pytest.mark.parametrize("options", OPTIONS)
def test_log_mel_is_that_of_librosa(options):
    librosa = pytest.importorskip("librosa")
    x = sound(4096)
    peer = librosa.feature.melspectrogram(
        y=x,
        sr=4096,
        n_fft=512,
        hop_length=160,
        center=False,
        n_mels=31,
        htk=options["scale"] == "htk",
        norm=options["norm"],
        fmin=options["low"],
        fmax=options["high"],
    )
    ours = log_mel_spectrogram(x, 4096, length=512, hop=160, mels=31, **options)
    peer = np.log(np.maximum(peer, 1e-10)).swapaxes(1, 2)
    np.testing.assert_allclose(ours, peer, atol=1e-4)


def test_silence_is_the_logarithm_of_the_floor():
    out = log_mel_spectrogram(jnp.zeros((1, 1024)), 4096, mels=7, floor=1e-5)
    np.testing.assert_allclose(out, np.log(1e-5), rtol=1e-6)


def test_twice_as_loud_is_a_constant_more():
    x = sound(4096)
    one, two = (log_mel_spectrogram(a * x, 4096, mels=7) for a in (1, 2))
    np.testing.assert_allclose(two - one, 2 * np.log(2), atol=1e-4)


def test_bfloat16_is_computed_in_float32():
    x = jnp.asarray(sound(1024), jnp.bfloat16)
    out = log_mel_spectrogram(x, 4096, mels=7)
    assert out.dtype == jnp.float32
    expected = log_mel_spectrogram(x.astype(jnp.float32), 4096, mels=7)
    np.testing.assert_array_equal(out, expected)


def test_gradients(x64):
    x = jnp.asarray(sound(40, np.float64)[:1])

    def loss(x):
        return (log_mel_spectrogram(x, RATE, length=16, hop=8, mels=2) ** 2).sum()

    check_grads(loss, (x,), order=1, modes=["fwd", "rev"])
    silent = jax.grad(lambda x: log_mel_spectrogram(x, RATE, length=16, hop=8, mels=2).sum())
    np.testing.assert_array_equal(silent(jnp.zeros((1, 40))), 0)


def test_the_compiled_program_does_not_hold_a_table_of_the_frames():
    lowered = jax.jit(lambda x: frame(x, 512, 128)).lower(jnp.zeros((1, 65536), jnp.float32))
    assert len(lowered.as_text()) < 10_000


# Tokens


def test_padding_has_no_influence():
    x = sound(4096)
    lengths = np.array([4096, 1300, 511])
    tokens, mask = audio_tokens(x, 4096, lengths=lengths, hop=100, mels=7)
    assert (tokens.shape, mask.shape) == ((B, 36, 7), (B, 36))
    assert (tokens.dtype, mask.dtype) == (jnp.float32, jnp.bool_)
    assert mask.sum(1).tolist() == [36, 8, 0]
    alone, all_real = audio_tokens(x[1:2, :1300], 4096, hop=100, mels=7)
    assert all_real.all()
    np.testing.assert_allclose(tokens[1, :8], alone[0], atol=1e-4)
    np.testing.assert_array_equal(tokens[~np.asarray(mask)], 0)
    louder = np.where(np.arange(4096)[None] < lengths[:, None], x, 9)
    np.testing.assert_array_equal(
        tokens, audio_tokens(louder, 4096, lengths=lengths, hop=100, mels=7)[0]
    )


def test_half_a_frame_is_the_default_hop():
    assert audio_tokens(sound(4096), 4096)[0].shape == (B, 15, 40)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_tokens_under_jit_and_for_every_platform(scale):
    def make(x, lengths):
        tokens, mask = audio_tokens(x, 4096, lengths=lengths, mels=7, scale=scale, norm="slaney")
        return jax.grad(lambda x: audio_tokens(x, 4096, mels=7)[0].sum())(x), tokens, mask

    x, lengths = jnp.asarray(sound(4096)), jnp.array([4096, 3000, 0])
    traced = jax.jit(make)(x, lengths)
    for one, other in zip(traced, make(x, lengths), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    every = ("cpu", "cuda", "tpu")
    exported = export.export(jax.jit(make), platforms=every)(x, lengths)
    assert exported.platforms == every
    np.testing.assert_allclose(exported.call(x, lengths)[1], traced[1], atol=1e-4)


def test_the_inverse_for_every_platform():
    def there_and_back(x):
        spectrum = short_time_fourier_transform(x, 512, 128)
        return inverse_short_time_fourier_transform(spectrum, 512, 128)

    every = ("cpu", "cuda", "tpu")
    x = jnp.asarray(sound(2048))
    assert export.export(jax.jit(there_and_back), platforms=every)(x).platforms == every


X = np.zeros((2, 1024), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: frame(X[0], 8, 4), ValueError, r"'signal': expected shape \[B, samples\]"),
        (lambda: frame(X[:0], 8, 4), ValueError, r"nothing empty, got float32\[0, 1024\]"),
        (lambda: frame(X, 1025, 4), ValueError, "'signal': expected at least one frame of 1025"),
        (lambda: frame(X, 8, 0), ValueError, "'hop': expected at least 1, got 0"),
        (lambda: frame(X, 8.0, 4), TypeError, "'length': expected a whole number, got 8.0"),
        (lambda: frame(X.astype(int), 8, 4), TypeError, r"'signal': .*got int64\[2, 1024\]"),
        (lambda: frame([0.0], 8, 4), TypeError, "'signal': expected a floating-point array"),
        (lambda: hann_window(0), ValueError, "'length': expected at least 1, got 0"),
        (
            lambda: inverse_short_time_fourier_transform(X[None], 8, 4),
            TypeError,
            "'spectrum': expected a complex array",
        ),
        (
            lambda: inverse_short_time_fourier_transform(X[None] + 0j, 8, 4),
            ValueError,
            r"'spectrum': expected shape \[B, T, 5\]",
        ),
        (lambda: log_mel_spectrogram(X, 4096, floor=0.0), ValueError, "'floor': expected at least"),
        (lambda: log_mel_spectrogram(X, 4096, floor=1e-39), ValueError, "at least 1.18e-38"),
        (lambda: log_mel_spectrogram(X, -1), ValueError, "'sample_rate': expected more than 0"),
        (lambda: log_mel_spectrogram(X, 4096, high=3000.0), ValueError, "'high': expected at most"),
        (
            lambda: audio_tokens(X, 4096, lengths=np.array([1.0, 2.0])),
            TypeError,
            "'lengths': expected whole numbers",
        ),
        (
            lambda: audio_tokens(X, 4096, lengths=np.array([1])),
            ValueError,
            r"'lengths': expected shape \[2\]",
        ),
        (
            lambda: audio_tokens(X, 4096, lengths=[-1, 1025]),
            ValueError,
            r"'lengths': expected numbers from 0 to 1024, got \[-1, 1025\]",
        ),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
