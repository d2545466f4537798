"""Axes with ticks at round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Axis", "nice_ticks"]


def nice_ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """About ``about`` multiples of 1, 2 or 5 times a power of ten in ``[low, high]``."""
    if not high > low:
        raise ValueError(f"high must be above low={low}, got {high}")
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from ``low`` to ``high`` with a label and ticks ``(value, text)``."""

    low: float
    high: float
    label: str
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """How far along the axis ``value`` lies: 0 at ``low``, 1 at ``high``."""
        return (value - self.low) / (self.high - self.low)

    @staticmethod
    def of(low: float, high: float, label: str, *, about: int = 5, percent: bool = False) -> Axis:
        """An axis with ticks at round numbers; if ``low == high``, 0.5 of room on either side."""
        if high <= low:
            low, high = low - 0.5, high + 0.5
        values = nice_ticks(low, high, about=about)
        step = values[1] - values[0] if len(values) > 1 else high - low
        digits = max(0, -math.floor(math.log10(step * (100 if percent else 1)) + 1e-9))
        texts = (f"{100 * v:.{digits}f} %" if percent else f"{v:,.{digits}f}" for v in values)
        return Axis(low, high, label, tuple(zip(values, texts, strict=True)))

    @staticmethod
    def whole(low: int, high: int, label: str) -> Axis:
        """An axis of whole numbers, at least 1 long."""
        axis = Axis.of(low, max(high, low + 1), label)
        ticks = tuple((v, f"{v:,.0f}") for v, _ in axis.ticks if v == round(v))
        return Axis(axis.low, axis.high, label, ticks)
