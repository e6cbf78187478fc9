"""Sound as tokens: short windowed frames, the energy in bands that are even to the ear, its log.

Sources: Allen (1977), "Short term spectral analysis, synthesis, and modification by discrete
Fourier transform"; Davis & Mermelstein (1980) for the logarithm of mel bands.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from mmjax.checks import require, require_type
from mmjax.modalities.arguments import check_lengths, check_sizes, keep_real
from mmjax.modalities.mel import mel_filter_bank
from mmjax.precision import wide_dtype


def frame(signal: Array, length: int, hop: int) -> Array:
    """Cuts sound into frames that may overlap: frames[b, t, n] = x[b, t · hop + n].

    signal: [B, samples]. Returns [B, T, length] with T = 1 + ⌊(samples − length) / hop⌋; samples
    after the last whole frame are left out.
    Raises TypeError for a signal that is not floating-point or sizes that are no whole numbers,
    ValueError for another rank, an empty batch, sizes below 1, or a signal shorter than a frame.
    """
    _check_signal(signal, "frame")
    check_sizes("frame", length=length, hop=hop)
    samples = signal.shape[1]
    expected = f"at least one frame of {length} samples"
    require(samples >= length, "frame", "signal", expected=expected, got=signal)
    # One number a frame goes into the compiled program; a table of all indices would be as large as
    # the frames.
    starts = np.arange(0, samples - length + 1, hop, dtype=np.int32)
    cut = functools.partial(jax.lax.dynamic_slice_in_dim, slice_size=length, axis=1)
    return jax.vmap(cut, in_axes=(None, 0), out_axes=1)(jnp.asarray(signal), starts)


def hann_window(length: int, dtype=jnp.float32) -> Array:
    """The periodic Hann window: w[n] = (1 − cos(2π n / N)) / 2 for n = 0 … N − 1.

    Returns [N]. Raises TypeError or ValueError for a length that is no whole number above 0.
    """
    check_sizes("hann_window", length=length)
    return jnp.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length), dtype)


def short_time_fourier_transform(signal: Array, length: int, hop: int) -> Array:
    """The spectrum of each frame: X[b, t, k] = Σ_n w[n] x[b, t · hop + n] e^(−2πi k n / N).

    signal: [B, samples]; w is the Hann window of N = `length` samples. Returns complex [B, T, K],
    K = ⌊N / 2⌋ + 1; bin k lies at k · sample_rate / N Hz. It equals torch's and librosa's with
    center=False. Computed in float32, or in float64 for a float64 signal. Raises as `frame`.
    """
    _check_signal(signal, "short_time_fourier_transform")
    wide = jnp.asarray(signal).astype(wide_dtype(signal.dtype))
    frames = frame(wide, length, hop)
    return jnp.fft.rfft(frames * hann_window(length, wide.dtype)[None, None, :])


def inverse_short_time_fourier_transform(spectrum: Array, length: int, hop: int) -> Array:
    """The signal of a spectrum: x[b, m] = Σ_t w y_t / Σ_t w², y_t the inverse transform of frame t.

    Of all signals it is the one whose spectrum is closest (Griffin & Lim 1984, equation 6), and
    for the spectrum of a signal it is that signal. A sample that every window weighs with zero,
    such as the first one, is not in the spectrum; it comes back as zero. In float32 the few samples
    beside it, which have small weights, come back to about three digits.

    spectrum: complex [B, T, K] with K = ⌊length / 2⌋ + 1. Returns [B, (T − 1) · hop + length].
    Raises TypeError for a spectrum that is not complex, ValueError for another shape or sizes.
    """
    where = "inverse_short_time_fourier_transform"
    check_sizes(where, length=length, hop=hop)
    is_complex = jnp.issubdtype(spectrum.dtype, jnp.complexfloating)
    require_type(is_complex, where, "spectrum", expected="a complex array", got=spectrum)
    bins = length // 2 + 1
    right = spectrum.ndim == 3 and spectrum.shape[2] == bins and 0 not in spectrum.shape
    expected = f"shape [B, T, {bins}], nothing empty"
    require(right, where, "spectrum", expected=expected, got=spectrum)
    frames = jnp.fft.irfft(spectrum, n=length)
    window = hann_window(length, frames.dtype)
    B, T, _ = spectrum.shape
    places = jnp.arange(T)[:, None] * hop + jnp.arange(length)[None, :]
    summed = jnp.zeros((B, (T - 1) * hop + length), frames.dtype)
    summed = summed.at[:, places].add(frames * window[None, None, :])
    weight = jnp.zeros(summed.shape[1], frames.dtype).at[places].add(window[None, :] ** 2)
    seen = weight > 1e-12
    return jnp.where(seen[None, :], summed / jnp.where(seen, weight, 1)[None, :], 0)


def log_mel_spectrogram(
    signal: Array,
    sample_rate: float,
    *,
    length: int = 512,
    hop: int | None = None,
    mels: int = 40,
    scale: str = "htk",
    norm: str | None = None,
    low: float = 0.0,
    high: float | None = None,
    floor: float = 1e-10,
) -> Array:
    """ln max(Σ_k |X[b, t, k]|² Λ[k, m], floor): how loud each band of each frame is.

    signal: [B, samples], sample_rate in Hz. length and hop in samples; hop is half a frame where
    not given. The filters Λ are those of `mel_filter_bank`: scale, norm, low and high (Hz) as
    there. floor: the energy below which all is silence; ln 0 would be −∞.
    Returns [B, T, mels] in float32, or float64 for a float64 signal. Raises as `frame` and
    `mel_filter_bank`, and ValueError for a floor that is no normal number of that precision.
    """
    where = "log_mel_spectrogram"
    _check_signal(signal, where)
    smallest = float(jnp.finfo(wide_dtype(signal.dtype)).tiny)
    require(floor >= smallest, where, "floor", expected=f"at least {smallest:.3g}", got=floor)
    spectrum = short_time_fourier_transform(signal, length, _hop(length, hop))
    power = spectrum.real**2 + spectrum.imag**2
    filters = mel_filter_bank(
        sample_rate, length, mels, scale=scale, norm=norm, low=low, high=high, dtype=power.dtype
    )
    energy = jnp.matmul(power, filters, precision="highest")  # a log shows small errors
    return jnp.log(jnp.maximum(energy, floor))


def audio_tokens(
    signal: Array,
    sample_rate: float,
    *,
    lengths: Array | None = None,
    length: int = 512,
    hop: int | None = None,
    **options,
) -> tuple[Array, Array]:
    """A token for each frame of sound, and which of them are real.

    lengths: whole numbers [B], the samples of each clip that are sound and not padding; all where
    not given. A frame is real if it holds no padding, so a clip has the same real tokens alone and
    in a batch. A clip shorter than a frame, such as a missing one of length 0, has none.
    The others: as `log_mel_spectrogram`.

    Returns tokens [B, T, mels], zeros where not real, and mask bool [B, T].
    Raises as `log_mel_spectrogram`, TypeError or ValueError for lengths that are no whole numbers
    [B] from 0 to the samples of the signal.
    """
    hop = _hop(length, hop)
    tokens = log_mel_spectrogram(signal, sample_rate, length=length, hop=hop, **options)
    B, T, _ = tokens.shape
    lengths = check_lengths(lengths, B, signal.shape[1], "audio_tokens")
    ends = np.arange(T, dtype=np.int32) * hop + length
    return keep_real(tokens, ends[None, :] <= lengths[:, None])


def _hop(length: int, hop: int | None) -> int:
    return max(1, length // 2) if hop is None else hop


def _check_signal(signal, where: str) -> None:
    is_float = hasattr(signal, "dtype") and jnp.issubdtype(signal.dtype, jnp.floating)
    expected = "a floating-point array"
    require_type(is_float, where, "signal", expected=expected, got=signal)
    right = signal.ndim == 2 and 0 not in signal.shape
    expected = "shape [B, samples], nothing empty"
    require(right, where, "signal", expected=expected, got=signal)
