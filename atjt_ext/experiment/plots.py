"""Plots of a grid: differences from the baseline, and maps of the gain.

The suffix of ``path`` decides the format. Without matplotlib, every function raises ImportError.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .comparison import Comparison
from .gain_map import GainMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_differences", "plot_gain_maps", "require_matplotlib"]


def plot_differences(path: str | Path, comparisons: Sequence[Comparison]) -> None:
    """Draws the comparisons of one metric: a panel per file, model and noise, a row per recipe.

    A dot is the mean difference, filled if a verdict was reached; no colour is needed to read it.
    The bar is the 95 % interval; with one seed it is grey, because it covers users only.

    Raises:
        ValueError: no comparisons.
    """
    if not comparisons:
        raise ValueError("comparisons must not be empty")
    panels: dict[str, list[Comparison]] = {}
    for c in comparisons:
        panels.setdefault(f"{Path(c.file).name}, {c.model}, {c.noise}", []).append(c)
    rows = max(map(len, panels.values()))
    size = 7.0, (0.35 * rows + 1.1) * len(panels)
    figure, first = require_matplotlib()(figsize=size, layout="constrained"), None
    for index, (title, members) in enumerate(panels.items(), start=1):
        axis = first = figure.add_subplot(len(panels), 1, index, sharex=first)
        axis.axvline(0.0, color="0.4", linestyle=":")
        for row, c in enumerate(members):
            if c.low is not None and c.high is not None:
                colour = "0.7" if len(c.seeds) < 2 else "black"
                axis.plot([c.low, c.high], [row, row], color=colour)
            face = "black" if c.verdict in ("helps", "harms") else "white"
            axis.plot(c.difference, row, marker="o", color="black", markerfacecolor=face)
        axis.set_yticks(range(len(members)), [c.recipe for c in members])
        axis.set_ylim(len(members) - 0.5, -0.5)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    assert first is not None
    first.set_xlabel(f"{comparisons[0].metric}: difference from the baseline")
    figure.savefig(path, dpi=150)


def plot_gain_maps(path: str | Path, maps: Sequence[GainMap], *, metric: str) -> None:
    """Draws a panel per map on one colour scale; bold where the interval excludes 0.

    Raises:
        ValueError: no maps.
    """
    if not maps:
        raise ValueError("maps must not be empty")
    figure = require_matplotlib()(figsize=(0.6 + 3.6 * len(maps), 3.6), layout="constrained")
    known = [abs(g.percent) for one in maps for row in one.gains for g in row if g is not None]
    largest = max([*known, 1e-9])
    for column, one in enumerate(maps, start=1):
        axis = figure.add_subplot(1, len(maps), column)
        grid = [[float("nan") if g is None else g.percent for g in row] for row in one.gains]
        image = axis.imshow(grid, cmap="RdBu", vmin=-largest, vmax=largest, origin="lower")
        for y, row in enumerate(one.gains):
            for x, gain in enumerate(row):
                if gain is not None:
                    colour = "white" if abs(gain.percent) > 0.6 * largest else "black"
                    weight = "bold" if gain.shown else "normal"
                    style = {"ha": "center", "va": "center", "fontweight": weight}
                    axis.text(x, y, f"{gain.percent:+.1f} %", style, color=colour)
        axis.set_xticks(range(len(one.item_shares)), [f"{share:.0%}" for share in one.item_shares])
        axis.set_yticks(range(len(one.user_shares)), [f"{share:.0%}" for share in one.user_shares])
        axis.set_xlabel("share of their items replaced")
        if column == 1:
            axis.set_ylabel("share of noisy users")
        axis.set_title(one.title, fontsize=9)
        if column == len(maps):
            figure.colorbar(image, ax=axis, label=f"{metric}: gain over the baseline, %")
    figure.savefig(path, dpi=150)


def require_matplotlib() -> type[Figure]:
    """matplotlib's ``Figure``."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'atjt_ext[experiment]'") from error
    return Figure
