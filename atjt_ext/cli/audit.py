"""Rank users and interactions by how much they look like noise, with reasons. ``audit FILE`` judges
whole sequences; ``audit --run`` judges the training data of a run as the run itself did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..runs.config import DataConfig
from .parser import (
    CommandParser,
    WrongCallError,
    checking_options,
    device_of,
    escapes_formulas,
    field_names,
    values_of,
)

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

    from ..report.audit import Audit

__all__ = ["USAGE", "add_options", "execute"]

USAGE = "%(prog)s (FILE | --run RUN) [options]"


def add_options(parser: CommandParser, arguments: Sequence[str]) -> None:
    text = "interactions or their folder, as for train"
    parser.add_argument("file", type=str | None, nargs="?", default=None, help=text)
    text = "folder of a run, instead of a file"
    parser.add_argument("--run", type=str | None, default=None, help=text)
    text = "folder to write; by default runs/audit, or RUN/audit for a run"
    parser.add_argument("--out", type=str | None, default=None, help=text)
    text = "number of users and interactions to show"
    parser.add_argument("--top", type=int, default=10, help=text)
    text = "format of the tables"
    parser.add_argument("--write", choices=["parquet", "csv"], default="parquet", help=text)
    parser.add_formulas()
    text = "seed for judging a file; null is 0"
    parser.add_argument("--seed", type=int | None, default=None, help=text)
    parser.add_device()
    parser.add_config(DataConfig)


def execute(options: Namespace, console: Console) -> int:
    """Judges, writes both tables and prints the most suspicious users and interactions."""
    data = _checked_data(options)
    escape = escapes_formulas(options, is_csv=options.write == "csv")
    from ..data.locks import exclusive
    from ..report.audit import audit_run, audit_sequences
    from ..runs.config import RunConfig
    from ..runs.data import load_sequences
    from ..runs.folder import Run

    usual = Path("runs") if options.run is None else Path(options.run)
    out = usual / "audit" if options.out is None else Path(options.out)
    if options.run is not None:
        Run(Path(options.run)).config()  # refuses a folder without a run before one is made in it
    with exclusive(out, "atjt audit"):
        if options.run is not None:
            audit = audit_run(Run(Path(options.run)), device=device_of(options))
        else:
            sequences = load_sequences(options.file, RunConfig(data=data))
            audit = audit_sequences(sequences, seed=options.seed or 0)
        paths = audit.write(out, kind=options.write, escape_formulas=escape)
    _show(audit, options.top, console)
    console.print(f"everything is in {' and '.join(map(str, paths))}")
    return 0


def _checked_data(options: Namespace) -> DataConfig:
    with checking_options():
        data = DataConfig(**values_of(options, DataConfig))
    if (options.file is None) == (options.run is None):
        given = "neither" if options.file is None else "both"
        raise WrongCallError(f"audit needs either a file or --run, got {given}")
    if data.weight_column:
        raise WrongCallError("audit judges by co-occurrence, so weight_column must not be given")
    if options.top < 0:
        raise WrongCallError(f"top must be at least 0, got {options.top}")
    usual = DataConfig()
    changed = [name for name in field_names(data) if getattr(data, name) != getattr(usual, name)]
    if options.seed is not None:
        changed.append("seed")
    if options.run is not None and changed:
        raise WrongCallError(
            f"--run takes the data and the judge of the run, so {', '.join(changed)} must not be "
            "given"
        )
    return data


def _show(audit: Audit, top: int, console: Console) -> None:
    from .tables import calibration_table, noisy_users_table, suspicions_table

    if top:
        console.print(noisy_users_table(audit.users().head(top).to_dicts()))
        console.print(suspicions_table(audit.most_suspicious(top)))
    console.print(f"judged by {audit.judge}")
    console.print(audit.summary())
    console.print(audit.typical())
    if (truth := audit.truth_summary()) is not None:
        console.print(calibration_table(audit.calibration()))
        console.print(truth)
