"""The command ``atjt train``: a run, and beside it one with equal weights."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from jsonargparse import ActionYesNo, Namespace
from rich.console import Console

from ..data import Interactions
from ..data.errors import shown
from ..models.registry import MODELS
from ..runs.config import DataConfig, RunConfig
from ..runs.data import load_sequences
from ..runs.evaluate import compare_runs
from ..runs.folder import Run
from ..runs.train import train_run
from ..training.config import JointTrainerConfig
from ..training.recipes import RECIPES
from .parser import CommandParser, list_options
from .tables import comparison_table

__all__ = ["run_train", "train_parser"]


def train_parser(arguments: Sequence[str], default_device: str) -> CommandParser:
    """Options; those of the recipe and the model that ``arguments`` name, with their defaults."""
    parser = CommandParser(allow_abbrev=False, description="Train on a file of interactions.")
    parser.add_argument(
        "file",
        type=str,
        help="interactions or their folder: MovieLens, Amazon, Yelp, RecBole, CSV, ...",
    )
    parser.add_argument("--out", type=str, default="runs/latest", help="run folder to write")
    parser.add_argument("--recipe", choices=list(RECIPES), default="default")
    parser.add_argument(
        "--model",
        choices=list(MODELS),
        default="sasrec",
        help="the recommender; see its own options with --model NAME --help",
    )
    parser.add_argument(
        "--baseline",
        action=ActionYesNo(no_prefix="no_"),
        default=True,
        help="also train with all weights one on the same random numbers, to compare",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument(
        "--tensorboard", action="store_true", help="training curves in OUT/tensorboard"
    )
    parser.add_argument("--device", type=str, default=default_device, help="cpu, cuda, cuda:1")
    # An unknown recipe or model is left to the choices, whose message names them.
    recipe = _named_in(arguments, "--recipe", RECIPES, "default")
    model = _named_in(arguments, "--model", MODELS, "sasrec")
    parts = DataConfig, MODELS[model], JointTrainerConfig
    parser.lists = list_options(*parts)
    for part in parts:
        parser.add_class_arguments(part)
    config = RunConfig.from_recipe(recipe, model=model)
    for chosen in (config.data, config.model, config.trainer):
        parser.set_defaults({one.name: getattr(chosen, one.name) for one in fields(chosen)})
    return parser


def _named_in(arguments: Sequence[str], option: str, known: Collection[str], default: str) -> str:
    """What the command line names as recipe or model, if it is known: they decide which options
    there are and their defaults."""
    named = default
    for index, argument in enumerate(arguments):
        if argument == option and index + 1 < len(arguments):
            named = arguments[index + 1]
        if argument.startswith(f"{option}="):
            named = argument.removeprefix(f"{option}=")
    return named if named in known else default


def _run_config(options: Namespace) -> RunConfig:
    """The recipe, with the options that differ from it."""
    recipe = RunConfig.from_recipe(options.recipe, model=options.model)
    changes = {
        field.name: options[field.name]
        for part in (recipe.data, recipe.model, recipe.trainer)
        for field in fields(part)
        if options[field.name] != getattr(part, field.name)
    }
    config = RunConfig.from_recipe(options.recipe, model=options.model, **changes)
    if config.data.weight_column and config.trainer.weighting != "given":
        raise ValueError(
            "weights of weight_column are used by weighting=given alone, "
            f"got weighting={config.trainer.weighting}"
        )
    return config


def _columns_read(interactions: Interactions) -> str:
    """Which named column was taken for what, so that a wrong guess is seen."""
    read = [f"{role} is {shown(column)}" for role, column in interactions.columns.items()]
    if "time" not in interactions.columns:
        read.append("no times: rows are taken in the order of the file")
    return ", ".join(read)


def run_train(options: Namespace, console: Console) -> int:
    """Trains and measures, the baseline beside it; 2 where wrongly called."""
    try:
        config = _run_config(options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    run = Run(Path(options.out))
    run.require_free(resume=options.resume)

    def on_read(interactions: Interactions) -> None:
        if interactions.columns:
            console.print(f"{options.file}: {_columns_read(interactions)}")

    sequences = load_sequences(options.file, config, on_read=on_read)
    console.print(
        f"{options.file}: {sequences.num_users:,} users, {sequences.num_items:,} items, "
        f"{sequences.num_interactions:,} interactions"
    )
    arguments: dict[str, Any] = {
        "resume": options.resume,
        "device": options.device,
        "tensorboard": options.tensorboard,
    }
    runs = {config.recipe: train_run(run.folder, sequences, config, **arguments)}
    if options.baseline and config.trainer.weighting != "equal":
        runs["equal weights"] = train_run(
            run.baseline.folder,
            sequences,
            config.with_equal_weights(),
            title="equal weights",
            **arguments,
        )
    console.print(comparison_table(runs))
    if len(runs) == 2:
        console.print(compare_runs(run, run.baseline, config.trainer.valid_metric))
    console.print(f"everything is in {run.folder}")
    return 0
