"""The command ``atjt audit``: of a file of interactions, or of what a run was trained on."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from ..report.audit import Audit, audit_run, audit_sequences
from ..runs.config import DataConfig, RunConfig
from ..runs.data import load_sequences
from ..runs.folder import Run
from .parser import CommandParser
from .tables import calibration_table, noisy_users_table, suspicions_table

__all__ = ["audit_parser", "run_audit"]


def audit_parser(default_device: str) -> ArgumentParser:
    """Options: a file with those of ``train`` that say how to read it, or a run."""
    parser = CommandParser(
        allow_abbrev=False,
        description="Which users and interactions look like noise, and why. Of a file whole "
        "sequences are judged, of a run what it was trained on.",
    )
    parser.add_argument("file", type=str | None, nargs="?", default=None, help="as of train")
    parser.add_argument("--run", type=str | None, default=None, help="run folder instead of a file")
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="folder to write; None is runs/audit, and audit in the folder of a run",
    )
    parser.add_argument("--top", type=int, default=10, help="how many to show")
    parser.add_argument(
        "--write", choices=["parquet", "csv"], default="parquet", help="format of the tables"
    )
    parser.add_argument("--seed", type=int, default=None, help="of a file's judge; 0 unless given")
    parser.add_argument("--device", type=str, default=default_device, help="of a run's models")
    parser.add_class_arguments(DataConfig)
    return parser


def run_audit(options: Namespace, console: Console) -> int:
    """Judges, writes both tables, shows the most suspicious; 2 where wrongly called."""
    try:
        data = DataConfig(**{one.name: options[one.name] for one in fields(DataConfig)})
        _require_one_source(options, data)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.run is not None:
        audit = audit_run(Run(Path(options.run)), device=options.device)
        out = Path(options.run) / "audit"
    else:
        out = Path("runs/audit")
        audit = audit_sequences(
            load_sequences(options.file, RunConfig(data=data)), seed=options.seed or 0
        )
    paths = audit.write(out if options.out is None else options.out, kind=options.write)
    _show(audit, options.top, console)
    console.print(f"everything is in {' and '.join(map(str, paths))}")
    return 0


def _require_one_source(options: Namespace, data: DataConfig) -> None:
    if (options.file is None) == (options.run is None):
        given = "neither" if options.file is None else "both"
        raise ValueError(f"audit needs a file or --run, one of them, got {given}")
    if data.weight_column:
        raise ValueError("audit judges by co-occurrence, so weight_column must not be given")
    if options.top < 0:
        raise ValueError(f"top must be at least 0, got {options.top}")
    changed = [one.name for one in fields(data) if getattr(data, one.name) != one.default]
    if options.seed is not None:
        changed.append("seed")
    if options.run is not None and changed:
        raise ValueError(
            f"--run takes its data and its judge as they are, so {', '.join(changed)} must not be "
            "given"
        )


def _show(audit: Audit, top: int, console: Console) -> None:
    if top:
        console.print(noisy_users_table(audit.users().head(top).to_dicts()))
        console.print(suspicions_table(audit.most_suspicious(top)))
    console.print(f"judged by {audit.judge}")
    console.print(audit.summary())
    console.print(audit.typical())
    if (truth := audit.truth_summary()) is not None:
        console.print(calibration_table(audit.calibration()))
        console.print(truth)
