"""Differences from the baseline with their intervals, a panel per data and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from collections.abc import Sequence
from pathlib import Path

from .comparison import Comparison

__all__ = ["plot_differences", "require_matplotlib"]


def plot_differences(path: str | Path, comparisons: Sequence[Comparison]) -> None:
    """Dots for the means; thick bars are intervals over users and seeds, thin ones over seeds.

    Filled dots are shown to help or harm, hollow ones are not: no colour is needed to read it.

    Args:
        path: file to write; its suffix decides the format.
        comparisons: at least one, all of one metric.

    Raises:
        ValueError: no comparisons. ImportError: no matplotlib.
    """
    if not comparisons:
        raise ValueError("comparisons must not be empty")
    panels: dict[tuple[str, str, str], list[Comparison]] = {}
    for comparison in comparisons:
        key = (Path(comparison.file).name, comparison.model, comparison.noise)
        panels.setdefault(key, []).append(comparison)
    rows = max(map(len, panels.values()))
    figure = require_matplotlib()(
        figsize=(7.0, (0.35 * rows + 1.1) * len(panels)), layout="constrained"
    )
    first = None
    for index, (key, members) in enumerate(panels.items(), start=1):
        axis = first = figure.add_subplot(len(panels), 1, index, sharex=first)
        axis.axvline(0.0, color="0.4", linestyle=":")
        for row, c in enumerate(members):
            axis.plot([c.users_low, c.users_high], [row, row], color="0.7", linewidth=5)
            if c.seeds_low is not None and c.seeds_high is not None:
                axis.plot([c.seeds_low, c.seeds_high], [row, row], color="black", linewidth=0.8)
            shown = c.verdict in ("helps", "harms")
            axis.plot(
                c.difference,
                row,
                marker="o",
                color="black",
                markerfacecolor="black" if shown else "white",
            )
        axis.set_yticks(range(len(members)), [c.recipe for c in members])
        axis.set_ylim(len(members) - 0.5, -0.5)
        axis.set_title(", ".join(key), fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    assert first is not None
    first.set_xlabel(f"{comparisons[0].metric}: difference from the baseline")
    figure.savefig(path, dpi=150)


def require_matplotlib() -> type[Figure]:
    """matplotlib's Figure.

    Raises:
        ImportError: matplotlib is missing; says how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'atjt_ext[plots]'") from error
    return Figure
