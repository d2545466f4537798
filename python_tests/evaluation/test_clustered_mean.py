"""The mean difference with variance clustered by seed and by user, and how often it is wrong.

ATJT_FAULTS=long simulates 10,000 experiments per case, and more cases.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from atjt_ext.evaluation.statistics import clustered_mean
from helpers.commands import LONG
from helpers.false_positives import equal_recipes, false_positives, one_test

REPETITIONS = 10_000 if LONG else 1_000


def by_definition(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Variances and degrees of freedom with a loop for every sum."""
    seeds, users = values.shape
    count = seeds * users
    mean = sum(values[s, u] for s in range(seeds) for u in range(users)) / count
    of_seed = [sum(values[s, u] for u in range(users)) / users for s in range(seeds)]
    of_user = [sum(values[s, u] for s in range(seeds)) / seeds for u in range(users)]
    v_seed = sum((users * (one - mean)) ** 2 for one in of_seed) / count**2 * seeds / (seeds - 1)
    v_user = sum((seeds * (one - mean)) ** 2 for one in of_user) / count**2 * users / (users - 1)
    v_residual = 0.0
    for s in range(seeds):
        for u in range(users):
            v_residual += (values[s, u] - of_seed[s] - of_user[u] + mean) ** 2
    v_residual /= (seeds - 1) * (users - 1) * count
    v = max(v_seed + v_user - v_residual, v_seed, v_user)
    differing = sum(any(values[s, u] for s in range(seeds)) for u in range(users))
    factor = sorted([0.0, 2.0 * (v_seed / v_residual - 1.0), 1.0])[1] if seeds >= 5 else 2.0
    degrees = v**2 / (factor * v_seed**2 / (seeds - 1) + v_user**2 / (differing - 1))
    degrees = max(degrees, min(seeds, differing) - 1) if seeds > 2 else 1
    return {
        "mean": mean,
        "seed_error": math.sqrt(v_seed),
        "user_error": math.sqrt(v_user),
        "error": math.sqrt(v),
        "degrees": degrees,
        "p": 2 * stats.t.sf(abs(mean) / math.sqrt(v), degrees),
    }


@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("effects", [(0.0, 0.0), (0.4, 0.0), (0.0, 1.0), (0.1, 0.5), (0.2, 0.5)])
def test_it_is_its_definition(seeds: int, effects: tuple[float, float]) -> None:
    random = np.random.default_rng(seeds)
    seed_effect, user_effect = effects
    values = equal_recipes(
        random, seeds, seed_effect=seed_effect, user_effect=user_effect, users=60
    )
    found = clustered_mean(values)
    for name, wanted in by_definition(values).items():
        assert getattr(found, name) == pytest.approx(wanted, rel=1e-9), name
    assert (found.seeds, found.users) == (seeds, 60)
    assert found.error is not None
    assert found.seed_error is not None
    assert found.user_error is not None
    assert found.error >= max(found.seed_error, found.user_error)


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_the_interval_excludes_0_exactly_when_the_test_rejects(level: float) -> None:
    random = np.random.default_rng(1)
    verdicts = set()
    for _ in range(100):
        values = random.normal(0.1, 0.5, (5, 30)) + random.normal(0.0, 0.1, (5, 1))
        found = clustered_mean(values)
        low, high = found.interval(1.0 - level)  # type: ignore[misc]
        assert found.p is not None
        rejected = found.p < level
        assert rejected == (low > 0 or high < 0)
        assert low + high == pytest.approx(2.0 * found.mean)
        verdicts.add(rejected)
    assert verdicts == {True, False}


def test_without_differences_between_users_it_is_the_t_test_over_seeds() -> None:
    of_seed = np.array([0.3, -0.1, 0.2, 0.4, 0.1, 0.25])
    found = clustered_mean(np.repeat(of_seed[:, None], 50, axis=1))
    wanted = stats.ttest_1samp(of_seed, 0.0)
    assert found.degrees == pytest.approx(5.0)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.interval() == pytest.approx(tuple(wanted.confidence_interval()))


def test_without_differences_between_seeds_it_is_the_t_test_over_users() -> None:
    of_user = np.random.default_rng(2).normal(0.1, 1.0, 200)
    found = clustered_mean(np.repeat(of_user[None], 6, axis=0))
    wanted = stats.ttest_1samp(of_user, 0.0)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.interval() == pytest.approx(tuple(wanted.confidence_interval()))


