"""Results as tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ..evaluation.metrics import SHOWN_METRICS
from ..evaluation.statistics import shown_p

if TYPE_CHECKING:
    from ..evaluation.detection import CalibrationBin
    from ..report.suspicion import Suspicion

__all__ = [
    "calibration_table",
    "comparison_table",
    "grid_table",
    "metrics_table",
    "noisy_users_table",
    "recommendation_table",
    "suspicions_table",
]


def _table(title: str, *columns: str) -> Table:
    """An empty table; a column whose name starts with ``>`` is aligned right."""
    table = Table(title=title)
    for name in columns:
        if name.startswith(">"):
            table.add_column(name[1:], justify="right")
        else:
            table.add_column(name, overflow="fold")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def metrics_table(metrics: dict[str, Any]) -> Table:
    """Full-ranking metrics of one model on test and validation data."""
    table = _table(_title(metrics), "metric", ">test", ">valid")
    for name in metrics["test"]:
        table.add_row(name, _number(metrics["test"][name]), _number(metrics["valid"][name]))
    table.add_section()
    for name, value in metrics["sampled_test"].items():
        table.add_row(f"sampled {name}", _number(value), "")
    return table


def comparison_table(runs: dict[str, dict[str, Any]], watched: str) -> Table:
    """Test metrics of several runs, with the metric ``watched`` in training; for two runs, also the
    difference in per cent."""
    first, pair = next(iter(runs.values())), len(runs) == 2
    names = [*runs, *(["difference"] if pair else [])]
    table = _table(_title(first), "test metric", *(f">{name}" for name in names))

    def add(label: str, values: list[float | None], *, compare: bool = True) -> None:
        cells = [_number(value) for value in values]
        if pair:
            ours, other = values
            differ = compare and ours is not None and other
            cells.append(f"{100 * (ours / other - 1):+.1f} %" if differ else "")  # type: ignore[operator]
        table.add_row(label, *cells)

    for name in dict.fromkeys((*SHOWN_METRICS, watched)):
        add(name, [metrics["test"][name] for metrics in runs.values()])
    table.add_section()
    for name in first["sampled_test"]:
        add(f"sampled {name}", [metrics["sampled_test"][name] for metrics in runs.values()])
    table.add_section()
    for name in dict.fromkeys(name for metrics in runs.values() for name in metrics["noise"]):
        values = [metrics["noise"].get(name) for metrics in runs.values()]
        add(f"noise {name}", values, compare=False)
    for name in ("mean", "std"):
        values = [metrics["weights"][name] for metrics in runs.values()]
        add(f"weights {name}", values, compare=False)
    table.add_row("kept epoch", *(str(metrics["kept_epoch"]) for metrics in runs.values()))
    return table


def grid_table(comparisons: list[dict[str, Any]]) -> Table:
    """Every recipe of a grid against its baseline, from the values of ``Comparison.as_dict``."""
    metric = comparisons[0]["metric"] if comparisons else "metric"
    several_models = len({c["model"] for c in comparisons}) > 1
    title = f"{metric}: difference from the baseline; p corrected by Holm"
    columns = ("data, noise", "recipe", ">seeds", ">difference [95 %]", ">p", "verdict")
    table = _table(title, *columns)
    for c in comparisons:
        model = f"{c['model']}, " if several_models else ""
        table.add_row(
            f"{Path(c['file']).name}, {model}{c['noise']}",
            c["recipe"],
            str(len(c["seeds"])),
            f"{c['difference']:+.4f}"
            + ("" if c["low"] is None else f" [{c['low']:+.4f}, {c['high']:+.4f}]"),
            shown_p(c["p_holm"]),
            c["verdict"],
        )
    return table


def recommendation_table(
    user: str, items: list[str], scores: list[float], *, exclude_seen: bool
) -> Table:
    """The recommended items of one user, best first."""
    title = f"for user {user}, seen items {'excluded' if exclude_seen else 'included'}"
    table = _table(title, ">rank", "item", ">score")
    for rank, (item, score) in enumerate(zip(items, scores, strict=True), start=1):
        table.add_row(str(rank), item, _number(score))
    return table


def noisy_users_table(users: list[dict[str, Any]]) -> Table:
    """The noisiest users of an audit, beside the planted noise if it is known."""
    known = bool(users) and "noise_share_true" in users[0]
    columns = ("user", ">length", ">noise", ">suspicious", *([">planted"] if known else []))
    table = _table("users by their expected share of noise", *columns)
    for one in users:
        truth = [f"{100 * one['noise_share_true']:.0f} %"] if known else []
        share = "-" if one["noise_share"] is None else f"{100 * one['noise_share']:.0f} %"
        table.add_row(one["user"], str(one["length"]), share, str(one["suspicious"]), *truth)
    return table


def suspicions_table(suspicions: Sequence[Suspicion]) -> Table:
    """The most suspicious interactions of an audit, with reasons."""
    known = any(one.is_noise is not None for one in suspicions)
    columns = ("user", "item", ">P(noise)", *(["planted"] if known else []), "why")
    table = _table("interactions by P(noise)", *columns)
    for one in suspicions:
        truth = ["yes" if one.is_noise else "no"] if known else []
        table.add_row(one.user, one.item, f"{one.p_noise:.3f}", *truth, one.reason)
    return table


def calibration_table(bins: Sequence[CalibrationBin]) -> Table:
    """P(noise) against the share of planted noise, in bins."""
    columns = (">P(noise)", ">interactions", ">mean P(noise)", ">are noise")
    table = _table("does P(noise) mean what it says?", *columns)
    for one in bins:
        table.add_row(*one.as_texts())
    return table


def _title(metrics: dict[str, Any]) -> str:
    seen = "excluded" if metrics["seen_items_excluded"] else "included"
    return f"full ranking, seen items {seen}"
