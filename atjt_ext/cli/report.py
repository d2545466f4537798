"""Write one HTML page about a finished run and its baseline with equal weights: results, training
curves, weights, gains by group of users, and the most suspicious interactions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .parser import CommandParser, WrongCallError, device_of

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

__all__ = ["add_options", "execute"]


def add_options(parser: CommandParser, arguments: Sequence[str]) -> None:
    parser.add_run()
    text = "file to write; by default RUN/report.html"
    parser.add_argument("--out", type=str | None, default=None, help=text)
    text = "number of suspicious users and interactions to show"
    parser.add_argument("--top", type=int, default=12, help=text)
    parser.add_device()


def execute(options: Namespace, console: Console) -> int:
    """Writes the page and prints its path."""
    if options.top < 0:
        raise WrongCallError(f"top must be at least 0, got {options.top}")
    from ..report import write_page
    from ..runs.folder import Run

    run = Run(Path(options.run))
    out = run.folder / "report.html" if options.out is None else Path(options.out)
    contents = write_page(run, out, top=options.top, device=device_of(options))
    if not contents.reproduced:
        console.print("the metrics measured here differ from metrics.json; the page says so")
    console.print(f"{out}: {out.stat().st_size / 1024:,.0f} KiB, open it in a browser")
    return 0
