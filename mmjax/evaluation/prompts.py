"""Prompt templates: a name in a sentence, and one vector from many sentences.

Source: Radford et al. (2021), section 3.1.4, "Prompt engineering and ensembling".
"""

from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np

from mmjax.checks import require, require_type

BLANK = "{}"


def fill_templates(templates: Iterable[str], names: Iterable[str]) -> list[str]:
    """R templates and K names → R·K texts: all names in the first template, then in the second, …

    A template holds the blank "{}" once: "a photo of a {}.". A name is put in as it is, braces too.
    Raises ValueError for none of either or a template without one blank, TypeError for what is not
    a list of strings.
    """
    templates = _strings(templates, "templates")
    names = _strings(names, "names")
    for template in templates:
        once = template.count(BLANK) == 1
        expected, got = f"texts with one {BLANK!r}", repr(template)
        require(once, "fill_templates", "templates", expected=expected, got=got)
    return [template.replace(BLANK, name) for template in templates for name in names]


def ensemble_templates(text_embeddings: np.ndarray) -> np.ndarray:
    """The vectors of K names in R templates become one unit vector a name: [R, K, E] → [K, E].

        v_k = m_k / ‖m_k‖,   m_k = 1/R Σ_r w_rk / ‖w_rk‖

    Each text counts alike, however long its vector w_rk. The texts of `fill_templates`, encoded,
    are `reshape(R, K, E)` of this; the result goes into `zero_shot_scores`.

    Computed and returned in the dtype of the input, at least float32.
    Raises TypeError unless the numbers are floating-point, ValueError for another rank, an empty
    axis, numbers that are not finite, a zero vector, or a name whose vectors cancel.
    """
    where, argument = "ensemble_templates", "text_embeddings"
    texts = np.asarray(text_embeddings)
    is_float = jnp.issubdtype(texts.dtype, jnp.floating)
    require_type(is_float, where, argument, expected="floating-point [R, K, E]", got=texts)
    fits = texts.ndim == 3 and 0 not in texts.shape
    require(fits, where, argument, expected="[R, K, E], none of them 0", got=texts)
    texts = texts.astype(np.result_type(texts.dtype, np.float32))
    require(bool(np.isfinite(texts).all()), where, argument, expected="finite numbers", got=texts)
    lengths = np.linalg.norm(texts, axis=2, keepdims=True)
    zero = np.argwhere(lengths[..., 0] == 0).tolist()
    got = f"a zero vector at [template, name] = {zero[0]}" if zero else ""
    require(not zero, where, argument, expected="vectors with a direction", got=got)
    means = (texts / lengths).mean(axis=0)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    lost = np.flatnonzero(lengths < 10 * np.finfo(means.dtype).eps)
    got = f"vectors of name {lost[0]} that cancel" if len(lost) else ""
    require(not len(lost), where, argument, expected="a mean with a direction", got=got)
    return means / lengths


def _strings(texts: Iterable[str], argument: str) -> list[str]:
    expected, where = "a list of strings", "fill_templates"
    require_type(not isinstance(texts, str), where, argument, expected=expected, got=texts)
    texts = list(texts)
    is_text = all(isinstance(text, str) for text in texts)
    require_type(is_text, where, argument, expected=expected, got=texts)
    require(len(texts) > 0, where, argument, expected="at least one", got=texts)
    return texts
