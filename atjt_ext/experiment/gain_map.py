"""The map of the gain: over the share of noisy users and the share of their items replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .comparison import Comparison
from .plots import require_matplotlib
from .spec import parse_noise

__all__ = ["GainMap", "gain_maps", "map_table", "plot_gain_maps"]


@dataclass(frozen=True, slots=True)
class GainMap:
    """What one recipe brings where noise is concentrated on some users.

    Attributes:
        file: interactions.
        model: base model.
        recipe: what is compared with its baseline.
        user_shares: of noisy users, rising.
        item_shares: of their items replaced, rising.
        points: by (user share, item share); some may be missing.
    """

    file: str
    model: str
    recipe: str
    user_shares: tuple[float, ...]
    item_shares: tuple[float, ...]
    points: dict[tuple[float, float], Comparison]

    @property
    def title(self) -> str:
        return f"{Path(self.file).name}, {self.model}, {self.recipe}"


def gain_maps(comparisons: Sequence[Comparison]) -> list[GainMap]:
    """A map for each recipe that was compared at two or more shares of users and of items.

    Noise that is drawn by popularity, or is another user's, makes no map: it would be another one.
    """
    groups: dict[tuple[str, str, str], dict[tuple[float, float], Comparison]] = {}
    for one in comparisons:
        noise = parse_noise(one.noise)
        uniform = noise.popularity_power == 0 and noise.noisy_item_source == "catalogue"
        if noise.noisy_user_share > 0 and uniform:
            point = (noise.noisy_user_share, noise.noisy_item_share)
            groups.setdefault((one.file, one.model, one.recipe), {})[point] = one
    maps = []
    for (file, model, recipe), points in groups.items():
        users, items = (tuple(sorted(set(axis))) for axis in zip(*points, strict=True))
        if len(users) > 1 and len(items) > 1:
            maps.append(GainMap(file, model, recipe, users, items, points))
    return maps


def map_table(one: GainMap) -> list[str]:
    """Lines of Markdown: the difference in per cent of the baseline, and its interval over
    seeds."""
    head = " | ".join(f"{share:.0%} of their items" for share in one.item_shares)
    lines = [
        f"**{one.title}**",
        "",
        f"| noisy users | {head} |",
        f"|---|{'---|' * len(one.item_shares)}",
    ]
    for users in one.user_shares:
        cells = [_cell(one.points.get((users, items))) for items in one.item_shares]
        lines.append(f"| {users:.0%} | {' | '.join(cells)} |")
    return lines


def _cell(point: Comparison | None) -> str:
    if point is None or not point.baseline_mean:
        return "-"
    percent = 100 / point.baseline_mean
    text = f"{point.difference * percent:+.1f} %"
    if point.seeds_low is None or point.seeds_high is None:
        return text
    low, high = point.seeds_low * percent, point.seeds_high * percent
    return f"{text} [{low:+.1f}, {high:+.1f}]"


def plot_gain_maps(path: str | Path, maps: Sequence[GainMap], *, metric: str) -> None:
    """A panel per map on one colour scale; bold where the interval over seeds leaves out zero.

    Args:
        path: file to write; its suffix decides the format.
        maps: at least one.
        metric: what the differences are of.

    Raises:
        ValueError: no maps. ImportError: no matplotlib.
    """
    if not maps:
        raise ValueError("maps must not be empty")
    figure = require_matplotlib()(figsize=(0.6 + 3.6 * len(maps), 3.6), layout="constrained")
    grids = [
        [
            [_percent(one.points.get((users, items))) for items in one.item_shares]
            for users in one.user_shares
        ]
        for one in maps
    ]
    known = [abs(value) for grid in grids for row in grid for value in row if value == value]
    largest = max([*known, 1e-9])
    for column, (one, grid) in enumerate(zip(maps, grids, strict=True), start=1):
        axis = figure.add_subplot(1, len(maps), column)
        image = axis.imshow(grid, cmap="RdBu", vmin=-largest, vmax=largest, origin="lower")
        for row, users in enumerate(one.user_shares):
            for place, items in enumerate(one.item_shares):
                point, value = one.points.get((users, items)), grid[row][place]
                if point is not None and value == value:
                    axis.text(
                        place,
                        row,
                        f"{value:+.1f} %",
                        ha="center",
                        va="center",
                        color="white" if abs(value) > 0.6 * largest else "black",
                        fontweight="bold" if _shown(point) else "normal",
                    )
        axis.set_xticks(range(len(one.item_shares)), [f"{share:.0%}" for share in one.item_shares])
        axis.set_yticks(range(len(one.user_shares)), [f"{share:.0%}" for share in one.user_shares])
        axis.set_xlabel("share of their items replaced")
        if column == 1:
            axis.set_ylabel("share of noisy users")
        axis.set_title(one.title, fontsize=9)
        if column == len(maps):
            figure.colorbar(image, ax=axis, label=f"{metric}: gain over the baseline, %")
    figure.savefig(path, dpi=150)


def _percent(point: Comparison | None) -> float:
    if point is None or not point.baseline_mean:
        return float("nan")
    return 100 * point.difference / point.baseline_mean


def _shown(point: Comparison) -> bool:
    low, high = point.seeds_low, point.seeds_high
    return low is not None and high is not None and (low > 0 or high < 0)
