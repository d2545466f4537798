"""Paired tests and intervals against scipy and against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from atjt_ext.evaluation.statistics import (
    crossed_bootstrap,
    holm,
    paired_t,
    sign_flip_p,
    student_t_cdf,
    student_t_quantile,
    wilson_interval,
)


@pytest.mark.parametrize("degrees", [1, 2, 4, 9, 30, 1000, 100_000])
def test_students_t_is_scipys(degrees: int) -> None:
    truth = stats.t(degrees)
    for t in (-math.inf, -30.0, -2.0, -0.1, 0.0, 0.3, 1.0, 40.0, math.inf):
        assert student_t_cdf(t, degrees) == pytest.approx(truth.cdf(t), rel=1e-9, abs=1e-12)
    for probability in (1e-4, 0.005, 0.05, 0.5, 0.975, 0.995):
        wanted = pytest.approx(truth.ppf(probability), rel=1e-9, abs=1e-9)
        assert student_t_quantile(probability, degrees) == wanted


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("differences", [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0], [0.3, -0.2, 0.1]])
def test_a_paired_t_is_scipys(differences: list[float], confidence: float) -> None:
    found = paired_t(differences, confidence=confidence)
    wanted = stats.ttest_1samp(differences, 0.0)
    low, high = wanted.confidence_interval(confidence)
    assert found.mean == pytest.approx(np.mean(differences))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert found.p == pytest.approx(wanted.pvalue, abs=1e-10)
    assert found.count == len(differences)


def test_one_seed_gives_no_interval_and_equal_runs_no_difference() -> None:
    alone = paired_t([0.2])
    assert (alone.mean, alone.low, alone.high, alone.p) == (0.2, None, None, None)
    same = paired_t([0.0, 0.0, 0.0])
    assert (same.low, same.high, same.p) == (0.0, 0.0, 1.0)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    samples = random.normal(0.5, 2.0, (2000, 4))
    held = 0
    for sample in samples:
        found = paired_t(sample, confidence=0.9)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.5 <= found.high
    assert held / 2000 == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("values", [[[3.0, 1.0, -2.0], [1.0, 1.0, 0.0]], [[0.3, -1.0, 2.0, 0.7]]])
def test_p_of_few_users_is_that_of_scipys_exact_permutation_test(values: list[list[float]]) -> None:
    wanted = stats.permutation_test(
        (np.sum(values, axis=0),), np.sum, permutation_type="samples", vectorized=True
    )
    assert sign_flip_p(values) == wanted.pvalue


def test_users_without_a_difference_do_not_count() -> None:
    assert sign_flip_p([[1.0, 1.0, 0.0, 0.0]]) == 0.5
    assert sign_flip_p([[0.0, 0.0]]) == 1.0


def test_a_users_seeds_are_not_independent_evidence() -> None:
    once = np.array([[1.0, 1.0, 1.0, 1.0]])
    assert sign_flip_p(once) == sign_flip_p(np.repeat(once, 50, axis=0)) == 2 / 16


def test_many_users_are_sampled_and_p_is_never_zero() -> None:
    random = np.random.default_rng(1)
    noise = random.normal(0.0, 1.0, (2, 300))
    assert sign_flip_p(noise + 1.0, resamples=999) == 1 / 1000
    values = [sign_flip_p(random.normal(size=(1, 40)), resamples=400) for _ in range(400)]
    # Without a difference, p is uniform.
    assert np.mean(np.array(values) < 0.1) == pytest.approx(0.1, abs=0.05)


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
        (lambda: paired_t([]), r"differences must have 1 dimension and not be empty, got .*\[0\]"),
        (lambda: paired_t([math.nan]), "differences must be finite"),
        (lambda: paired_t([1.0, 2.0], confidence=1.0), r"confidence must be in \(0, 1\), got 1.0"),
        (lambda: sign_flip_p([1.0]), r"differences must have 2 dimensions .* got shape \[1\]"),
        (lambda: sign_flip_p([[1.0]], resamples=0), "resamples must be at least 1, got 0"),
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
