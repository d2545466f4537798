"""Lines that are Python literals, as Amazon's 2014 files are: read as JSON where that is the same.

``ast.literal_eval`` takes 30 microseconds a line and more. Almost every line differs from JSON only
in its quotes, in the escapes inside of them and in ``True``, ``False`` and ``None``; such text is
rewritten, many lines at once, and parsed as JSON. What is left goes to ``ast.literal_eval``.
Nothing is ever evaluated.
"""

from __future__ import annotations

import ast
import json
import re
import warnings

_STRING = re.compile(r"""('[^'\\\n]*(?:\\[^\n][^'\\\n]*)*'|"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*")""")
# Between strings. Too much passes ("1True", "[1 2]", "e"), but only what JSON refuses as well, or
# reads as Python does. Unrolled, so that nothing is ever tried twice.
_BETWEEN = re.compile(
    r"[\[\]{}:, \t\r\n0-9.eE+-]*(?:(?:True|False|None)[\[\]{}:, \t\r\n0-9.eE+-]*)*"
)
_WORD = re.compile("True|False|None")
_JSON_WORDS = {"True": "true", "False": "false", "None": "null"}
_ESCAPE = re.compile(r"""\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))|\"""")
_SAME_ESCAPES = frozenset('"\\bfnrt')


class _NotAsInJson(Exception):
    """An escape with no counterpart in JSON; never leaves this module."""


def literals_to_json(text: str) -> str | None:
    """Lines of Python literals as lines of JSON.

    Returns:
        Text of as many lines. Where it parses as JSON it holds what ``ast.literal_eval`` would
        read; ``None``, or what JSON refuses, tells nothing about ``text``.
    """
    parts = _STRING.split(text)
    # Few of them differ: ", " and ": " mostly.
    between: dict[str, str] = dict.fromkeys(parts[::2], "")
    for part in between:
        if not _BETWEEN.fullmatch(part):
            return None
        between[part] = _WORD.sub(lambda word: _JSON_WORDS[word[0]], part)
    parts[::2] = [between[part] for part in parts[::2]]
    try:
        parts[1::2] = [
            token if token[0] == '"' and "\\" not in token else _json_string(token)
            for token in parts[1::2]
        ]
    except _NotAsInJson:
        return None
    return "".join(parts)


def literal_value(line: str) -> object:
    """What ``ast.literal_eval`` reads from one line.

    Raises:
        ValueError: if it is no Python literal.
    """
    line = line.strip("\r\n")
    translated = literals_to_json(line)
    if translated is not None:
        try:
            return json.loads(translated)
        except (ValueError, RecursionError):
            pass  # more than JSON can say, or broken: Python's own parser decides
    try:
        with warnings.catch_warnings():
            # "\/" and the like mean what they look like, with a warning about the source code.
            warnings.simplefilter("ignore")
            return ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(error.msg if isinstance(error, SyntaxError) else str(error)) from error


def _json_string(token: str) -> str:
    inner = token[1:-1]
    if "\\" in inner or '"' in inner:
        inner = _ESCAPE.sub(_json_escape, inner)
    return f'"{inner}"'


def _json_escape(match: re.Match[str]) -> str:
    if match[0] == '"':
        return '\\"'
    byte, unit, other = match.groups()
    if byte:
        return f"\\u00{byte}"
    # JSON joins two surrogates to one character, Python keeps them.
    if unit and not 0xD800 <= int(unit, 16) <= 0xDFFF:
        return match[0]
    if other in _SAME_ESCAPES:
        return match[0]
    if other == "'":
        return "'"
    raise _NotAsInJson
