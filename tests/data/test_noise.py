"""Wrong captions: how many, which, and that nothing else about the captions changes."""

import numpy as np
import pytest

from mmjax.data.noise import wrong_captions

CAPTIONS = np.random.default_rng(0).integers(0, 50, 2003).astype(np.int32)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_is_passed_round_and_every_caption_stays_as_frequent(share):
    noisy, wrong = wrong_captions(CAPTIONS, share, seed=1)
    assert wrong.sum() == round(share * len(CAPTIONS)) and noisy.dtype == CAPTIONS.dtype
    np.testing.assert_array_equal(noisy[~wrong], CAPTIONS[~wrong])
    np.testing.assert_array_equal(np.sort(noisy), np.sort(CAPTIONS))
    # With 50 captions about one in 50 of the drawn pairs is right by chance.
    assert (noisy[wrong] == CAPTIONS[wrong]).mean() < 0.05 if share else True


def test_with_captions_of_their_own_all_drawn_pairs_are_wrong():
    own = np.arange(97)
    noisy, wrong = wrong_captions(own, 0.5, seed=0)
    np.testing.assert_array_equal(noisy != own, wrong)


def test_the_wrong_text_is_independent_of_the_picture():
    """(3.5.2): among the drawn pairs, the old and the new caption are independent."""
    two = np.arange(100_000) % 2
    noisy, wrong = wrong_captions(two, 0.4, seed=3)
    assert abs((noisy[wrong] == two[wrong]).mean() - 0.5) < 0.01


def test_the_seed_decides_and_a_larger_share_includes_a_smaller_one():
    few, many = (wrong_captions(CAPTIONS, share, seed=5)[1] for share in (0.2, 0.7))
    assert many[few].all()
    again = wrong_captions(CAPTIONS, 0.2, seed=5)[1]
    np.testing.assert_array_equal(again, few)
    assert (wrong_captions(CAPTIONS, 0.2, seed=6)[1] != few).any()


def test_the_argument_is_left_as_it_was():
    captions = CAPTIONS.copy()
    wrong_captions(captions, 0.5, seed=0)
    np.testing.assert_array_equal(captions, CAPTIONS)


@pytest.mark.parametrize(
    ("captions", "share", "error", "argument"),
    [
        (np.zeros(4), 0.5, TypeError, "captions"),
        (np.zeros((2, 2), int), 0.5, ValueError, "captions"),
        (np.zeros(4, int), 1.1, ValueError, "share"),
        (np.zeros(4, int), 0.25, ValueError, "share"),
    ],
)
def test_wrong_arguments_are_named(captions, share, error, argument):
    with pytest.raises(error, match=f"argument '{argument}'"):
        wrong_captions(captions, share, seed=0)
