"""Charts: places by hand, what tells series apart, and what markup may not do."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from atjt_ext.report.axis import Axis, nice_ticks
from atjt_ext.report.svg import Chart

X = Axis.of(0.0, 1.0, "across")
Y = Axis.of(0.0, 10.0, "up")


def chart(**options: object) -> Chart:
    return Chart("c", "a title", "a description", X, Y, **options)  # type: ignore[arg-type]


def drawn(one: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(str(one.svg()))


def classes(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [node for node in root.iter() if name in node.get("class", "").split()]


def path(node: ElementTree.Element) -> list[tuple[float, float]]:
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", node.get("d", ""))]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 0.433, [0.0, 0.1, 0.2, 0.3, 0.4]),
        (1.0, 14.0, [5.0, 10.0]),
        (-3.0, 8.0, [0.0, 5.0]),
        (0.00012, 0.00047, [0.0002, 0.0003, 0.0004]),
    ],
)
def test_ticks_are_round_numbers_within(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_ticks_need_room() -> None:
    with pytest.raises(ValueError, match=r"high must be above low=1\.0, got 1\.0"):
        nice_ticks(1.0, 1.0)


def test_ticks_say_as_many_digits_as_they_need() -> None:
    assert [text for _, text in Axis.of(0.0, 0.2, "").ticks][:3] == ["0.00", "0.05", "0.10"]
    assert [text for _, text in Axis.of(0.0, 0.3, "").ticks][:3] == ["0.0", "0.1", "0.2"]
    assert [text for _, text in Axis.of(0.0, 1.0, "", percent=True).ticks][1] == "20 %"
    assert [text for _, text in Axis.of(0.0, 0.02, "", percent=True).ticks][1] == "0.5 %"
    assert [text for _, text in Axis.of(0.0, 4000.0, "").ticks][1] == "1,000"
    # One epoch, one value: an axis all the same, with no half epochs.
    assert [text for _, text in Axis.whole(1, 1, "epoch").ticks] == ["1", "2"]
    same = Axis.of(3.0, 3.0, "")
    assert same.low < 3.0 < same.high


def test_points_lie_where_the_axes_say() -> None:
    one = chart()
    one.line([(0.0, 0.0), (0.5, 5.0), (1.0, 10.0)], 0)
    root = drawn(one)
    (axis,) = classes(root, "axis")
    left, right, bottom = (float(axis.get(name, "")) for name in ("x1", "x2", "y1"))
    grid = {round(float(node.get("y1", "")), 1) for node in classes(root, "grid")}
    start, middle, end = path(classes(root, "line")[0])
    assert start == (left, bottom)
    assert end == (right, min(grid))
    assert middle == pytest.approx(((left + right) / 2, (bottom + min(grid)) / 2), abs=0.1)


def test_rows_count_from_the_top() -> None:
    axis = Axis(-0.6, 1.6, "", ())
    one = Chart("c", "t", "d", X, axis, rows=["first", "a longer second"])
    one.marker((0.5, 0.0), 0)
    one.marker((0.5, 1.0), 1)
    root = drawn(one)
    (disc,) = root.iter("circle")
    (square,) = root.iter("rect")
    assert float(disc.get("cy", "")) < float(square.get("y", ""))
    labels = {node.text: float(node.get("y", "")) for node in classes(root, "tick")}
    assert labels["first"] == pytest.approx(float(disc.get("cy", "")) + 4, abs=0.1)


def test_series_differ_in_shape_as_well_as_in_colour() -> None:
    one = chart()
    one.marker((0.2, 1.0), 0)
    one.marker((0.2, 1.0), 1)
    root = drawn(one)
    assert [node.get("class") for node in root.iter("circle")] == ["mark s0"]
    assert [node.get("class") for node in root.iter("rect")] == ["mark s1"]


def test_a_histogram_stands_on_the_axis() -> None:
    one = chart()
    one.area([0.0, 0.5, 1.0], [10.0, 5.0], 1)
    corners = path(classes(drawn(one), "area")[0])
    assert len(corners) == 6
    bottom, top = corners[0][1], corners[1][1]
    assert corners[-1][1] == bottom
    assert corners[3][1] == pytest.approx((bottom + top) / 2, abs=0.1)
    with pytest.raises(ValueError, match="zip"):
        one.area([0.0, 1.0], [1.0, 2.0], 0)


def test_a_hundred_thousand_points_are_drawn_as_those_that_can_be_seen() -> None:
    one = chart()
    count = 100_000
    one.line([(i / count, 10.0 * i / count) for i in range(count + 1)], 0, markers=False)
    places = path(classes(drawn(one), "line")[0])
    assert len(places) < 400
    bare = chart()
    bare.line([(0.0, 0.0), (1.0, 10.0)], 0)
    ends = path(classes(drawn(bare), "line")[0])
    assert [places[0], places[-1]] == ends
    assert not list(drawn(one).iter("circle"))
    assert 2 <= len(list(drawn(bare).iter("circle"))) <= 16


def test_labels_at_the_ends_of_lines_never_overlap() -> None:
    labels = ["one", "two", "three"]
    one = chart(end_labels=labels)
    for series, label in enumerate(labels):
        one.line([(0.0, 5.0), (1.0, 0.1 * series)], series, label=label)
    root = drawn(one)
    heights = [float(n.get("y", "")) for n in classes(root, "label")]
    assert len(heights) == 3
    gaps = [b - a for a, b in zip(sorted(heights), sorted(heights)[1:], strict=False)]
    assert min(gaps) >= 12
    _, _, width, height = map(float, root.get("viewBox", "").split())
    assert max(heights) <= height
    ends = [float(n.get("x", "")) + 6 * len(n.text or "") for n in classes(root, "label")]
    assert max(ends) <= width


def test_title_and_description_are_there_for_screen_readers_and_escaped() -> None:
    hostile = "<b>&\"' {x} </svg><script>"
    one = Chart("n", hostile, hostile, Axis.of(0, 1, hostile), Axis.of(0, 1, hostile))
    one.legend(hostile, 0)
    root = drawn(one)
    assert root.get("role") == "img"
    names = (root.get("aria-labelledby") or "").split()
    by_id = {node.get("id"): node for node in root.iter() if node.get("id")}
    assert [by_id[name].tag for name in names] == ["title", "desc"]
    assert [by_id[name].text for name in names] == [hostile, hostile]
    assert not {node.tag for node in root.iter()} & {"b", "script"}
    assert sum(node.text == hostile for node in root.iter("text")) == 3


def test_drawing_twice_gives_the_same() -> None:
    one = chart()
    one.line([(0.0, 1.0), (1.0, 2.0)], 0, label="a")
    one.legend("b", 1, corner="below")
    assert one.svg() == one.svg()
