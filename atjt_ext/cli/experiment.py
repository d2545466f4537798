"""The command ``atjt experiment``: options of a grid, and running it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from jsonargparse import ActionYesNo, Namespace
from rich.console import Console

from ..experiment import ExperimentSpec, run_grid, settings_by_model, write_report
from ..models.registry import MODEL_TRAINING, MODELS
from ..runs.config import DataConfig
from ..training.config import JointTrainerConfig
from .parser import CommandParser, list_options
from .tables import grid_table

__all__ = ["experiment_parser", "run_experiment"]

# What recipes and seeds of a grid set in the configs of trainer and model.
_DECIDED_BY_CELLS = {"weighting", "weights_act_on", "adaptive_denoising", "seed", "noise_model"}
# What differs from model to model: None leaves each its own.
_BY_MODEL: dict[str, Any] = {
    name: get_type_hints(JointTrainerConfig)[name] | None
    for changes in MODEL_TRAINING.values()
    for name in changes
} | {
    one.name: get_type_hints(config)[one.name] | None
    for config in MODELS.values()
    for one in fields(config)
    if one.name not in _DECIDED_BY_CELLS
}


def experiment_parser(default_device: str) -> CommandParser:
    """Options: the grid's axes, and all options of ``train`` but those that recipes decide."""
    parser = CommandParser(
        allow_abbrev=False,
        description="Compare recipes over models, data, planted noise and seeds. Lists are "
        "[a,b,c]. The same command again runs only what is missing.",
    )
    parser.add_argument("--config", action="config", help="YAML or JSON with any of the options")
    parser.add_argument("--out", type=str, default="runs/experiment", help="folder of the grid")
    parser.add_argument("--jobs", type=int, default=1, help="cells at once")
    parser.add_argument("--threads", type=int | None, default=None, help="torch threads of a cell")
    parser.add_argument("--device", type=str, default=default_device, help="cpu, cuda, cuda:1")
    parser.add_argument(
        "--figures", action=ActionYesNo(no_prefix="no_"), default=True, help="draw results.png"
    )
    parser.lists = list_options(ExperimentSpec, DataConfig, *MODELS.values())
    parser.add_class_arguments(ExperimentSpec)
    parser.add_class_arguments(DataConfig)
    parser.add_class_arguments(JointTrainerConfig, skip=_DECIDED_BY_CELLS | _BY_MODEL.keys())
    for name, hint in _BY_MODEL.items():
        owners = [model for model, config in MODELS.items() if _has(config, name)] or ["all models"]
        text = f"of {', '.join(owners)}; unless given, each model's own"
        parser.add_argument(f"--{name}", type=hint, default=None, help=text)
    return parser


def _has(config: type, name: str) -> bool:
    return name in {one.name for one in fields(config)}


def run_experiment(options: Namespace, console: Console) -> int:
    """Runs the grid, writes its report and prints the comparisons; 1 where a cell failed."""
    spec = ExperimentSpec(**{field.name: options[field.name] for field in fields(ExperimentSpec)})
    # Only what differs: num_replacements, say, goes before a replace_ratio that nobody asked for.
    usual = {
        one.name: one.default for part in (DataConfig, JointTrainerConfig) for one in fields(part)
    }
    usual |= dict.fromkeys(_BY_MODEL)
    chosen = {
        name: options[name]
        for name in usual.keys() - _DECIDED_BY_CELLS
        if options[name] != usual[name]
    }
    outcome = run_grid(
        spec,
        settings_by_model(spec.models, chosen),
        options.out,
        device=options.device,
        jobs=options.jobs,
        threads=options.threads,
    )
    comparisons = write_report(
        outcome.results,
        options.out,
        metric=spec.metric,
        against=spec.against,
        figures=options.figures,
    )
    console.print(grid_table([comparison.as_dict() for comparison in comparisons]))
    console.print(
        f"{len(outcome.results)} cells ({outcome.skipped} from before), "
        f"{len(outcome.failures)} failed; everything is in {options.out}"
    )
    return 1 if outcome.failures else 0
