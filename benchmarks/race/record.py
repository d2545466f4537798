"""The record of a race: a file of JSON lines that a later run continues."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .contenders import Contender
from .course import Death, Result
from .curves import Point

# A race that is continued elsewhere, or with other settings, would compare what cannot be compared.
_MUST_AGREE = ("data", "sizes", "budget", "turn", "wheel", "processor")


class Record:
    """Heading, results and deaths in ``path``; each is written as soon as it is there.

    Args:
        path: created if it is not there.
        heading: settings and machine of this run.

    Raises:
        ValueError: the file is from a race with other settings, or holds something else.
    """

    def __init__(self, path: Path, heading: dict[str, Any]) -> None:
        self.path = path
        self.results: list[Result] = []
        self.deaths: list[Death] = []
        heading = json.loads(json.dumps(heading))  # as it is read back
        lines = _whole_lines(path)
        if not lines:
            self.heading = heading
            self._append("heading", heading)
            return
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                if "result" in entry:
                    self.results.append(_result(entry["result"]))
                elif number == 1:
                    self.heading = entry["heading"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: {error!r}") from None
        for key in _MUST_AGREE:
            if self.heading[key] != heading[key]:
                raise ValueError(
                    f"{path} is from a race with {key} = {self.heading[key]}, now it is "
                    f"{heading[key]}: give another --out"
                )

    def missing(self, contenders: Sequence[Contender], seed: int) -> list[Contender]:
        """The contenders that have no result with ``seed``.

        Raises:
            ValueError: there is a result under the name of a contender with other options.
        """
        done = {one.contender.name: one.contender for one in self.results if one.seed == seed}
        for contender in contenders:
            if done.get(contender.name, contender) != contender:
                raise ValueError(
                    f"{self.path} has {contender.name!r} with other options: "
                    f"{done[contender.name].as_dict()}, now {contender.as_dict()}"
                )
        return [one for one in contenders if one.name not in done]

    def add(self, results: Sequence[Result], deaths: Sequence[Death]) -> None:
        """Writes results, and deaths, which a later run tries again."""
        for result in results:
            self._append("result", asdict(result))
        for death in deaths:
            self._append("death", asdict(death))
        self.results += results
        self.deaths += deaths

    def _append(self, kind: str, value: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({kind: value}) + "\n")


def _whole_lines(path: Path) -> list[str]:
    """The lines of the file; cuts off a last one that a kill left unfinished."""
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return whole.splitlines()


def _result(values: dict[str, Any]) -> Result:
    return Result(
        **{
            **values,
            "contender": Contender(**values["contender"]),
            "curve": [Point(**point) for point in values["curve"]],
        }
    )
