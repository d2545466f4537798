"""Numbers that are given as arguments: refused in words that say which, what for and what came."""

from __future__ import annotations

import operator
from numbers import Real


def require_integer(name: str, value: object, low: int, high: int, wanted: str) -> int:
    """``value`` as an int in ``[low, high)``, which ``wanted`` says in words.

    Raises:
        TypeError: no integer; 2.0 is none.
        ValueError: out of range.
    """
    if not isinstance(value, int):
        value = _as_int(name, value, wanted)
    if not low <= value < high:
        raise ValueError(f"{name} must be {wanted}, got {value}")
    return value


def require_count(name: str, value: object, ratio_name: str) -> None:
    """Raises as :func:`require_integer` unless ``value >= 0``; a share belongs in the other one."""
    require_integer(name, value, 0, 2**63, f">= 0 ({ratio_name} takes a share)")


def require_share(name: str, value: object) -> None:
    """Raises ValueError unless ``value`` lies in [0, 1], TypeError if it is no real number."""
    if not isinstance(value, (float, int, Real)):
        raise TypeError(f"{name} must be a number in [0, 1], got {value!r}")
    if not 0 <= float(value) <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")


def require_rows(sequence_fraction: float | None, sequence_probability: float | None) -> None:
    """Raises ValueError or TypeError where both are given, or one that is no share."""
    if sequence_fraction is not None:
        if sequence_probability is not None:
            raise ValueError(
                "at most one of sequence_fraction and sequence_probability may be given, got "
                f"sequence_fraction={sequence_fraction}, "
                f"sequence_probability={sequence_probability}"
            )
        require_share("sequence_fraction", sequence_fraction)
    elif sequence_probability is not None:
        require_share("sequence_probability", sequence_probability)


def require_replacements(
    num_replacements: int | None, replace_ratio: float | None, replace_probability: float | None
) -> None:
    """Raises ValueError or TypeError unless exactly one is given, and in range."""
    if (num_replacements, replace_ratio, replace_probability).count(None) != 2:
        raise ValueError(
            "exactly one of num_replacements, replace_ratio and replace_probability must be given, "
            f"got num_replacements={num_replacements}, replace_ratio={replace_ratio}, "
            f"replace_probability={replace_probability}"
        )
    if num_replacements is not None:
        require_count("num_replacements", num_replacements, "replace_ratio")
    elif replace_ratio is not None:
        require_share("replace_ratio", replace_ratio)
    else:
        require_share("replace_probability", replace_probability)


def _as_int(name: str, value: object, wanted: str) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer {wanted}, got {value!r}") from None
