"""Command line: ``python -m atjt_ext`` or ``atjt``. Options are the config dataclasses' fields."""

from __future__ import annotations

import json
import os
import platform
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from rich.console import Console

from .. import __version__, build_info
from ..data import Sequences
from ..runs.build import load_trainer
from ..runs.data import load_sequences, rankable_split
from ..runs.evaluate import evaluate_run
from ..runs.folder import Run
from ..training.checkpoint import CheckpointError
from ..training.trainer import TrainingDivergedError
from .audit import audit_parser, run_audit
from .demo import run_demo
from .experiment import experiment_parser, run_experiment
from .export import export_parser, run_export
from .parser import CommandParser
from .plain_help import PlainHelp
from .recommend import recommend_parser, run_recommend
from .report import report_parser, run_report
from .tables import metrics_table
from .train import run_train, train_parser

__all__ = ["build_parser", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status (0 done, 1 failed, 2 wrongly called)."""
    # Large tensors come and go every step; huge pages save most of their page faults.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = build_parser(arguments)
    options = parser.parse_args(arguments)
    command = options.subcommand
    if command is None:
        parser.print_help()
        return 2
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _COMMANDS[command](options[command], _console())
    except (ValueError, ImportError, CheckpointError, TrainingDivergedError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted{_GOES_ON.get(command, '')}", file=sys.stderr)
        return 130


def _console() -> Console:
    """Prints ids and paths as they are: brackets are no markup and ``:name:`` is no emoji."""
    return Console(soft_wrap=True, markup=False, emoji=False, highlight=False)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """What it says, without the source line: that is for programmers."""
    print(f"warning: {message}", file=sys.stderr)


# ---- options ------------------------------------------------------------------------------------


def build_parser(arguments: Sequence[str] = ()) -> ArgumentParser:
    """The parser of all commands; ``--recipe`` and ``--model`` among ``arguments`` decide what
    ``train`` offers."""
    parser = CommandParser(
        prog="atjt",
        allow_abbrev=False,
        formatter_class=PlainHelp,
        description="Train recommenders on noisy sequences, weighed by their noise.",
    )
    parser.add_argument("--version", action="version", version=f"atjt_ext {__version__}")
    commands = parser.add_subcommands(required=False)
    commands.add_subcommand("demo", _demo_parser(), help="simulated data with planted noise")
    train = train_parser(arguments, _default_device())
    commands.add_subcommand("train", train, help="train on a file of interactions")
    experiment = experiment_parser(_default_device())
    parser.lists = train.lists | experiment.lists
    commands.add_subcommand("experiment", experiment, help="does weighing help? with controls")
    commands.add_subcommand("evaluate", _evaluate_parser(), help="measure a trained run")
    recommend = recommend_parser(_default_device())
    commands.add_subcommand("recommend", recommend, help="best items for users of a run")
    commands.add_subcommand("export", export_parser(), help="a run's model for other programs")
    audit, report = audit_parser(_default_device()), report_parser(_default_device())
    commands.add_subcommand("audit", audit, help="which interactions look like noise, and why")
    commands.add_subcommand("report", report, help="a page on a run, for the browser")
    commands.add_subcommand(
        "info", CommandParser(allow_abbrev=False), help="what was built and what is usable"
    )
    return parser


def _demo_parser() -> ArgumentParser:
    parser = CommandParser(
        allow_abbrev=False, description="Plant noise in simulated data, train, compare, plot."
    )
    parser.add_argument("--out", type=str, default="runs/demo", help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num_users", type=int, default=3000)
    parser.add_argument("--num_items", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    return parser


def _evaluate_parser() -> ArgumentParser:
    parser = CommandParser(allow_abbrev=False, description="Measure a trained run again.")
    parser.add_argument("--run", type=str, required=True, help="run folder")
    parser.add_argument(
        "--file", type=str | None, default=None, help="other data of the same users and catalogue"
    )
    parser.add_argument("--device", type=str, default=_default_device())
    return parser


def _default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


# ---- commands -----------------------------------------------------------------------------------


def _demo(options: Namespace, console: Console) -> int:
    run_demo(
        Path(options.out),
        console,
        seed=options.seed,
        num_users=options.num_users,
        num_items=options.num_items,
        epochs=options.epochs,
        resume=options.resume,
    )
    return 0


def _evaluate(options: Namespace, console: Console) -> int:
    run = Run(Path(options.run))
    if options.file is None:
        sequences = run.sequences()
        split = rankable_split(sequences)
        trained_on: Sequences | None = split.train
    else:
        config = run.config()
        # The features are what the model learned on, wherever their file is now.
        data = replace(config.data, item_file=None, item_columns=())
        if not config.trainer.changes_reading:
            data = replace(data, weight_column=None)
        sequences = run.with_its_codes(load_sequences(options.file, replace(config, data=data)))
        split, trained_on = rankable_split(sequences), None
    trainer = load_trainer(run, sequences, device=options.device, train=trained_on)
    console.print(metrics_table(evaluate_run(trainer, split)))
    return 0


def _info(options: Namespace, console: Console) -> int:
    info = {
        **build_info(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "torch_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
    console.print_json(json.dumps(info))
    return 0


_GOES_ON = {
    "demo": "; --resume goes on from the last whole epoch",
    "train": "; --resume goes on from the last whole epoch",
    "experiment": "; the same command goes on after the last whole cell",
}
_COMMANDS = {
    "demo": _demo,
    "train": run_train,
    "experiment": run_experiment,
    "evaluate": _evaluate,
    "recommend": run_recommend,
    "export": run_export,
    "audit": run_audit,
    "report": run_report,
    "info": _info,
}
