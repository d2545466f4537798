"""The command ``atjt report``: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from ..report import write_page
from ..runs.folder import Run
from .parser import CommandParser

__all__ = ["report_parser", "run_report"]


def report_parser(default_device: str) -> ArgumentParser:
    """Options: a run, and where the page goes."""
    parser = CommandParser(
        allow_abbrev=False,
        description="One HTML page on a finished run and its baseline in equal_weights: results, "
        "curves, weights, for whom they help, and what looks like noise.",
    )
    parser.add_argument("--run", type=str, required=True, help="run folder")
    parser.add_argument(
        "--out", type=str | None, default=None, help="file to write; RUN/report.html unless given"
    )
    parser.add_argument("--top", type=int, default=12, help="suspicious ones to show")
    parser.add_argument("--device", type=str, default=default_device)
    return parser


def run_report(options: Namespace, console: Console) -> int:
    """Writes the page and says where it is."""
    if options.top < 0:
        raise ValueError(f"top must be at least 0, got {options.top}")
    run = Run(Path(options.run))
    out = run.folder / "report.html" if options.out is None else Path(options.out)
    contents = write_page(run, out, top=options.top, device=options.device)
    if not contents.reproduced:
        console.print("the metrics measured here differ from metrics.json; the page says so")
    console.print(f"{out}: {out.stat().st_size / 1024:,.0f} KiB, open it in a browser")
    return 0
