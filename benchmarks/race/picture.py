"""The curves of a race as an SVG picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from .contenders import OURS, RECTOOLS, REPLAY
from .course import Result

_COLOURS = {OURS: "#1b6ca8", RECTOOLS: "#d1495b", REPLAY: "#5a8f3c"}
_DASHES = ("-", "--", ":", "-.")  # a library's contenders, also for readers without colour


def draw(path: Path, results: Sequence[Result], title: str) -> None:
    """NDCG@10 over processor seconds: a line per contender, the mean over its seeds, and thin lines
    for the seeds. Equal results give equal bytes."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axis = figure.subplots()
    places = {library: count() for library in _COLOURS}
    for name in dict.fromkeys(one.contender.name for one in results):
        group = [one for one in results if one.contender.name == name]
        library = group[0].contender.library
        dashes = _DASHES[next(places[library]) % len(_DASHES)]
        curves = [
            ([point.cpu for point in one.curve], [point.ndcg for point in one.curve])
            for one in group
        ]
        for seconds, ndcg in curves if len(curves) > 1 else ():
            axis.plot(seconds, ndcg, color=_COLOURS[library], linewidth=0.5, alpha=0.25)
        grid = common_grid([seconds for seconds, _ in curves])
        means = np.mean([np.interp(grid, *curve) for curve in curves], axis=0)
        axis.plot(grid, means, dashes, color=_COLOURS[library], label=name, marker=".")
    axis.set(xlabel="processor seconds of training, one thread", ylabel="NDCG@10, validation")
    axis.set_title(title, loc="left")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "race"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


def common_grid(curves: Sequence[Sequence[float]]) -> list[float]:
    """Mean times of the points that all seeds have: the n-th of each, in turns of like length."""
    return [float(np.mean(times)) for times in zip(*curves, strict=False)]
