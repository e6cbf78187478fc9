"""Voices that were never heard: folds of the spoken digits that leave one speaker out.

A recording is reduced to what a small model needs: how its sound changes over a few moments. The
recordings themselves come from `mmjax.data.digits`.
"""

import numpy as np

from mmjax.checks import require, require_type


def leave_one_out(speakers: np.ndarray) -> np.ndarray:
    """Which recordings each fold may train on: bool [speakers, N], False for the one left out.

    speakers: int [N] from 0. Raises TypeError for other dtypes, ValueError for less than two
    speakers, of whom nothing would be left.
    """
    where, speakers = "leave_one_out", np.asarray(speakers)
    whole = speakers.ndim == 1 and np.issubdtype(speakers.dtype, np.integer)
    require_type(whole, where, "speakers", expected="whole numbers [N]", got=speakers)
    found = np.unique(speakers)
    require(
        len(found) >= 2, where, "speakers", expected="at least two of them", got=f"{len(found)}"
    )
    return speakers[None, :] != found[:, None]


def moments(frames: np.ndarray, mask: np.ndarray, number: int) -> np.ndarray:
    """Recordings of any length as `number` equal stretches, each the mean of its frames.

    frames float [N, T, C], mask bool [N, T] with the real frames first → [N, number, C]. Stretch i
    of a recording with n frames has the frames from ⌊i n / number⌋ to ⌈(i + 1) n / number⌉.
    Raises ValueError for arrays that do not fit, a number below 1, or a recording without a frame.
    """
    where = "moments"
    fits = frames.ndim == 3 and mask.shape == frames.shape[:2]
    require(fits, where, "mask", expected=f"{list(frames.shape[:2])}", got=mask)
    require(number >= 1, where, "number", expected="at least 1", got=number)
    lengths = mask.sum(axis=1)
    some = bool((lengths > 0).all())
    require(some, where, "mask", expected="a real frame in every recording", got=mask)
    place, i = np.arange(frames.shape[1]), np.arange(number)
    first = i * lengths[:, None] // number  # [N, number]
    last = -(-(i + 1) * lengths[:, None] // number)
    inside = (place >= first[..., None]) & (place < last[..., None])  # [N, number, T]
    share = inside / inside.sum(axis=2, keepdims=True)
    return np.einsum("nit,ntc->nic", share, np.where(mask[..., None], frames, 0))


def without_voice_mean(features: np.ndarray) -> np.ndarray:
    """features [N, moments, C] less their mean over the moments of the recording.

    A microphone and a throat multiply the spectrum by something that hardly changes; in the
    logarithm that is a constant, and it goes with the mean. Source: Atal (1974), who takes
    the mean from the cepstrum.
    """
    require(features.ndim == 3, "without_voice_mean", "features", expected="rank 3", got=features)
    return features - features.mean(axis=1, keepdims=True)
