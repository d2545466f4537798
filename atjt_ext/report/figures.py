"""The page's figures: what each shows, how to read it, and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from markupsafe import Markup
from torch import Tensor

from ..evaluation.auc import auc, roc_curve
from ..evaluation.detection import CalibrationBin
from ..evaluation.statistics import wilson_interval
from .axis import Axis
from .segments import Segment
from .svg import Chart

__all__ = [
    "Figure",
    "calibration_figure",
    "curves_figure",
    "roc_figure",
    "segments_figure",
    "weights_figure",
]

_BINS = 20


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, a sentence on how to read it, and the numbers in it as a table."""

    chart: Chart
    reading: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def svg(self) -> Markup:
        return self.chart.svg()


def curves_figure(
    name: str,
    title: str,
    curves: dict[str, list[tuple[int, float]]],
    *,
    kept: dict[str, int],
    reading: str,
    guessing: float | None = None,
) -> Figure:
    """Values by epoch, a line for each of at most two runs.

    Args:
        name: makes ids unique.
        title: what the values are.
        curves: ``(epoch, value)`` by run; none may be empty.
        kept: the epoch whose models each run kept.
        reading: how to read it.
        guessing: a value to compare with.
    """
    values = [value for curve in curves.values() for _, value in curve]
    values += [] if guessing is None else [guessing]
    epochs = [epoch for curve in curves.values() for epoch, _ in curve]
    room = 0.06 * (max(values) - min(values)) or 0.1
    low = max(0.0, min(values) - room) if min(values) >= 0 else min(values) - room
    chart = Chart(
        name,
        title,
        "; ".join(_told(run, curve, kept.get(run)) for run, curve in curves.items()),
        Axis.whole(min(epochs), max(epochs), "epoch"),
        Axis.of(low, max(values) + room, ""),
        end_labels=list(curves),
    )
    if guessing is not None:
        chart.reference((min(epochs), guessing), (max(epochs), guessing))
    for series, (run, curve) in enumerate(curves.items()):
        for epoch, value in curve:
            if epoch == kept.get(run):
                chart.ring((epoch, value), series)
        chart.line([(float(epoch), value) for epoch, value in curve], series, label=run)
    by_run = [dict(curve) for curve in curves.values()]
    rows = tuple(
        (str(epoch), *(_number(curve.get(epoch)) for curve in by_run))
        for epoch in sorted(set(epochs))
    )
    return Figure(chart, reading, ("epoch", *curves), rows)


def _told(run: str, curve: Sequence[tuple[int, float]], kept: int | None) -> str:
    said = f"{run}: from {curve[0][1]:.4f} in epoch {curve[0][0]} to {curve[-1][1]:.4f} in "
    said += f"epoch {curve[-1][0]}"
    return said + (f", epoch {kept} was kept" if kept is not None else "")


def weights_figure(groups: dict[str, Tensor]) -> Figure:
    """How many interactions have which weight: ``[n]`` in [0, 1] of one or two groups."""
    edges = [index / _BINS for index in range(_BINS + 1)]
    shares = {
        label: (torch.histc(group.float(), _BINS, 0.0, 1.0).double() / len(group)).tolist()
        for label, group in groups.items()
    }
    highest = max(max(heights) for heights in shares.values())
    chart = Chart(
        "weights",
        "Weights of the training interactions",
        "; ".join(f"{label}: mean {float(group.mean()):.3f}" for label, group in groups.items()),
        Axis.of(0.0, 1.0, "weight"),
        Axis.of(0.0, highest * 1.08, "share of the interactions", percent=True),
    )
    for series, heights in enumerate(shares.values()):
        chart.area(edges, heights, series)
    for series, (label, group) in enumerate(groups.items()):
        chart.key(f"{label}, mean {float(group.mean()):.2f}", series, corner="top-left")
    reading = (
        "Each step is the share of interactions with a weight in that twentieth. Weight 1 counts "
        "in full, 0 not at all."
    )
    if len(groups) > 1:
        reading += " The further the dashed noise lies left of the clean, the better it is known."
    rows = tuple(
        (
            f"{low:.2f} to {high:.2f}",
            *(f"{100 * heights[index]:.1f} %" for heights in shares.values()),
        )
        for index, (low, high) in enumerate(pairwise(edges))
    )
    return Figure(chart, reading, ("weight", *shares), rows)


