"""Intervals and corrections against scipy and against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from atjt_ext.evaluation.statistics import (
    crossed_bootstrap,
    holm,
    student_t_cdf,
    student_t_quantile,
    wilson_interval,
)


@pytest.mark.parametrize("degrees", [1, 2, 4, 4.3, 9, 30, 812.75, 1000, 100_000])
def test_students_t_is_scipys(degrees: float) -> None:
    truth = stats.t(degrees)
    for t in (-math.inf, -30.0, -2.0, -0.1, 0.0, 0.3, 1.0, 40.0, math.inf):
        assert student_t_cdf(t, degrees) == pytest.approx(truth.cdf(t), rel=1e-9, abs=1e-12)
    for probability in (1e-4, 0.005, 0.05, 0.5, 0.975, 0.995):
        wanted = pytest.approx(truth.ppf(probability), rel=1e-9, abs=1e-9)
        assert student_t_quantile(probability, degrees) == wanted


def test_the_bootstrap_of_one_seed_is_scipys_over_users() -> None:
    values = np.random.default_rng(2).normal(1.0, 2.0, (1, 400))
    wanted = stats.bootstrap(values, np.mean, n_resamples=5000, method="percentile", rng=0)
    assert crossed_bootstrap(values) == pytest.approx(wanted.confidence_interval, abs=0.02)


def test_seeds_that_disagree_widen_the_bootstrap() -> None:
    # Without any spread over users only the two seeds are resampled.
    values = np.array([[0.0] * 50, [1.0] * 50])
    assert crossed_bootstrap(values) == (0.0, 1.0)
    assert crossed_bootstrap(np.full((2, 50), 0.3)) == (pytest.approx(0.3), pytest.approx(0.3))


def test_the_same_users_again_are_no_more_users() -> None:
    values = np.random.default_rng(3).normal(1.0, 2.0, (1, 400))
    (low, high), again = crossed_bootstrap(values), crossed_bootstrap(np.repeat(values, 5, axis=0))
    assert again == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))


def test_holm_by_hand() -> None:  # scipy has no Holm
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []


def test_holm_rejects_what_its_definition_rejects() -> None:
    random = np.random.default_rng(0)
    for p_values in random.uniform(size=(50, 6)) ** 2:
        adjusted = np.array(holm(p_values.tolist()))
        for level in (0.01, 0.05, 0.2, 0.5):
            # Step down: reject the smallest p below level / m, then the next below level / (m - 1).
            smallest = np.sort(p_values)
            fails = smallest > level / np.arange(6, 0, -1)
            rejected = int(fails.argmax()) if fails.any() else 6
            assert np.array_equal(adjusted <= level, p_values < np.append(smallest, 2)[rejected])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crossed_bootstrap([[1.0]], resamples=0), "resamples must be at least 1, got 0"),
        (lambda: student_t_cdf(0.0, 0), "degrees must be at least 1, got 0"),
        (lambda: student_t_quantile(1.0, 3), r"probability must be in \(0, 1\), got 1.0"),
        (lambda: holm([1.2]), r"p_values must be in \[0, 1\], got 1.2"),
    ],
)
def test_what_cannot_be_tested_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(("found", "count"), [(5, 10), (1, 40), (6, 7), (0, 10), (1, 1), (0, 1)])
def test_the_interval_of_a_share_is_scipys(found: int, count: int) -> None:
    wanted = stats.binomtest(found, count).proportion_ci(method="wilson")
    assert wilson_interval(found / count, count) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize(
    ("share", "count", "message"),
    [(1.1, 3, r"share must be in \[0, 1\], got 1.1"), (0.5, 0, "count must be at least 1, got 0")],
)
def test_no_interval_of_no_share(share: float, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wilson_interval(share, count)
