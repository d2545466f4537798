"""Values of options, as typed on the command line or written in a file of options."""

from __future__ import annotations

import json
import re
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from ..data.errors import shown

__all__ = ["kind_of", "list_of", "says_what_it_is", "text_or_texts", "value_in_file", "wanted"]

_NAMES = {NoneType: "null", int: "an integer", float: "a number", bool: "true or false"}
# YAML reads a value with other characters as a comment, an alias, a tag, a mapping or nothing.
_PLAIN = re.compile(r"[\w.,+\-()\[\]\s]+")


def kind_of(hint: Any) -> Literal["text", "texts", "list", "plain"]:
    """What an option of type ``hint`` holds: a text, several, a list of other values, or one."""
    kinds = [part for part in _parts(hint) if part is not NoneType]
    if kinds == [str]:
        return "text"
    if any(get_origin(kind) is tuple for kind in kinds):
        return "texts" if str in get_args(kinds[0]) else "list"
    return "plain"


def wanted(hint: Any) -> str:
    """The values of type ``hint`` in words, e.g. ``an integer or null``."""

    def name(part: Any) -> str:
        if get_origin(part) is Literal:
            return f"one of {', '.join(map(repr, get_args(part)))}"
        return "[a,b,...]" if get_origin(part) is tuple else _NAMES.get(part, str(part))

    return " or ".join(map(name, _parts(hint)))


def says_what_it_is(value: str) -> bool:
    """Whether YAML reads ``value`` as a person does: a number, a word or a list of them."""
    return _PLAIN.fullmatch(value) is not None


def list_of(value: str) -> str:
    """``a,b`` as ``[a,b]``; a value in brackets, and ``null``, as it is."""
    return value if value.startswith(("[", "(")) or value == "null" else f"[{value}]"


def text_or_texts(value: str, hint: Any) -> str | tuple[str, ...]:
    """The value of an option of text: ``value`` itself, or the elements of a list of texts.

    A list is ``a,b`` or ``[a,b]``, without blanks around its elements. As a JSON list,
    ``["a,b", "c"]``, its elements may hold commas, brackets and blanks.

    Raises:
        ValueError: an element is empty.
    """
    if kind_of(hint) == "text":
        return value
    try:
        elements = json.loads(value)
    except (ValueError, RecursionError):
        elements = None
    if isinstance(elements, list) and all(isinstance(one, str) for one in elements):
        return tuple(elements)
    inside = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if not inside.strip():
        return ()
    texts = tuple(one.strip() for one in inside.split(","))
    if "" in texts:
        raise ValueError(f"must be a,b,... without empty elements, got {value}")
    return texts


def value_in_file(value: Any, hint: Any) -> Any:
    """The value that YAML gave for an option of type ``hint``: text, a tuple of texts or None for
    an option of text, otherwise the value as it is typed on the command line.

    Raises:
        ValueError: another type.
    """
    kind = kind_of(hint)
    if kind == "text":
        if isinstance(value, str) or (value is None and NoneType in _parts(hint)):
            return value
        raise ValueError(f"must be text, in quotes, got {_described(value)}")
    if kind == "texts":
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise ValueError(f"must be a list of texts, in quotes, got {_described(value)}")
    if isinstance(value, list):
        return f"[{','.join(map(_as_typed, value))}]"
    return _as_typed(value)


def _as_typed(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError(f"must be a number, a word or a list of them, got {_described(value)}")


def _described(value: Any) -> str:
    """A short description; a list or a mapping can be very long."""
    if isinstance(value, dict):
        return "a mapping"
    if not isinstance(value, list):
        return shown(value)
    strange = [one for one in value if not isinstance(one, str)]
    return f"a list with {_described(strange[0])}" if strange else "a list"


def _parts(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the type itself."""
    if get_origin(hint) in (None, tuple, Literal):
        return (hint,)
    return get_args(hint)
