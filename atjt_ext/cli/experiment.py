"""Compare recipes over models, data, planted noise and seeds. Lists are a,b,c. The same command
again runs the missing cells only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from ..experiment.spec import ExperimentSpec
from ..models.registry import MODELS
from ..recognition.noise_models.registry import NOISE_MODELS
from ..runs.config import DataConfig
from ..training.config import JointTrainerConfig
from ..training.processes import require_one_process
from .config_file import as_yaml
from .parser import CommandParser, checking_options, device_of, field_names, values_of

if TYPE_CHECKING:
    from jsonargparse import Namespace
    from rich.console import Console

__all__ = ["LESS_MEMORY", "TO_GO_ON", "add_options", "execute"]

TO_GO_ON = "; the same command continues after the last whole cell"
LESS_MEMORY = "a lower batch_size, max_length or embedding_dim, or fewer jobs, need less"
# The recipes and seeds of a grid set these.
_DECIDED_BY_CELLS = {"weighting", "weights_act_on", "adaptive_denoising", "seed"}


def add_options(parser: CommandParser, arguments: Sequence[str]) -> None:
    """The axes of the grid, and all options of ``train`` that no recipe decides."""
    parser.add_config_file()
    text = "folder of the grid"
    parser.add_argument("--out", type=str, default="runs/experiment", help=text)
    parser.add_argument("--jobs", type=int, default=1, help="cells that run at the same time")
    text = "torch threads per cell; null leaves the number to torch"
    parser.add_argument("--threads", type=int | None, default=None, help=text)
    parser.add_device()
    parser.add_switch("--figures", "draw results.png")
    owners: dict[str, list[str]] = {}
    for table in (MODELS, NOISE_MODELS):
        for model in table:
            for name in table.option_names(model):
                owners.setdefault(name, []).append(model)
    parts = ExperimentSpec, DataConfig, JointTrainerConfig
    names = [name for part in parts for name in field_names(part)]
    parser.require_known(arguments, [*names, *owners])
    by_model = _by_model()
    parser.add_config(ExperimentSpec)
    parser.add_config(DataConfig)
    parser.add_config(JointTrainerConfig, skip=_DECIDED_BY_CELLS | by_model.keys())
    for name, hint in by_model.items():
        text = f"for {', '.join(owners.get(name, ['all models']))}; null takes each model's default"
        parser.add_argument(f"--{name}", type=hint, default=None, help=text)


@cache
def _by_model() -> dict[str, Any]:
    """Types of the options whose defaults differ between models; None keeps a model's own."""
    training = get_type_hints(JointTrainerConfig)
    hints = {name: training[name] for config in MODELS.values() for name in config.training}
    for config in (*MODELS.values(), *NOISE_MODELS.values()):
        own = get_type_hints(config)
        hints |= {name: own[name] for name in field_names(config)}
    return {name: hint | None for name, hint in hints.items()}


def execute(options: Namespace, console: Console) -> int:
    """Runs the grid, writes its report and prints the comparisons; 1 if a cell failed."""
    if options.print_config:
        shown = {n: v for n, v in options.items() if n not in ("config", "print_config")}
        print(as_yaml(shown))  # the lines are ASCII: YAML escapes all else
        return 0
    require_one_process("experiment")
    from ..data.locks import exclusive
    from ..experiment import run_grid, settings_by_model, write_report
    from ..experiment.plots import require_matplotlib
    from .tables import grid_table

    # Only values that differ: an unchanged replace_ratio would conflict with num_replacements.
    usual = {**asdict(DataConfig()), **asdict(JointTrainerConfig()), **dict.fromkeys(_by_model())}
    chosen = {
        name: options[name]
        for name in usual.keys() - _DECIDED_BY_CELLS
        if options[name] != usual[name]
    }
    with checking_options():
        spec = ExperimentSpec(**values_of(options, ExperimentSpec))
        settings = settings_by_model(spec.models, chosen)
    if options.figures:
        require_matplotlib()  # now, not after hours of training
    out, how = options.out, {"jobs": options.jobs, "threads": options.threads}
    with exclusive(Path(out), "atjt experiment"):
        outcome = run_grid(spec, settings, out, device=device_of(options), **how)
        comparisons = write_report(
            outcome.results, out, metric=spec.metric, against=spec.against, figures=options.figures
        )
    console.print(grid_table([comparison.as_dict() for comparison in comparisons]))
    console.print(
        f"{len(outcome.results)} cells ({outcome.skipped} from before), "
        f"{len(outcome.failures)} failed; everything is in {out}"
    )
    return 1 if outcome.failures else 0
