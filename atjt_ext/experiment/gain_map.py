"""The map of the gain: gains by the share of noisy users and the share of their replaced items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .comparison import Comparison
from .spec import parse_noise

__all__ = ["Gain", "GainMap", "gain_maps", "map_table"]


@dataclass(frozen=True, slots=True)
class Gain:
    """Difference from the baseline in per cent, and its 95 % interval; none with one seed."""

    percent: float
    interval: tuple[float, float] | None

    @staticmethod
    def of(one: Comparison) -> Gain | None:
        """None if the baseline is 0."""
        if not one.baseline_mean:
            return None
        scale, low, high = 100 / one.baseline_mean, one.low, one.high
        if low is None or high is None or len(one.seeds) < 2:
            return Gain(one.difference * scale, None)
        return Gain(one.difference * scale, (low * scale, high * scale))

    def __str__(self) -> str:
        low_to_high = "" if self.interval is None else " [{:+.1f}, {:+.1f}]".format(*self.interval)
        return f"{self.percent:+.1f} %{low_to_high}"

    @property
    def shown(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


@dataclass(frozen=True, slots=True)
class GainMap:
    """The gains of one recipe under noise that is concentrated on some users."""

    title: str  # file, model and recipe
    user_shares: tuple[float, ...]  # shares of noisy users, ascending
    item_shares: tuple[float, ...]  # shares of their items replaced, ascending
    gains: tuple[tuple[Gain | None, ...], ...]  # a row per user share; None without a gain


def gain_maps(comparisons: Sequence[Comparison]) -> list[GainMap]:
    """A map per file, model and recipe that has two or more shares of users and of items.

    Only uniform noise counts: noise by popularity, or from other users, is another kind.
    """
    groups: dict[str, dict[tuple[float, float], Gain | None]] = {}
    for one in comparisons:
        noise = parse_noise(one.noise)
        uniform = noise.popularity_power == 0 and noise.noisy_item_source == "catalogue"
        if noise.noisy_user_share > 0 and uniform:
            title = f"{Path(one.file).name}, {one.model}, {one.recipe}"
            point = noise.noisy_user_share, noise.noisy_item_share
            groups.setdefault(title, {})[point] = Gain.of(one)
    maps = []
    for title, points in groups.items():
        users, items = (tuple(sorted(set(axis))) for axis in zip(*points, strict=True))
        if len(users) > 1 and len(items) > 1:
            gains = tuple(tuple(points.get((row, column)) for column in items) for row in users)
            maps.append(GainMap(title, users, items, gains))
    return maps


def map_table(one: GainMap) -> list[str]:
    """A map as lines of Markdown."""
    head = " | ".join(f"{share:.0%} of their items" for share in one.item_shares)
    lines = [
        f"**{one.title}**",
        "",
        f"| noisy users | {head} |",
        f"|---|{'---|' * len(one.item_shares)}",
    ]
    for users, row in zip(one.user_shares, one.gains, strict=True):
        cells = " | ".join("-" if gain is None else str(gain) for gain in row)
        lines.append(f"| {users:.0%} | {cells} |")
    return lines
