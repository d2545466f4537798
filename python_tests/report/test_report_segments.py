"""Groups of users and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from atjt_ext.evaluation.metrics import ranking_metrics
from atjt_ext.evaluation.statistics import crossed_bootstrap
from atjt_ext.report.segments import Ranks, difference_interval, segments

RANDOM = np.random.default_rng(0)
RUN = RANDOM.integers(1, 40, 200)
BASE = RUN + RANDOM.integers(0, 6, 200)
LENGTHS = RANDOM.integers(3, 30, 200)


def bounds(label: str) -> tuple[int, int]:
    low, _, high = label.replace(",", "").partition(" to ")
    return int(low), int(high or low)


@pytest.mark.parametrize("metric", ["NDCG@10", "HR@5", "MRR@20"])
def test_each_group_has_the_metric_of_its_users(metric: str) -> None:
    found = segments(LENGTHS, Ranks(RUN, BASE), metric)
    assert len(found) == 4
    for one in found:
        low, high = bounds(one.label)
        lengths = LENGTHS
        inside = (lengths >= low) & (lengths <= high)
        assert one.users == inside.sum()
        assert 35 <= one.users <= 65  # a quarter, but for ties
        of_run = ranking_metrics(torch.from_numpy(RUN[inside]))[metric]
        of_base = ranking_metrics(torch.from_numpy(BASE[inside]))[metric]
        assert one.value == pytest.approx(of_run)
        assert one.baseline == pytest.approx(of_base)
        assert one.interval[0] < one.value < one.interval[1]
        assert one.difference is not None
        assert one.difference[0] <= of_run - of_base <= one.difference[1]
    whole = ranking_metrics(torch.from_numpy(RUN))[metric]
    assert sum(one.users for one in found) == len(RUN)
    assert sum(one.users * one.value for one in found) / len(RUN) == pytest.approx(whole)


def test_users_alike_are_never_apart() -> None:
    values = np.array([5] * 7 + [9] + [1200] * 2)
    found = segments(values, Ranks(np.arange(1, 11)), "HR@5")
    assert [(one.label, one.users) for one in found] == [("5", 7), ("9 to 1,200", 3)]
    assert [one.value for one in found] == [pytest.approx(5 / 7), 0.0]
    alike = segments(np.full(10, 4), Ranks(np.arange(1, 11)), "HR@5")
    assert [(one.label, one.users) for one in alike] == [("4", 10)]


def test_without_a_baseline_there_is_no_difference() -> None:
    ranks = Ranks(RUN)
    assert difference_interval(ranks, "HR@5") is None
    assert {(one.baseline, one.difference) for one in segments(LENGTHS, ranks, "HR@5")} == {
        (None, None)
    }


def test_the_difference_is_of_each_user_with_itself() -> None:
    gains = (RUN <= 5).astype(float) - (BASE <= 5)
    expected = crossed_bootstrap(gains[None], resamples=1000)
    assert difference_interval(Ranks(RUN, BASE), "HR@5") == expected
    assert difference_interval(Ranks(RUN, RUN), "HR@5") == (0.0, 0.0)
