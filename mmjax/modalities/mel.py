"""The mel scale, on which equal steps sound equally wide, and the filters that are even on it.

Two scales carry the name: HTK's, a logarithm all the way, and Slaney's, a straight line below
1,000 Hz. librosa's default is "slaney" with the norm "slaney", torchaudio's "htk" without a norm.
Sources: O'Shaughnessy (1987) and Young et al., "The HTK Book"; Slaney (1998), "Auditory Toolbox".
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

from mmjax.checks import require, require_one_of
from mmjax.modalities.arguments import check_sizes

SCALES = ("htk", "slaney")
BREAK = 1000.0
"""Hz; where Slaney's scale turns from a line into a logarithm."""
LINE = 200.0 / 3
"""Hz a mel below the break, which is thus at 15 mel."""
STEP = np.log(6.4) / 27
"""Above the break, 27 mel are a factor of 6.4."""


def hertz_to_mel(hertz, *, scale: str = "htk") -> np.ndarray:
    """Mel of frequencies in Hz, a number or an array, in float64.

    htk: 2595 log10(1 + f / 700).
    slaney: 3 f / 200 below 1,000 Hz, 15 + 27 ln(f / 1000) / ln 6.4 above.
    Raises ValueError for another scale or a negative frequency.
    """
    require_one_of(scale, SCALES, "hertz_to_mel", "scale")
    hertz = np.asarray(hertz, np.float64)
    ok = bool((hertz >= 0).all())
    require(ok, "hertz_to_mel", "hertz", expected="at least 0", got=str(hertz))
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    above = BREAK / LINE + np.log(np.maximum(hertz, BREAK) / BREAK) / STEP
    return np.where(hertz < BREAK, hertz / LINE, above)


def mel_to_hertz(mel, *, scale: str = "htk") -> np.ndarray:
    """Hz of mels, a number or an array, in float64: the inverse of `hertz_to_mel`.

    Raises ValueError for another scale or a negative mel.
    """
    require_one_of(scale, SCALES, "mel_to_hertz", "scale")
    mel = np.asarray(mel, np.float64)
    require(bool((mel >= 0).all()), "mel_to_hertz", "mel", expected="at least 0", got=str(mel))
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    corner = BREAK / LINE
    return np.where(
        mel < corner, mel * LINE, BREAK * np.exp(STEP * (np.maximum(mel, corner) - corner))
    )


def mel_filter_bank(
    sample_rate: float,
    fft_length: int,
    mels: int,
    *,
    scale: str = "htk",
    norm: str | None = None,
    low: float = 0.0,
    high: float | None = None,
    dtype=jnp.float32,
) -> Array:
    """Triangular filters whose corners are even on the mel scale: Λ [K, mels].

    Λ[k, m] = max(0, min((f_k − c_m) / (c_{m+1} − c_m), (c_{m+2} − f_k) / (c_{m+2} − c_{m+1})))

    with the bins f_k = k · sample_rate / fft_length, k = 0 … ⌊fft_length / 2⌋, and mels + 2 corners
    c from `low` to `high`, all in Hz; high is the Nyquist frequency, sample_rate / 2, where not
    given. norm "slaney" divides a filter by half its width, (c_{m+2} − c_m) / 2, so that all have
    the same area in Hz; without a norm the highest value is about 1.

    Raises TypeError for sizes that are no whole numbers; ValueError for sizes below 1, a sample
    rate that is not positive, a band outside 0 … Nyquist, an unknown scale or norm, and for filters
    so narrow that one holds no bin, whose output would be silence whatever the sound.
    Equal to librosa.filters.mel (transposed) and torchaudio.functional.melscale_fbanks.
    """
    where = "mel_filter_bank"
    high = _check(sample_rate, fft_length, mels, scale, norm, low, high)
    ends = hertz_to_mel([low, high], scale=scale)
    corners = mel_to_hertz(np.linspace(ends[0], ends[1], mels + 2), scale=scale)
    bins = np.arange(fft_length // 2 + 1) * sample_rate / fft_length
    width = np.diff(corners)
    distance = corners[None, :] - bins[:, None]  # [K, mels + 2]
    rise, fall = -distance[:, :-2] / width[:-1], distance[:, 2:] / width[1:]
    filters = np.maximum(0.0, np.minimum(rise, fall))
    empty = np.flatnonzero(filters.max(0) == 0)
    expected = "fewer filters, or a longer transform, so that each holds a bin"
    got = f"{mels}, of which {len(empty)} hold none"
    require(len(empty) == 0, where, "mels", expected=expected, got=got)
    if norm == "slaney":
        filters *= 2.0 / (corners[2:] - corners[:-2])
    return jnp.asarray(filters, dtype)


def _check(sample_rate, fft_length, mels, scale, norm, low, high) -> float:
    """Checks the arguments of `mel_filter_bank` and returns the upper end of the band."""
    where = "mel_filter_bank"
    check_sizes(where, fft_length=fft_length, mels=mels)
    require_one_of(scale, SCALES, where, "scale")
    require_one_of(norm, (None, "slaney"), where, "norm")
    positive = np.isfinite(sample_rate) and sample_rate > 0
    require(positive, where, "sample_rate", expected="more than 0 Hz", got=sample_rate)
    nyquist = sample_rate / 2
    high = nyquist if high is None else high
    expected = f"at most half the sample rate, {nyquist:g} Hz, and more than low = {low:g} Hz"
    require(low < high <= nyquist, where, "high", expected=expected, got=high)
    require(low >= 0, where, "low", expected="at least 0 Hz", got=low)
    return high
