"""Folds by speaker and what is kept of a recording, also on small files in the digits' format."""

import numpy as np
import pytest

from mmjax.data.digits import load_spoken_digits
from mmjax.data.voices import leave_one_out, moments, without_voice_mean
from tests.data import digit_samples as samples


def test_each_fold_leaves_one_speaker_out_in_recordings_as_they_are_published(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", None)
    samples.write_recordings(tmp_path / "fsdd" / "recordings")
    digits = load_spoken_digits("train", samples=101)
    folds = leave_one_out(digits.speakers)
    assert folds.shape == (len(samples.SPEAKERS), len(digits.labels)) and folds.dtype == bool
    for fold, speaker in zip(folds, range(len(samples.SPEAKERS)), strict=True):
        assert set(digits.speakers[~fold]) == {speaker}
        assert speaker not in digits.speakers[fold]
        assert set(digits.labels[~fold]) == set(range(10))


def test_moments_are_means_of_stretches():
    rng = np.random.default_rng(0)
    frames, lengths = rng.normal(size=(3, 11, 2)), [11, 7, 2]
    mask = np.arange(11) < np.array(lengths)[:, None]
    frames[~mask] = np.nan  # what is not real is not looked at
    made = moments(frames, mask, 3)
    for n, length in enumerate(lengths):
        for i in range(3):
            inside = frames[n, i * length // 3 : -(-(i + 1) * length // 3)]
            np.testing.assert_allclose(made[n, i], inside.mean(axis=0), rtol=1e-12)


def test_a_constant_of_the_recording_goes_with_the_mean():
    rng = np.random.default_rng(0)
    x, constant = rng.normal(size=(3, 5, 2)), rng.normal(size=(3, 1, 2))
    np.testing.assert_allclose(without_voice_mean(x + constant), without_voice_mean(x), atol=1e-12)
    assert np.abs(without_voice_mean(x)).max() > 0.1


REAL = np.ones((2, 3), bool)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: leave_one_out(np.zeros(3)), TypeError, "'speakers': expected whole numbers"),
        (lambda: leave_one_out(np.zeros(3, int)), ValueError, "at least two of them, got 1"),
        (lambda: moments(np.zeros((2, 4, 1)), REAL, 2), ValueError, "'mask': expected \\[2, 4\\]"),
        (lambda: moments(np.zeros((2, 3, 1)), REAL, 0), ValueError, "'number': expected at least"),
        (lambda: moments(np.zeros((2, 3, 1)), ~REAL, 2), ValueError, "a real frame in every"),
        (lambda: without_voice_mean(np.zeros((2, 3))), ValueError, "'features': expected rank 3"),
    ],
)
def test_bad_input_raises_one_clear_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
