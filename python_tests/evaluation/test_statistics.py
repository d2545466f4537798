"""Paired tests against values from tables and by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from atjt_ext.evaluation.statistics import (
    crossed_bootstrap,
    holm,
    paired_t,
    sign_flip_p,
    student_t_cdf,
    student_t_quantile,
    wilson_interval,
)


# From printed tables of Student's t.
@pytest.mark.parametrize(
    ("probability", "degrees", "t"),
    [
        (0.975, 1, 12.706204736),
        (0.975, 2, 4.302652730),
        (0.975, 4, 2.776445105),
        (0.95, 9, 1.833112933),
        (0.995, 30, 2.749995654),
        (0.975, 1000, 1.962339080),
    ],
)
def test_quantiles_are_those_of_the_tables(probability: float, degrees: int, t: float) -> None:
    assert student_t_quantile(probability, degrees) == pytest.approx(t, abs=5e-9)
    assert student_t_quantile(1 - probability, degrees) == pytest.approx(-t, abs=5e-9)
    assert student_t_cdf(t, degrees) == pytest.approx(probability, abs=1e-10)


@pytest.mark.parametrize("t", [-30.0, -2.0, -0.1, 0.0, 0.3, 1.0, 40.0])
def test_two_distributions_have_closed_forms(t: float) -> None:
    assert student_t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-12)
    assert student_t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-12)


def test_a_t_interval_by_hand() -> None:
    # mean 3, sample variance 2.5, so an error of sqrt(2.5 / 5) and t = 3 / sqrt(0.5) = 4.2426.
    found = paired_t([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.low == pytest.approx(3 - 2.776445105 * math.sqrt(0.5), abs=1e-8)
    assert found.high == pytest.approx(3 + 2.776445105 * math.sqrt(0.5), abs=1e-8)
    assert found.p == pytest.approx(0.013236, abs=1e-5)
    assert found.count == 5


def test_two_seeds_are_hardly_evidence() -> None:
    # One degree of freedom is a Cauchy distribution: t = 3 gives p = 1 - 2 atan(3) / pi.
    assert paired_t([1.0, 2.0]).p == pytest.approx(1 - 2 * math.atan(3) / math.pi, abs=1e-12)


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


def test_signs_of_few_users_are_all_tried() -> None:
    values = np.array([[3.0, 1.0, -2.0], [1.0, 1.0, 0.0]])
    per_user = values.sum(0)  # 4, 2, -2
    sums = [abs(np.dot(signs, per_user)) for signs in itertools.product((1, -1), repeat=3)]
    by_hand = np.mean([total >= 4 for total in sums])
    assert sign_flip_p(values) == by_hand == 0.75


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
    # Under no difference p is uniform.
    assert np.mean(np.array(values) < 0.1) == pytest.approx(0.1, abs=0.05)


def test_the_bootstrap_of_one_seed_is_that_of_its_users() -> None:
    values = np.random.default_rng(2).normal(1.0, 2.0, (1, 400))
    low, high = crossed_bootstrap(values)
    reach = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - reach, abs=0.03)
    assert high == pytest.approx(values.mean() + reach, abs=0.03)


def test_seeds_that_disagree_widen_the_bootstrap() -> None:
    # No spread over users at all: the interval is that of the mean of two seeds, drawn again.
    values = np.array([[0.0] * 50, [1.0] * 50])
    assert crossed_bootstrap(values) == (0.0, 1.0)
    assert crossed_bootstrap(np.full((2, 50), 0.3)) == (pytest.approx(0.3), pytest.approx(0.3))


def test_the_same_users_again_are_no_more_users() -> None:
    values = np.random.default_rng(3).normal(1.0, 2.0, (1, 400))
    (low, high), again = crossed_bootstrap(values), crossed_bootstrap(np.repeat(values, 5, axis=0))
    assert again == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []


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


def test_the_interval_of_a_share_solves_wilsons_equation() -> None:
    # Its ends are the shares from which the one seen is 1.96 standard errors away.
    for share, count in ((0.5, 10), (0.03, 40), (0.9, 7)):
        for end in wilson_interval(share, count):
            distance = abs(share - end) / math.sqrt(end * (1 - end) / count)
            assert distance == pytest.approx(1.959964, abs=1e-6)


def test_nothing_seen_in_few_cases_may_still_be_common() -> None:
    assert wilson_interval(0.0, 10) == (0.0, pytest.approx(0.27754, abs=1e-5))
    assert wilson_interval(1.0, 1) == (pytest.approx(0.20655, abs=1e-5), 1.0)


@pytest.mark.parametrize(
    ("share", "count", "message"),
    [(1.1, 3, r"share must be in \[0, 1\], got 1.1"), (0.5, 0, "count must be at least 1, got 0")],
)
def test_no_interval_of_no_share(share: float, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wilson_interval(share, count)
