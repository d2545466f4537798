"""Help of commands without the markup of the docstrings that it is made of."""

from __future__ import annotations

import re
from argparse import Action

from jsonargparse import DefaultHelpFormatter

__all__ = ["PlainHelp"]

_ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")


class PlainHelp(DefaultHelpFormatter):
    """The usual layout, with ```name``` and ``:func:`module.name``` as ``name``, None as null."""

    def start_section(self, heading: str | None) -> None:
        super().start_section(None if heading is None else _plain(heading))

    def add_text(self, text: str | None) -> None:
        super().add_text(None if text is None else _plain(text))

    def _expand_help(self, action: Action) -> str:
        return re.sub(r"\bNone\b", "null", _plain(super()._expand_help(action)))


def _plain(text: str) -> str:
    return _ROLE.sub(r"\1", text).replace("``", "")
