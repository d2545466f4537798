"""Train on a file of interactions, and once more with equal weights to compare."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from ..models.registry import MODELS
from ..recognition.noise_models.registry import NOISE_MODELS
from ..runs.config import DataConfig, RunConfig
from ..training.config import TRAINS_NOISE_MODELS, JointTrainerConfig
from ..training.processes import require_one_process
from ..training.recipes import RECIPES
from .parser import CommandParser, checking_options, device_of, field_names, values_of

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

    from ..data import Interactions, Sequences
    from ..runs.folder import Run

__all__ = ["LESS_MEMORY", "TO_GO_ON", "USAGE", "add_options", "execute", "train_and_compare"]

USAGE = "%(prog)s FILE [options]"
LESS_MEMORY = "a lower batch_size, max_length or embedding_dim needs less"
TO_GO_ON = "; --resume continues after the last whole epoch"


def add_options(parser: CommandParser, arguments: Sequence[str]) -> None:
    """The options of the recipe and the model that ``arguments`` name, with their defaults."""
    text = "interactions or their folder: MovieLens, Amazon, Yelp, RecBole, CSV, ..."
    parser.add_argument("file", type=str, help=text)
    parser.add_argument("--out", type=str, default="runs/latest", help="folder of the run")
    text = "named set of choices: how to weigh and how to train"
    parser.add_argument("--recipe", choices=list(RECIPES), default="default", help=text)
    text = "recommender; --model NAME --help lists its options"
    parser.add_argument("--model", choices=list(MODELS), default="sasrec", help=text)
    text = "also train with equal weights on the same random numbers, to compare"
    parser.add_switch("--baseline", text)
    parser.add_resume()
    text = "write training curves to OUT/tensorboard"
    parser.add_argument("--tensorboard", action="store_true", help=text)
    parser.add_device()
    # Unknown values are left to the parser, whose message lists the known ones.
    recipe = _named_in(arguments, "--recipe", RECIPES, "default")
    model = _named_in(arguments, "--model", MODELS, "sasrec")
    weightings = get_args(get_type_hints(JointTrainerConfig)["weighting"])
    usual = JointTrainerConfig.from_recipe(recipe).weighting
    weighting = _named_in(arguments, "--weighting", weightings, usual)
    chosen: dict[str, Any] = {"model": model, "weighting": weighting}
    names = {*field_names(DataConfig), *field_names(JointTrainerConfig)}
    names.update(MODELS.option_names(model))
    if TRAINS_NOISE_MODELS.holds(chosen):
        noise_model = RECIPES[recipe].get("noise_model", "target_attention")
        chosen["noise_model"] = _named_in(arguments, "--noise_model", NOISE_MODELS, noise_model)
        names.update(["noise_model"], NOISE_MODELS.option_names(chosen["noise_model"]))
    parser.elsewhere = partial(_elsewhere, trains_noise_model="noise_model" in chosen)
    parser.require_known(arguments, names)

    config = RunConfig.from_recipe(recipe, **chosen)
    for part in (config.data, config.model, config.trainer, config.noise_model):
        if part is not None:
            parser.add_config(type(part), defaults=part)
    if config.noise_model is not None:
        text = "target_attention judges whole sequences (the paper's), bidirectional every item"
        kinds, name = list(NOISE_MODELS), config.noise_model.name
        parser.add_argument("--noise_model", choices=kinds, default=name, help=text)


def _elsewhere(name: str, *, trains_noise_model: bool) -> str:
    """The models that have the option ``name``, as the end of a sentence; empty if none has."""
    for table, kind in ((MODELS, "model"), (NOISE_MODELS, "noise model")):
        owners = [model for model in table if name in table.option_names(model)]
        if owners or (name == "noise_model" and table is NOISE_MODELS):
            if table is NOISE_MODELS and not trains_noise_model:
                return f" where no noise model is trained, it needs {TRAINS_NOISE_MODELS.needs}"
            return f" of this {kind}, it is one of {', '.join(owners)}"
    return ""


def _named_in(arguments: Sequence[str], option: str, known: Collection[str], default: str) -> str:
    """The last value of ``option`` on the command line, if it is a known one."""
    named = default
    for argument, following in pairwise([*arguments, default]):
        name, equals, value = argument.partition("=")
        if name == option:
            named = value if equals else following
    return named if named in known else default


def execute(options: Namespace, console: Console) -> int:
    """Trains and measures the recipe and its baseline."""
    with checking_options():
        config = _run_config(options)
    require_one_process("train")
    from ..data.locks import exclusive
    from ..runs.folder import Run

    run = Run(Path(options.out))
    run.require_free(resume=options.resume)
    # For the whole command: also while the data are read, and between the run and its baseline.
    with exclusive(run.folder, "atjt train"):
        _train(run, config, options, console)
    console.print(f"everything is in {run.folder}")
    return 0


def _train(run: Run, config: RunConfig, options: Namespace, console: Console) -> None:
    from ..runs.data import load_sequences

    def on_read(interactions: Interactions) -> None:
        if interactions.columns:
            console.print(f"{options.file}: {_columns_read(interactions)}")

    sequences = load_sequences(options.file, config, on_read=on_read)
    console.print(
        f"{options.file}: {sequences.num_users:,} users, {sequences.num_items:,} items, "
        f"{sequences.num_interactions:,} interactions"
    )
    how = {name: options[name] for name in ("baseline", "resume", "tensorboard")}
    train_and_compare(run, sequences, config, console, device=device_of(options), **how)


def train_and_compare(
    run: Run,
    sequences: Sequences,
    config: RunConfig,
    console: Console,
    *,
    baseline: bool = True,
    **arguments: Any,
) -> dict[str, Any]:
    """Trains ``config`` in the folder of ``run``, and its baseline with equal weights in the folder
    inside; prints their metrics and their difference.

    Returns:
        The content of the run's metrics.json.
    """
    from ..runs.evaluate import compare_runs
    from ..runs.train import train_run
    from .tables import comparison_table

    runs = {config.recipe: train_run(run.folder, sequences, config, **arguments)}
    if baseline and config.trainer.weighs:
        title = "equal weights"
        equal = config.with_equal_weights()
        runs[title] = train_run(run.baseline.folder, sequences, equal, title=title, **arguments)
    console.print(comparison_table(runs, config.trainer.valid_metric))
    if len(runs) == 2:
        console.print(compare_runs(run, run.baseline, config.trainer.valid_metric))
    return runs[config.recipe]


def _run_config(options: Namespace) -> RunConfig:
    """The recipe, with the options that differ from it."""
    names = ("model", "weighting", "noise_model")
    chosen = {name: options[name] for name in names if name in options}
    usual = RunConfig.from_recipe(options.recipe, **chosen)
    changes = {
        name: value
        for part in (usual.data, usual.model, usual.trainer, usual.noise_model)
        if part is not None
        for name, value in values_of(options, part).items()
        if value != getattr(part, name)
    }
    config = RunConfig.from_recipe(options.recipe, **chosen, **changes)
    if config.data.weight_column and not config.trainer.takes_given_weights:
        weighting = config.trainer.weighting
        raise ValueError(f"weight_column is used only by weighting=given, got {weighting=!s}")
    return config


def _columns_read(interactions: Interactions) -> str:
    """The named column of each role, so that the user sees a wrong guess."""
    from ..data.errors import shown

    read = [f"{role} is {shown(column)}" for role, column in interactions.columns.items()]
    if "time" not in interactions.columns:
        read.append("no times: rows are taken in the order of the file")
    return ", ".join(read)