def test_one_seed_covers_users_only() -> None:
    of_user = np.random.default_rng(3).normal(0.1, 1.0, 200)
    found = clustered_mean(of_user[None])
    assert (found.seeds, found.seed_error, found.covers_seeds) == (1, None, False)
    assert found.p == pytest.approx(stats.ttest_1samp(of_user, 0.0).pvalue)
    assert clustered_mean(np.stack([of_user, of_user])).covers_seeds


def test_one_user_covers_seeds_only() -> None:
    of_seed = [[0.3], [-0.1], [0.2], [0.4]]
    found = clustered_mean(of_seed)
    assert (found.users, found.user_error) == (1, None)
    assert found.p == pytest.approx(stats.ttest_1samp(np.ravel(of_seed), 0.0).pvalue)
    alone = clustered_mean([[0.3]])
    assert (alone.mean, alone.error, alone.p, alone.interval()) == (0.3, None, None, None)


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.25, 0.0)])
def test_differences_without_spread(value: float, p: float) -> None:
    found = clustered_mean(np.full((5, 8), value))
    assert (found.error, found.p, found.interval()) == (0.0, p, (value, value))


def test_users_without_a_difference_are_no_evidence_about_the_spread() -> None:
    """Four users of sixty gain the same. The exact sign-flip test over them has p = 2 / 2**4."""
    values = np.zeros((5, 60))
    values[:, :4] = 1.0
    found = clustered_mean(values)
    assert found.p == pytest.approx(2 / 2**4, abs=0.02)
    more = clustered_mean(np.repeat(values, 20, axis=1))  # 80 of 1200 users
    assert more.p is not None
    assert more.p < 1e-6


def test_the_same_users_again_are_no_more_evidence() -> None:
    values = np.random.default_rng(4).normal(0.1, 1.0, (1, 400))
    once, again = clustered_mean(values), clustered_mean(np.repeat(values, 8, axis=0))
    assert again.error == pytest.approx(once.error)


@pytest.mark.parametrize("user_effect", [0.3, 0.5] if LONG else [0.4])
@pytest.mark.parametrize("seed_effect", [0.0, 0.06, 0.1, 0.3] if LONG else [0.0, 0.3])
@pytest.mark.parametrize("seeds", [5, 10])
def test_equal_recipes_are_found_different_at_the_level(
    seeds: int, seed_effect: float, user_effect: float
) -> None:
    """Between 0.035 and 0.06, give or take three standard errors of the simulation.

    Without an effect of seeds the test is a little conservative, because V is never below V_user.
    """
    found = false_positives(
        one_test,
        seeds,
        REPETITIONS,
        seed_effect=seed_effect,
        user_effect=user_effect,
    )
    errors = [math.sqrt(share * (1 - share) / REPETITIONS) for share in (0.035, 0.06)]
    assert 0.035 - 3 * errors[0] <= found <= 0.06 + 3 * errors[1]


@pytest.mark.parametrize("seed_effect", [0.0, 0.3] if LONG else [0.3])
@pytest.mark.parametrize(("seeds", "user_effect"), [(3, 0.6), (4, 0.3), (5, 0.0), (10, 0.0)])
def test_few_seeds_or_no_user_effect_err_on_the_safe_side(
    seeds: int, user_effect: float, seed_effect: float
) -> None:
    found = false_positives(
        one_test,
        seeds,
        REPETITIONS,
        seed_effect=seed_effect,
        user_effect=user_effect,
    )
    assert found <= 0.06 + 3 * math.sqrt(0.06 * 0.94 / REPETITIONS)


def test_the_simulation_tells_a_wrong_test_from_a_right_one() -> None:
    """A test over users alone is liberal if seeds vary, seeds - 1 degrees conservative if not."""
    over_users = false_positives(
        lambda values: float(stats.ttest_1samp(values.mean(axis=0), 0.0).pvalue),
        5,
        400,
        seed_effect=0.3,
        user_effect=0.3,
    )
    assert over_users > 0.3

    def with_four_degrees(values: npt.NDArray[np.float64]) -> float:
        found = clustered_mean(values)
        assert found.error is not None
        return float(2.0 * stats.t.sf(abs(found.mean) / found.error, 4))

    assert false_positives(with_four_degrees, 5, 400, seed_effect=0.0, user_effect=0.3) < 0.025


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clustered_mean([1.0]), r"differences must have 2 dimensions .* got shape \[1\]"),
        (lambda: clustered_mean([[math.nan]]), "differences must be finite"),
        (
            lambda: clustered_mean([[1.0, 2.0]]).interval(1.0),
            r"confidence must be in \(0, 1\), got 1.0",
        ),
    ],
)
def test_what_cannot_be_tested_is_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
