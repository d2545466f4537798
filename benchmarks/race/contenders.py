"""Who takes part in the race, and with which options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OURS, RECTOOLS, REPLAY = "atjt_ext", "rectools", "replay"
TITLES = {OURS: "atjt_ext", RECTOOLS: "RecTools", REPLAY: "RePlay"}


@dataclass(frozen=True, slots=True)
class Contender:
    """One model with its options; the race sets width, length, blocks, heads and batch size.

    Attributes:
        name: as it stands in tables, unique in a race.
        library: ``atjt_ext``, ``rectools`` or ``replay``.
        model: further options of the library's SASRec, e.g. ``{"dropout": 0.2}``.
        training: further options of ``JointTrainerConfig``; for ``atjt_ext`` only.
        windows: a host library trains on the windows that ``atjt_ext`` trains on, one user each,
            so that every interaction is a target. Otherwise it gets whole histories, of which it
            reads the last ``length + 1`` items.

    Raises:
        ValueError: an unknown library, or an option that has no effect on it.
    """

    name: str
    library: str
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    windows: bool = False

    def __post_init__(self) -> None:
        if self.library not in TITLES:
            raise ValueError(f"library must be one of {', '.join(TITLES)}, got {self.library!r}")
        if self.library == OURS and self.windows:
            raise ValueError(f"{self.name}: windows have no effect: {OURS} always trains on them")
        if self.library != OURS and self.training:
            raise ValueError(f"{self.name}: training options are for {OURS}, got {self.training}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


DEFAULT = (
    Contender("atjt_ext", OURS),
    Contender("atjt_ext, dropout 0.2", OURS, {"dropout": 0.2}),
    Contender("atjt_ext, dropout 0.5", OURS, {"dropout": 0.5}),
    Contender("RecTools", RECTOOLS),
    Contender("RecTools, windows", RECTOOLS, windows=True),
    Contender("RecTools, windows, dropout 0.5", RECTOOLS, {"dropout_rate": 0.5}, windows=True),
    Contender("RePlay", REPLAY),
    Contender("RePlay, windows", REPLAY, windows=True),
    Contender("RePlay, windows, dropout 0.2", REPLAY, {"dropout": 0.2}, windows=True),
)


def chosen(file: Path | None, names: Sequence[str] | None) -> tuple[Contender, ...]:
    """The contenders in a file, or the default ones; with ``names``, only these.

    Raises:
        ValueError: there is no contender of that name, or as :func:`read_contenders`.
    """
    contenders = DEFAULT if file is None else read_contenders(file)
    if names is None:
        return contenders
    by_name = {one.name: one for one in contenders}
    if strangers := [name for name in names if name not in by_name]:
        raise ValueError(f"no contender {strangers[0]!r}; there are: {'; '.join(by_name)}")
    return tuple(by_name[name] for name in dict.fromkeys(names))


def read_contenders(file: Path) -> tuple[Contender, ...]:
    """The contenders in a JSON file, a list of objects with the fields of :class:`Contender`.

    Raises:
        ValueError: the file holds something else, or two contenders share a name.
    """
    entries = json.loads(file.read_text())
    if not isinstance(entries, list) or not all(isinstance(one, Mapping) for one in entries):
        raise ValueError(f"{file}: a list of objects wanted")
    try:
        contenders = tuple(Contender(**one) for one in entries)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from None
    names = [one.name for one in contenders]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{file}: names must be there and differ, got {', '.join(names)}")
    return contenders
