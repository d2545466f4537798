"""The data of the page: read from the run folder, plus what has to be measured again."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import torch

from ..data import LeaveOneOut, Sequences, leave_one_out
from ..evaluation.metrics import SHOWN_METRICS, ranking_metrics
from ..ops._native import build_info
from ..runs.build import load_models
from ..runs.config import RunConfig
from ..runs.folder import Run
from ..training.history import EpochRecord
from ..training.joint_models import JointModels
from .audit import Audit, audit_trained, users_of_items
from .segments import Ranks, Segment, difference_interval, segments

__all__ = ["BASELINE", "Contents", "Headline", "changed_options", "contents_of", "option_tables"]

BASELINE = "equal weights"
# Devices round differently: metrics measured here may differ from the run's by this much.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Headline:
    """A metric of the run and its baseline; ``interval`` is 95 % of their difference over users."""

    name: str
    value: float | None  # None where a metric is not defined
    baseline: float | None
    interval: tuple[float, float] | None = None

    @property
    def change(self) -> float | None:
        """Relative difference from the baseline; None without a value or a baseline, or if the
        baseline's value is 0."""
        if self.value is None or not self.baseline:
            return None
        return self.value / self.baseline - 1.0


@dataclass(frozen=True, eq=False)
class Contents:
    """All data that the page shows."""

    title: str  # name of the run's folder
    config: RunConfig
    changed: list[str]  # options that differ from the recipe, as `name = value`
    data: Sequences
    watched: str  # the metric of early stopping
    metrics: dict[str, dict[str, Any]]  # metrics.json of the run, then of its baseline, if any
    histories: dict[str, list[EpochRecord]]  # the epochs, by the same labels
    headlines: list[Headline]  # full ranking of the test targets
    sampled: list[Headline]  # the paper's sampled protocol
    reproduced: bool  # whether the stored models reproduce metrics.json here
    by_length: list[Segment]  # users by the length of their history
    by_popularity: list[Segment]  # users by the number of users who have their target
    weights: torch.Tensor  # [N], of the training interactions
    audit: Audit | None  # None for one user, whom nobody else's sequences can judge
    versions: dict[str, str]  # of the software that made the page

    @property
    def watched_headline(self) -> Headline:
        return next(one for one in self.headlines if one.name == self.watched)


def contents_of(run: Run, *, device: torch.device | str | None = None) -> Contents:
    """Reads a finished run and its baseline in ``equal_weights``, and ranks test targets again.

    Raises:
        CheckpointError: no run, an unfinished run, or a baseline that was trained on other data.
    """
    config, sequences = run.config(), run.sequences()
    split = leave_one_out(sequences)
    weighs = config.trainer.weighs
    name = config.recipe.replace("_", " ") if weighs else BASELINE
    runs = {name: run}
    if weighs and run.baseline.metrics_path.is_file():
        run.baseline.check_same_data(sequences)
        runs[BASELINE] = run.baseline
    metrics = {label: one.metrics() for label, one in runs.items()}
    models = {
        label: load_models(one, sequences, device=device, train=split.train)
        for label, one in runs.items()
    }
    ranks, reproduced = _ranks(models, metrics, split)
    watched = config.trainer.valid_metric
    # Before the audit, which recomputes the beliefs that the run stored.
    weights = models[name].interaction_weights(split.train)
    audit = audit_trained(models[name], split.train) if split.train.num_users > 1 else None
    item_users = users_of_items(split.train)
    return Contents(
        title=run.folder.resolve().name,
        config=config,
        changed=changed_options(config),
        data=sequences,
        watched=watched,
        metrics=metrics,
        histories={label: one.history() for label, one in runs.items()},
        headlines=_headlines(metrics, dict.fromkeys((*SHOWN_METRICS, watched)), ranks),
        sampled=_headlines(metrics, metrics[name]["sampled_test"], None),
        reproduced=reproduced,
        by_length=segments(split.test.histories.lengths.numpy(), ranks, watched),
        by_popularity=segments(item_users[split.test.targets.numpy() - 1], ranks, watched),
        weights=weights,
        audit=audit,
        versions={
            "atjt_ext": build_info()["version"],
            "torch": torch.__version__,
            "Python": platform.python_version(),
        },
    )


def _ranks(
    models: dict[str, JointModels], metrics: dict[str, dict[str, Any]], split: LeaveOneOut
) -> tuple[Ranks, bool]:
    """Ranks of the test targets, and whether they reproduce the stored metrics."""
    found = {label: one.ranks(split.test) for label, one in models.items()}
    reproduced = all(
        abs(value - metrics[label]["test"][name]) <= _ROUNDING
        for label, ranks in found.items()
        for name, value in ranking_metrics(ranks).items()
    )
    run, *rest = (ranks.numpy() for ranks in found.values())
    return Ranks(run, rest[0] if rest else None), reproduced


def _headlines(
    metrics: dict[str, dict[str, Any]], names: dict[str, Any], ranks: Ranks | None
) -> list[Headline]:
    part = "sampled_test" if ranks is None else "test"
    run, *rest = (one[part] for one in metrics.values())
    return [
        Headline(
            name,
            run[name],
            rest[0][name] if rest else None,
            None if ranks is None else difference_interval(ranks, name),
        )
        for name in names
    ]


def changed_options(config: RunConfig) -> list[str]:
    """The options in which a config differs from its recipe, as ``name = value``."""
    usual = option_tables(RunConfig.from_recipe(config.recipe, model=config.model.name))
    return [
        f"{part if name == 'name' else name} = {value}"
        for part, options in option_tables(config).items()
        for name, value in options.items()
        if value != usual.get(part, {}).get(name)
    ]


def option_tables(config: RunConfig) -> dict[str, dict[str, Any]]:
    """All options by part of the config."""
    return {part: one for part, one in config.as_dict().items() if isinstance(one, dict)}
