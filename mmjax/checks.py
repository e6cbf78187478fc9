"""Argument checks: one clear exception that names the argument, what came and what was expected."""

from typing import Any, NoReturn


def describe(value: Any) -> str:
    """Says what an argument is: `float32[2, 3]` for an array, the repr for anything else."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    return repr(value)


def _message(where: str, argument: str, expected: str, got: Any) -> str:
    shown = got if isinstance(got, str) else describe(got)
    return f"{where}: argument '{argument}': expected {expected}, got {shown}"


def require(condition: bool, where: str, argument: str, *, expected: str, got: Any) -> None:
    """Raises ValueError unless `condition` holds (a wrong shape, length or value)."""
    if not condition:
        raise ValueError(_message(where, argument, expected, got))


def require_type(condition: bool, where: str, argument: str, *, expected: str, got: Any) -> None:
    """Raises TypeError unless `condition` holds (a wrong type or dtype)."""
    if not condition:
        raise TypeError(_message(where, argument, expected, got))


def require_one_of(value: Any, options: Any, where: str, argument: str) -> None:
    """Raises ValueError unless `value` is one of the named `options`."""
    if value not in options:
        _unknown(value, options, where, argument)


def _unknown(value: Any, options: Any, where: str, argument: str) -> NoReturn:
    expected = "one of " + ", ".join(repr(option) for option in options)
    raise ValueError(_message(where, argument, expected, repr(value)))
