"""The picture of a patient: noise with a known covariance, and in some a bright spot somewhere.

    x = n + z a s_u,   n ~ N(0, C),   u uniform over the inner pixels

C is that of fine grain plus a smooth texture, the same at every place when the edges are joined.
Such a covariance is diagonal after a Fourier transform, so its inverse costs no more than one.
"""

import numpy as np

from mmjax.checks import require

SIDE = 24
"""Pixels on a side of the picture."""

MARGIN = 3
"""No spot has its centre nearer to the edge; so there are (24 − 6)² = 324 places for one."""

GRAIN, TEXTURE, SMOOTHNESS = 1.0, 0.8, 2.0
"""Standard deviations of grain and texture, in one unit of brightness; pixels of the smoothing."""

SPOT_HEIGHT, SPOT_RADIUS = 4.0, 1.5
"""Brightness of the spot at its centre, in the same unit; pixels to where it is e^{−1/2} of it."""


def bump(radius: float) -> np.ndarray:
    """exp(−|δ|² / (2 radius²)) around pixel (0, 0) with joined edges: [24, 24]."""
    step = np.minimum(np.arange(SIDE), SIDE - np.arange(SIDE))
    profile = np.exp(-(step**2) / (2 * radius**2))
    return np.outer(profile, profile)


def noise_spectrum() -> np.ndarray:
    """The eigenvalues λ_k of C, real [24, 24], in the order of `numpy.fft.fft2`.

    λ_k = GRAIN² + TEXTURE² |ĝ_k|², with g the smoothing, scaled so that Σ g² = 1.
    """
    g = bump(SMOOTHNESS)
    return GRAIN**2 + TEXTURE**2 * np.abs(np.fft.fft2(g / np.linalg.norm(g))) ** 2


def draw_noise(number: int, rng: np.random.Generator) -> np.ndarray:
    """n ~ N(0, C), float64 [N, 24, 24]: white noise, coloured by √λ."""
    white = np.fft.fft2(rng.normal(size=(number, SIDE, SIDE)))
    return np.fft.ifft2(white * np.sqrt(noise_spectrum())).real


def places() -> np.ndarray:
    """Every place that a spot may have: int [324, 2], row and column, row by row."""
    inner = np.arange(MARGIN, SIDE - MARGIN)
    return np.stack(np.meshgrid(inner, inner, indexing="ij"), -1).reshape(-1, 2)


def spots(centres: np.ndarray) -> np.ndarray:
    """a s_u for centres int [N, 2] → float64 [N, 24, 24]."""
    row, column = np.asarray(centres).T
    pixel = np.arange(SIDE)
    shape = bump(SPOT_RADIUS)
    rows, columns = (pixel - row[:, None]) % SIDE, (pixel - column[:, None]) % SIDE
    return SPOT_HEIGHT * shape[rows[:, :, None], columns[:, None, :]]


def detectability() -> float:
    """a √(sᵀ C⁻¹ s): how many standard deviations a spot at a known place stands out by."""
    s = np.fft.fft2(SPOT_HEIGHT * bump(SPOT_RADIUS))
    return float(np.sqrt((np.abs(s) ** 2 / noise_spectrum()).mean()))


def place_log_ratios(pictures: np.ndarray) -> np.ndarray:
    """log p(x | spot at u) / p(x | no spot) for each place: [N, 24, 24] → float64 [N, 18, 18].

    ℓ_u(x) = a s_uᵀ C⁻¹ x − a² sᵀ C⁻¹ s / 2

    Raises ValueError for pictures of another shape.
    """
    pictures = np.asarray(pictures, np.float64)
    ok = pictures.ndim == 3 and pictures.shape[1:] == (SIDE, SIDE)
    expected = f"[N, {SIDE}, {SIDE}]"
    require(ok, "place_log_ratios", "pictures", expected=expected, got=pictures)
    s = np.fft.fft2(SPOT_HEIGHT * bump(SPOT_RADIUS))
    inner = slice(MARGIN, SIDE - MARGIN)
    matched = np.fft.ifft2(np.fft.fft2(pictures) * s.conj() / noise_spectrum()).real
    return matched[:, inner, inner] - detectability() ** 2 / 2
