"""Mistakes of discrimination, calibration and decisions, and of exact answers (section 5.5)."""

from tools.mistakes.mistake import Mistake

PAGE = "tests/book/test_5_5_healthcare.py"
DIAGNOSIS = "tests/evaluation/test_diagnosis.py"

HEALTHCARE_MISTAKES = [
    Mistake(
        "equal scores ranked by the place they happen to have",
        "mmjax/evaluation/discrimination.py",
        "np.cumsum(count) - (count - 1) / 2",
        "np.cumsum(count)",
        (PAGE + "::test_area_and_pairs",),
    ),
    Mistake(
        "ROC curve with a corner for each of several equal scores",
        "mmjax/evaluation/discrimination.py",
        "np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1",
        "np.arange(len(ranked) - 1), len(ranked) - 1",
        (PAGE + "::test_area_and_pairs",),
    ),
    Mistake(
        "calibration error as a mean over bins, whatever they hold",
        "mmjax/evaluation/calibration.py",
        "(count * np.abs(mean - frequency)).sum() / count.sum()",
        "np.abs(mean - frequency).mean()",
        (PAGE + "::test_calibration_error",),
    ),
    Mistake(
        "relative entropy in the wrong direction",
        "mmjax/evaluation/calibration.py",
        "(share * distance(frequency, mean)).sum()",
        "(share * distance(mean, frequency)).sum()",
        (PAGE + "::test_the_parts_of_a_score",),
    ),
    Mistake(
        "log odds multiplied by the temperature",
        "mmjax/evaluation/calibration.py",
        "return float(np.exp(-(low + high) / 2))",
        "return float(np.exp((low + high) / 2))",
        (PAGE + "::test_the_slope_of_the_loss_in_the_inverse_temperature",),
    ),
    Mistake(
        "the new prior added without taking the old one away",
        "mmjax/evaluation/calibration.py",
        "np.log(new) - np.log1p(-new) - np.log(old) + np.log1p(-old)",
        "np.log(new) - np.log1p(-new)",
        (PAGE + "::test_another_clinic",),
    ),
    Mistake(
        "the two costs of the threshold swapped",
        "mmjax/evaluation/decision.py",
        "return false_positive / (false_positive + false_negative)",
        "return false_negative / (false_positive + false_negative)",
        (PAGE + "::test_the_threshold_of_a_price",),
    ),
    Mistake(
        "the best place of a spot in place of the mean over places",
        "mmjax/data/patients/bayes.py",
        "np.logaddexp.reduce(ratios, axis=1) - np.log(ratios.shape[1])",
        "ratios.max(axis=1)",
        (PAGE + "::test_a_spot_at_an_unknown_place",),
    ),
    Mistake(
        "a field that was not measured says nothing",
        "mmjax/data/patients/record.py",
        'return total + _log_odds(measured[:, INFLAMMATION], "inflammation measured")',
        "return total",
        (PAGE + "::test_the_ratio_of_a_record",),
    ),
    Mistake(
        "a filter for white noise, where the noise has a texture",
        "mmjax/data/patients/picture.py",
        "np.fft.fft2(pictures) * s.conj() / noise_spectrum()",
        "np.fft.fft2(pictures) * s.conj()",
        (PAGE + "::test_a_spot_at_a_known_place",),
    ),
    Mistake(
        "a constant map that always hits",
        "mmjax/evaluation/attribution.py",
        "return hit / top.sum(axis=(1, 2))",
        "return hit.astype(np.float64)",
        (DIAGNOSIS + "::test_pointing_shares_a_tie",),
    ),
    Mistake(
        "patches painted over one after another and never restored",
        "mmjax/evaluation/attribution.py",
        "painted = pictures.copy()",
        "painted = pictures",
        (DIAGNOSIS + "::test_occlusion_finds_what_counts",),
    ),
    Mistake(
        "the disease taken for label 1, whatever the publisher says",
        "mmjax/data/medmnist.py",
        "disease = (labels == SETS[name].ill).astype(np.int32)",
        "disease = (labels == 1).astype(np.int32)",
        ("tests/data/test_medmnist.py::test_a_file_is_read",),
    ),
    Mistake(
        "a downloaded set that nobody checks",
        "mmjax/data/published.py",
        "if found != md5:",
        "if not found:",
        ("tests/data/test_medmnist.py::test_a_download_is_checked_and_kept",),
    ),
]
