"""Measure a trained run again, on its own data or on other data of the same users and items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .parser import CommandParser, device_of

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

__all__ = ["add_options", "execute"]


def add_options(parser: CommandParser, arguments: Sequence[str]) -> None:
    parser.add_run()
    text = "interactions of the same users and items; by default the data of the run"
    parser.add_argument("--file", type=str | None, default=None, help=text)
    parser.add_device()


def execute(options: Namespace, console: Console) -> int:
    """Ranks the test and validation targets and prints the metrics."""
    from ..data import leave_one_out
    from ..runs.build import load_models
    from ..runs.data import load_sequences
    from ..runs.evaluate import evaluate_run
    from ..runs.folder import Run
    from .tables import metrics_table

    run = Run(Path(options.run))
    if options.file is None:
        sequences = run.sequences()
    else:
        config = run.config()
        # The model learned from the features that the run holds, wherever their file is now.
        data = replace(config.data, item_file=None, item_columns=())
        if not config.trainer.changes_reading:
            data = replace(data, weight_column=None)
        sequences = run.with_its_codes(load_sequences(options.file, replace(config, data=data)))
    split = leave_one_out(sequences)
    train = split.train if options.file is None else None
    models = load_models(run, sequences, device=device_of(options), train=train)
    console.print(metrics_table(evaluate_run(models, split)))
    return 0
