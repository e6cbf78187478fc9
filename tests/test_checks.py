"""The messages of argument checks: where, which argument, what was expected, what came."""

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.checks import describe, require, require_one_of, require_type
from mmjax.precision import wide_dtype


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.zeros((2, 3), np.float32), "float32[2, 3]"),
        (jnp.zeros((5, 7), jnp.bfloat16), "bfloat16[5, 7]"),
        (jnp.zeros((), jnp.int32), "int32[]"),
        (None, "None"),
        (3.5, "3.5"),
        ("words", "'words'"),
    ],
)
def test_describe(value, shown):
    assert describe(value) == shown


@pytest.mark.parametrize(("check", "error"), [(require, ValueError), (require_type, TypeError)])
def test_a_failed_check_names_place_argument_expected_and_got(check, error):
    check(True, "place", "width", expected="an even number", got=3)
    with pytest.raises(error) as caught:
        check(False, "place", "width", expected="an even number", got=3)
    assert str(caught.value) == "place: argument 'width': expected an even number, got 3"


def test_got_describes_arrays_and_repeats_strings():
    with pytest.raises(ValueError, match=r"got float32\[2, 3\]$"):
        require(False, "place", "x", expected="rank 3", got=np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="got 5 with those cached$"):
        require(False, "place", "x", expected="at most 4", got="5 with those cached")


def test_require_one_of_lists_the_options():
    require_one_of("plain", ("plain", "fast"), "place", "kind")
    with pytest.raises(ValueError) as caught:
        require_one_of("slow", ("plain", "fast"), "place", "kind")
    assert str(caught.value) == (
        "place: argument 'kind': expected one of 'plain', 'fast', got 'slow'"
    )


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("float16", "float32"),
        (jnp.bfloat16, "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
    ],
)
def test_sums_run_in_float32_or_better(narrow, wide):
    assert wide_dtype(narrow) == np.dtype(wide)