def roc_figure(scores: dict[str, tuple[Tensor, Tensor]]) -> Figure:
    """How much noise is found at the price of how many false alarms.

    Args:
        scores: noise scores and truth, ``[N]`` each and both kinds, of at most two things to find.
    """
    areas = {label: auc(*pair) for label, pair in scores.items()}
    told = [f"{label}, AUC {_number(area, 3)}" for label, area in areas.items()]
    chart = Chart(
        "roc",
        "Finding the planted noise",
        "; ".join(told),
        Axis.of(0.0, 1.0, "clean ones flagged", percent=True),
        Axis.of(0.0, 1.0, "noisy ones found", percent=True),
    )
    chart.reference((0.0, 0.0), (1.0, 1.0))
    for series, (text, pair) in enumerate(zip(told, scores.values(), strict=True)):
        chart.line(list(zip(*roc_curve(*pair), strict=True)), series, markers=False)
        chart.key(text, series)
    return Figure(
        chart,
        "Flag the most suspicious first: how much noise is found, upwards, for how many false "
        "alarms, to the right. Dotted: flagging at random. A user counts as noisy with any noise.",
    )


def calibration_figure(bins: Sequence[CalibrationBin], error: float) -> Figure:
    """The share that is noise, by P(noise)."""
    chart = Chart(
        "calibration",
        "Does P(noise) mean what it says?",
        f"expected calibration error {error:.3f} over {len(bins)} bins; the table has them all",
        Axis.of(0.0, 1.0, "P(noise), as judged", percent=True),
        Axis.of(0.0, 1.0, "share that is noise", percent=True),
    )
    chart.reference((0.0, 0.0), (1.0, 1.0))
    for one in bins:
        chart.upright(one.predicted, *wilson_interval(one.observed, one.count))
    chart.line([(one.predicted, one.observed) for one in bins], 0)
    chart.key(f"calibration error {error:.3f}", 0, corner="top-left")
    rows = tuple(
        (
            f"{one.low:.1f} to {one.high:.1f}",
            f"{one.count:,}",
            f"{one.predicted:.3f}",
            f"{one.observed:.3f}",
        )
        for one in bins
    )
    return Figure(
        chart,
        "On the dotted line, of the interactions judged 70 % noise 70 % are. Points below it: "
        "suspected too much. Bars: 95 % by chance alone; few interactions, long bars.",
        ("P(noise)", "interactions", "mean P(noise)", "are noise"),
        rows,
    )


def segments_figure(
    name: str, title: str, groups: Sequence[Segment], metric: str, runs: Sequence[str]
) -> Figure:
    """The metric of each group of users, for one or two ``runs``."""
    ends = [end for group in groups for end in group.interval]
    values = ends + [group.baseline for group in groups if group.baseline is not None]
    chart = Chart(
        name,
        title,
        "; ".join(f"{group.label}: {group.value:.4f}" for group in groups),
        Axis.of(0.0, max(values) * 1.05, metric),
        Axis(-0.6, len(groups) - 0.4, "", ()),
        rows=[group.label for group in groups],
    )
    for row, group in enumerate(groups):
        chart.across(*group.interval, row)
        if group.baseline is not None:
            chart.marker((group.baseline, row), 1)
        chart.marker((group.value, row), 0)
    for series, run in enumerate(runs):
        chart.key(run, series, line=False, corner="below")
    return Figure(
        chart,
        f"Further right is better. The bars hold 95 % of the means of {runs[0]} over resampled "
        "users; whether two marks differ, the table says: both are of the same users.",
    )


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
