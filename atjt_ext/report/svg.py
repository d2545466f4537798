"""Charts as inline SVG without scripts, fonts or colours.

``style.css`` of the page sets the colours, so one chart serves light and dark screens and paper.
Dashes and markers distinguish the series without colour. A chart is about as wide as a telephone,
so that a browser hardly scales its text down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from .axis import Axis

__all__ = ["Chart"]

Point = tuple[float, float]

WIDTH, HEIGHT = 360.0, 244.0
_LEFT, _TOP, _BOTTOM = 52.0, 14.0, 44.0
_LETTER = 6.4  # approximate width of a letter at the page's 12 px
_LINE = 15.0
_MARKERS = 16  # most markers on a line


class Chart:
    """A chart between two axes, ``x`` and ``y``; each method adds one element.

    Args:
        name: prefix of the element ids; unique in the page.
        title: read by screen readers.
        description: the content in words, read by screen readers.
        rows: row labels in place of the ticks of ``y``; ``y`` then counts rows downwards from 0.
        end_labels: the labels that lines will get, to reserve room at their right.
    """

    def __init__(
        self,
        name: str,
        title: str,
        description: str,
        x: Axis,
        y: Axis,
        *,
        rows: Sequence[str] = (),
        end_labels: Sequence[str] = (),
    ) -> None:
        self.name, self.title, self.description = name, title, description
        self._x, self._y, self._rows = x, y, rows
        self._left = max([_LEFT, *(12.0 + _LETTER * len(text) for text in rows)])
        self._right = WIDTH - max([14.0, *(15.0 + _LETTER * len(text) for text in end_labels)])
        self._height = HEIGHT if not rows else _TOP + _BOTTOM + 34.0 * len(rows)
        self._parts: list[Markup] = []
        self._ends: list[tuple[float, float, str, int]] = []
        self._legend: list[tuple[str, int, bool]] = []
        self._corner = "bottom-right"

    # ---- coordinates ------------------------------------------------------------------------

    def _to_x(self, value: float) -> float:
        return self._left + self._x.share(value) * (self._right - self._left)

    def _to_y(self, value: float) -> float:
        share = self._y.share(value)
        if self._rows:
            share = 1.0 - share
        return self._height - _BOTTOM - share * (self._height - _BOTTOM - _TOP)

    def _at(self, point: Point) -> Point:
        return self._to_x(point[0]), self._to_y(point[1])

    def _add(self, markup: str, /, **values: object) -> None:
        self._parts.append(Markup(markup).format(**values))

    # ---- elements ---------------------------------------------------------------------------

    def line(
        self, points: Sequence[Point], series: int, *, label: str = "", markers: bool = True
    ) -> None:
        """A line with at most 16 markers and ``label`` at its end."""
        if not points:
            return
        places = _thinned([self._at(point) for point in points])
        self._add('<path class="line s{series}" d="{path}"/>', series=series, path=_path(places))
        if markers:
            every = max(1, math.ceil(len(points) / _MARKERS))
            for point in points[::every]:
                self.marker(point, series)
        if label:
            self._ends.append((*places[-1], label, series))

    def area(self, edges: Sequence[float], heights: Sequence[float], series: int) -> None:
        """The outline of a histogram: ``heights [n]`` between ``edges [n + 1]``."""
        corners = [(edges[0], 0.0)]
        for low, high, height in zip(edges[:-1], edges[1:], heights, strict=True):
            corners += [(low, height), (high, height)]
        corners.append((edges[-1], 0.0))
        path = _path([self._at(corner) for corner in corners])
        self._add('<path class="area line s{series}" d="{path}"/>', series=series, path=path)

    def marker(self, point: Point, series: int) -> None:
        """A disc for series 0, a hollow square for series 1."""
        self._marker(self._at(point), series)

    def ring(self, point: Point, series: int) -> None:
        """A ring around a marker, to highlight it."""
        x, y = self._at(point)
        ring = '<circle class="ring s{series}" cx="{x:.1f}" cy="{y:.1f}" r="7.5"/>'
        self._add(ring, series=series, x=x, y=y)

    def _marker(self, place: Point, series: int) -> None:
        x, y = place
        if series == 0:
            self._add('<circle class="mark s0" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>', x=x, y=y)
        else:
            square = (
                '<rect class="mark s{series}" x="{x:.1f}" y="{y:.1f}" width="6.4" height="6.4"/>'
            )
            self._add(square, series=series, x=x - 3.2, y=y - 3.2)

    def horizontal_interval(self, low: float, high: float, y: float) -> None:
        """A horizontal interval at height ``y``."""
        self._straight((low, y), (high, y), "interval")

    def vertical_interval(self, x: float, low: float, high: float) -> None:
        """A vertical interval at ``x``."""
        self._straight((x, low), (x, high), "interval")

    def reference(self, start: Point, end: Point) -> None:
        """A dotted reference line."""
        self._straight(start, end, "reference")

    def _straight(self, start: Point, end: Point, kind: str) -> None:
        (x1, y1), (x2, y2) = self._at(start), self._at(end)
        self._add(
            '<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>',
            kind=kind, x1=x1, y1=y1, x2=x2, y2=y2,
        )  # fmt: skip

    def legend(
        self, label: str, series: int, *, line: bool = True, corner: str = "bottom-right"
    ) -> None:
        """A legend entry: a sample of the line, or of the marker, and ``label``.

        The last call's ``corner`` places the legend: ``bottom-right`` or ``top-left`` in the chart,
        or ``below`` it with the entries side by side.
        """
        self._legend.append((label, series, line))
        self._corner = corner

    def _text(self, x: float, y: float, text: str, kind: str, anchor: str = "start") -> None:
        self._add(
            '<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>',
            kind=kind, x=x, y=y, anchor=anchor, text=text,
        )  # fmt: skip

    # ---- output -----------------------------------------------------------------------------

    def svg(self) -> Markup:
        """The ``<svg>`` element, with title and description for screen readers."""
        drawn, self._parts = self._parts, []
        self._frame()
        self._parts += drawn
        for y, (x, _, text, series) in _spread(self._ends, self._height - _BOTTOM):
            self._text(x + 11.0, y + 4.0, text, f"label t{series}")
        self._draw_legend()
        body, self._parts = Markup("").join(self._parts), drawn
        return Markup(
            '<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
            'aria-labelledby="{name}-title {name}-desc">'
            '<title id="{name}-title">{title}</title><desc id="{name}-desc">{description}</desc>'
            "{body}</svg>"
        ).format(
            width=WIDTH,
            height=self._height + (22.0 if self._legend and self._corner == "below" else 0.0),
            name=self.name,
            title=self.title,
            description=self.description,
            body=body,
        )

    def _frame(self) -> None:
        bottom = self._height - _BOTTOM
        for value, text in self._x.ticks:
            x = self._to_x(value)
            if self._rows:
                self._straight((value, self._y.low), (value, self._y.high), "grid")
            self._text(x, bottom + 17.0, text, "tick", "middle")
        for value, text in self._y.ticks:
            if not self._rows:
                self._straight((self._x.low, value), (self._x.high, value), "grid")
                self._text(self._left - 7.0, self._to_y(value) + 4.0, text, "tick", "end")
        for row, text in enumerate(self._rows):
            self._text(self._left - 8.0, self._to_y(row) + 4.0, text, "tick", "end")
        if not self._rows:
            self._straight((self._x.low, self._y.low), (self._x.high, self._y.low), "axis")
        middle = (self._left + self._right) / 2.0
        self._text(middle, self._height - 8.0, self._x.label, "axis-label", "middle")
        if self._y.label:
            centre = (_TOP + bottom) / 2.0
            turned = (
                '<text class="axis-label" text-anchor="middle" '
                'transform="translate(11 {centre:.1f}) rotate(-90)">{text}</text>'
            )
            self._add(turned, centre=centre, text=self._y.label)

    def _draw_legend(self) -> None:
        if not self._legend:
            return
        widths = [34.0 + _LETTER * len(label) for label, *_ in self._legend]
        x, y = {
            "below": (12.0, self._height + 12.0),
            "top-left": (self._left + 12.0, _TOP + 12.0),
            "bottom-right": (
                self._right - max(widths),
                self._height - _BOTTOM - _LINE * len(widths) + 2.0,
            ),
        }[self._corner]
        for (label, series, line), width in zip(self._legend, widths, strict=True):
            if line:
                sample = '<path class="line s{series}" d="M{x:.1f} {y:.1f}h22"/>'
                self._add(sample, series=series, x=x, y=y)
            else:
                self._marker((x + 14.0, y), series)
            self._text(x + 27.0, y + 4.0, label, f"label t{series}")
            x, y = (x + width, y) if self._corner == "below" else (x, y + _LINE)


def _path(places: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _thinned(places: Sequence[Point]) -> list[Point]:
    """Drops places within 1 px of the last one kept; a ROC curve has 100,000."""
    kept = [places[0]]
    for place in places[1:-1]:
        if abs(place[0] - kept[-1][0]) >= 1.0 or abs(place[1] - kept[-1][1]) >= 1.0:
            kept.append(place)
    return [*kept, places[-1]] if len(places) > 1 else kept


def _spread(
    ends: Sequence[tuple[float, float, str, int]], bottom: float
) -> list[tuple[float, tuple[float, float, str, int]]]:
    """The labels and their heights, moved apart so that none overlap."""
    placed: list[tuple[float, tuple[float, float, str, int]]] = []
    for end in sorted(ends, key=lambda end: end[1]):
        y = end[1] if not placed else max(end[1], placed[-1][0] + _LINE)
        placed.append((y, end))
    over = max(0.0, placed[-1][0] - bottom) if placed else 0.0
    return [(y - over, end) for y, end in placed]
