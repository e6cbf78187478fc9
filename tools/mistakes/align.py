"""Mistakes of the convolutional tower and of wrong captions (section 3.5)."""

from tools.mistakes.mistake import Mistake

ALIGN_MISTAKES = [
    Mistake(
        "a depthwise backward pass that does not turn the window round",
        "mmjax/models/convolution.py",
        "_depthwise(1, spread, kernel[::-1, ::-1])",
        "_depthwise(1, spread, kernel)",
        ("tests/models/test_convolution.py",),
    ),
    Mistake(
        "squeeze-and-excitation that reads the maximum instead of the mean",
        "mmjax/models/convolution.py",
        "linear(x.mean(axis=(1, 2)), *squeeze)",
        "linear(x.max(axis=(1, 2)), *squeeze)",
        ("tests/models/test_convolution.py::test_squeeze_and_excitation_is_the_formula",),
    ),
    Mistake(
        "label smoothing shared by the wrong texts only",
        "mmjax/losses/contrastive.py",
        "label_smoothing * logits.mean(axis=1, where=kept)",
        "label_smoothing * (logits.sum(axis=1) - jnp.diagonal(logits)) / (len(logits) - 1)",
        ("tests/test_losses_of_others.py::test_smoothed_loss_of_align_in_transformers",),
    ),
    Mistake(
        "wrong captions drawn anew, so that some names become more frequent",
        "mmjax/data/noise.py",
        "captions[np.roll(chosen, 1)]",
        "captions[chosen[np.random.default_rng(seed).integers(0, max(count, 1), count)]]",
        ("tests/data/test_noise.py",),
    ),
]
