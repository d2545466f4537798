"""The figures of the page: a chart each, with a caption and a table of its numbers."""

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
    """A chart, a caption that says how to read it, and its numbers as a table."""

    chart: Chart
    caption: str
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
    caption: str,
    reference: float | None = None,
) -> Figure:
    """Values by epoch, one line per run; a dotted horizontal line at ``reference``.

    Args:
        name: prefix of the element ids; unique in the page.
        title: names the values.
        curves: ``(epoch, value)`` of one or two runs; none may be empty.
        kept: the epoch whose models each run kept.
        caption: says how to read the chart.
        reference: None draws no such line.
    """
    values = [value for curve in curves.values() for _, value in curve]
    values += [] if reference is None else [reference]
    epochs = [epoch for curve in curves.values() for epoch, _ in curve]
    room = 0.06 * (max(values) - min(values)) or 0.1
    low = max(0.0, min(values) - room) if min(values) >= 0 else min(values) - room
    chart = Chart(
        name,
        title,
        "; ".join(_described(run, curve, kept.get(run)) for run, curve in curves.items()),
        Axis.whole(min(epochs), max(epochs), "epoch"),
        Axis.of(low, max(values) + room, ""),
        end_labels=list(curves),
    )
    if reference is not None:
        chart.reference((min(epochs), reference), (max(epochs), reference))
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
    return Figure(chart, caption, ("epoch", *curves), rows)


def _described(run: str, curve: Sequence[tuple[int, float]], kept: int | None) -> str:
    (first, start), (last, end) = curve[0], curve[-1]
    text = f"{run}: from {start:.4f} in epoch {first} to {end:.4f} in epoch {last}"
    return text if kept is None else f"{text}, epoch {kept} was kept"


def weights_figure(groups: dict[str, Tensor]) -> Figure:
    """Histograms of the weights ``[n]``, in [0, 1], of one or two groups of interactions."""
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
        Axis.of(0.0, highest * 1.08, "share of interactions", percent=True),
    )
    for series, heights in enumerate(shares.values()):
        chart.area(edges, heights, series)
    for series, (label, group) in enumerate(groups.items()):
        chart.legend(f"{label}, mean {float(group.mean()):.2f}", series, corner="top-left")
    caption = (
        "Each step shows the share of interactions in one of 20 weight bins. An interaction of "
        "weight 1 counts fully, one of weight 0 not at all."
    )
    if len(groups) > 1:
        caption += " The further the dashed line (noise) lies to the left, the better."
    rows = tuple(
        (f"{low:.2f} to {high:.2f}", *(f"{100 * share:.1f} %" for share in of_groups))
        for (low, high), of_groups in zip(
            pairwise(edges), zip(*shares.values(), strict=True), strict=True
        )
    )
    return Figure(chart, caption, ("weight", *shares), rows)


def roc_figure(scores: dict[str, tuple[Tensor, Tensor]]) -> Figure:
    """ROC curves of noise detection, for one or two kinds (interactions, users).

    Each kind has noise ``scores [N]`` and a truth ``[N]`` bool that holds both values.
    """
    labels = [f"{kind}, AUC {_number(auc(*pair), 3)}" for kind, pair in scores.items()]
    chart = Chart(
        "roc",
        "Detection of the planted noise",
        "; ".join(labels),
        Axis.of(0.0, 1.0, "clean flagged as noise", percent=True),
        Axis.of(0.0, 1.0, "noise found", percent=True),
    )
    chart.reference((0.0, 0.0), (1.0, 1.0))
    for series, (label, pair) in enumerate(zip(labels, scores.values(), strict=True)):
        chart.line(list(zip(*roc_curve(*pair), strict=True)), series, markers=False)
        chart.legend(label, series)
    return Figure(
        chart,
        "ROC curve: the share of noise found (up) against the share of clean ones flagged (right), "
        "from the most suspicious on. Dotted: random flags. A user with any noise counts as noisy.",
    )


def calibration_figure(bins: Sequence[CalibrationBin], error: float) -> Figure:
    """The observed share of noise by P(noise), with the expected calibration ``error``."""
    chart = Chart(
        "calibration",
        "Calibration of P(noise)",
        f"expected calibration error {error:.3f} over {len(bins)} bins; the table lists the bins",
        Axis.of(0.0, 1.0, "predicted P(noise)", percent=True),
        Axis.of(0.0, 1.0, "observed share of noise", percent=True),
    )
    chart.reference((0.0, 0.0), (1.0, 1.0))
    for one in bins:
        chart.vertical_interval(one.predicted, *wilson_interval(one.observed, one.count))
    chart.line([(one.predicted, one.observed) for one in bins], 0)
    chart.legend(f"calibration error {error:.3f}", 0, corner="top-left")
    return Figure(
        chart,
        "On the dotted line, P(noise) equals the observed share of noise. Below it, P(noise) is "
        "too high. Bars: 95 % intervals (Wilson), long where a bin holds few interactions.",
        ("P(noise)", "interactions", "mean P(noise)", "observed share"),
        tuple(one.as_texts() for one in bins),
    )


def segments_figure(
    name: str, title: str, groups: Sequence[Segment], metric: str, runs: Sequence[str]
) -> Figure:
    """The metric of each group of users, for the run and its baseline (``runs``)."""
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
        chart.horizontal_interval(*group.interval, row)
        if group.baseline is not None:
            chart.marker((group.baseline, row), 1)
        chart.marker((group.value, row), 0)
    for series, run in enumerate(runs):
        chart.legend(run, series, line=False, corner="below")
    caption = f"Further right is better. Bars: 95 % bootstrap intervals of {runs[0]} over users."
    if len(runs) > 1:
        caption += " To compare the two runs, use the differences in the table, not the bars."
    return Figure(chart, caption)


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
