"""The mel scale and its filters: against the oracle, librosa, and what a triangle must be."""

import jax
import numpy as np
import pytest

from mmjax import formulas
from mmjax.modalities import hertz_to_mel, mel_filter_bank, mel_to_hertz

KINDS = [(scale, norm) for scale in ("htk", "slaney") for norm in (None, "slaney")]
SIZES = [(4096, 512, 40, 0.0, None), (16_000, 400, 23, 20.0, 7600.0), (8000, 255, 17, 60.0, 3999.0)]


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_scales_are_the_formulas_and_each_others_inverse(scale):
    hertz = np.array([0.0, 1e-3, 440.0, 999.9, 1000.0, 1000.1, 6400.0, 22_050.0])
    mel = hertz_to_mel(hertz, scale=scale)
    expected = [formulas.hertz_to_mel(f, scale) for f in hertz]
    np.testing.assert_allclose(mel, expected, rtol=1e-13)
    np.testing.assert_allclose(mel_to_hertz(mel, scale=scale), hertz, rtol=1e-9)
    back = [formulas.mel_to_hertz(z, scale) for z in mel]
    np.testing.assert_allclose(back, hertz, rtol=1e-9)


def test_the_scales_at_the_frequencies_that_define_them():
    assert float(hertz_to_mel(1000.0)) == pytest.approx(1000, abs=0.02)  # a kilohertz, 1,000 mel
    assert float(hertz_to_mel(1000.0, scale="slaney")) == pytest.approx(15)
    assert float(hertz_to_mel(6400.0, scale="slaney")) == pytest.approx(42)


@pytest.mark.parametrize(("scale", "norm"), KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_filters_are_the_literal_triangles(x64, scale, norm, size):
    rate, length, mels, low, high = size
    options = {"scale": scale, "norm": norm, "low": low, "high": high}
    filters = mel_filter_bank(rate, length, mels, **options, dtype=np.float64)
    assert filters.shape == (length // 2 + 1, mels) and filters.dtype == np.float64
    expected = formulas.mel_filter_bank(rate, length, mels, **options)
    np.testing.assert_allclose(filters, expected, atol=1e-12)


@pytest.mark.parametrize(("scale", "norm"), KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_filters_are_those_of_librosa(scale, norm, size):
    librosa = pytest.importorskip("librosa")
    rate, length, mels, low, high = size
    peer = librosa.filters.mel(
        sr=rate, n_fft=length, n_mels=mels, fmin=low, fmax=high, htk=scale == "htk", norm=norm
    )
    ours = mel_filter_bank(rate, length, mels, scale=scale, norm=norm, low=low, high=high)
    np.testing.assert_allclose(ours, peer.T, atol=1e-6 * peer.max())


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_neighbours_cover_the_band_once(scale):
    """Where one filter falls, the next one rises, and together they are 1."""
    filters = mel_filter_bank(4096, 512, 20, scale=scale)
    ends = hertz_to_mel([0.0, 2048.0], scale=scale)
    corners = mel_to_hertz(np.linspace(*ends, 22), scale=scale)
    bins = np.arange(257) * 8.0
    inner = (bins >= corners[1]) & (bins <= corners[-2])
    np.testing.assert_allclose(filters.sum(1)[inner], 1, rtol=1e-6)
    assert ((filters > 0).sum(1) <= 2).all()


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_the_slaney_norm_gives_every_filter_the_area_one(scale):
    """Over a fine grid of bins the sum of a filter is its integral."""
    filters = mel_filter_bank(16_000, 2**16, 13, scale=scale, norm="slaney")
    np.testing.assert_allclose(filters.sum(0) * 16_000 / 2**16, 1, rtol=1e-4)


def test_the_band_is_kept():
    filters = np.asarray(mel_filter_bank(4096, 512, 7, low=400.0, high=1200.0))
    heard = np.flatnonzero(filters.any(1)) * 8.0
    assert heard.min() > 400 and heard.max() < 1200


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sample_rate": 0}, ValueError, "'sample_rate': expected more than 0 Hz, got 0"),
        ({"sample_rate": np.nan}, ValueError, "'sample_rate': expected more than 0 Hz, got nan"),
        ({"fft_length": 512.0}, TypeError, "'fft_length': expected a whole number, got 512.0"),
        ({"mels": 0}, ValueError, "'mels': expected at least 1, got 0"),
        ({"mels": 300}, ValueError, "'mels': expected fewer filters, .* 300, of which .* hold"),
        ({"high": 2049.0}, ValueError, "'high': expected at most half the sample rate, 2048 Hz"),
        ({"low": 500.0, "high": 500.0}, ValueError, "'high': .*more than low = 500 Hz, got 500.0"),
        ({"low": -1.0}, ValueError, "'low': expected at least 0 Hz, got -1.0"),
        ({"scale": "bark"}, ValueError, "'scale': expected one of 'htk', 'slaney', got 'bark'"),
        ({"norm": "area"}, ValueError, "'norm': expected one of None, 'slaney', got 'area'"),
    ],
)
def test_wrong_arguments_are_named(change, error, message):
    arguments = {"sample_rate": 4096, "fft_length": 512, "mels": 40} | change
    with pytest.raises(error, match=message):
        mel_filter_bank(**arguments)


@pytest.mark.parametrize("convert", [hertz_to_mel, mel_to_hertz])
def test_wrong_frequencies_are_named(convert):
    with pytest.raises(ValueError, match="expected at least 0, got -1"):
        convert(-1.0)
    with pytest.raises(ValueError, match="argument 'scale': expected one of 'htk'"):
        convert(1.0, scale="mel")


def test_runs_inside_jit():
    power = np.ones((2, 257), np.float32)
    banded = jax.jit(lambda p: p @ mel_filter_bank(4096, 512, 40))(power)
    np.testing.assert_allclose(banded, power @ np.asarray(mel_filter_bank(4096, 512, 40)))
