"""How often tests find a difference where there is none: simulated NDCG@10 of two equal recipes.

``python python_tests/helpers/false_positives.py`` prints the table of docs/evidence.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import special, stats

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from atjt_ext.evaluation.statistics import clustered_mean

Floats = npt.NDArray[np.float64]

USERS = 400
# With five seeds, V_user is 1.6 and 2.6 times V_residual (`default` and R-CE against equal weights
# on MovieLens-100K: 1.6 and 2.9), V_seed 1.0, 1.6, 2.7 and 16 times (there: 0.3 and 2.6).
USER_EFFECTS = {"moderate": 0.3, "large": 0.5, "none": 0.0}
SEED_EFFECTS = {"none": 0.0, "small": 0.06, "moderate": 0.1, "large": 0.3}
_GAINS = np.concatenate([[0.0], 1.0 / np.log2(2.0 + np.arange(10)), [0.0]])  # by rank, 11 is later


def equal_recipes(
    random: np.random.Generator,
    seeds: int,
    *,
    seed_effect: float,
    user_effect: float,
    users: int = USERS,
) -> Floats:
    """Differences ``[seeds, users]`` in NDCG@10 between two recipes of equal quality.

    15 % of the targets are among the first ten, as on MovieLens-100K, so most differences are 0. A
    user is easy or hard for both recipes. Effects are standard deviations of normal variables, on
    the scale on which users differ by 1: a seed favours one recipe for all users, a user favours
    one recipe under all seeds. Both favour either recipe equally, so the true mean is 0.
    """

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        return random.standard_normal(shape, dtype=np.float32)

    spread = np.float32(0.5)
    easy = normal(users)
    favour = np.float32(seed_effect) * normal(seeds, 1) + np.float32(user_effect) * normal(users)
    scale = np.float32(np.sqrt(1.0 + spread**2 + 0.25 * user_effect**2))
    gains = []
    for sign in (np.float32(0.5), np.float32(-0.5)):
        level = (easy + sign * favour + spread * normal(seeds, users)) / scale
        rank = 1 + (1000 * special.ndtr(-level) ** np.float32(2.43)).astype(np.int64)
        gains.append(_GAINS[np.minimum(rank, 11)])
    return gains[0] - gains[1]


def false_positives(
    p_value: Callable[[Floats], float | None],
    seeds: int,
    repetitions: int,
    *,
    seed_effect: float,
    user_effect: float,
) -> float:
    """The share of ``repetitions`` in which ``p_value`` of equal recipes is below 0.05."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(repetitions):
        p = p_value(equal_recipes(random, seeds, seed_effect=seed_effect, user_effect=user_effect))
        found += p is not None and p < 0.05
    return found / repetitions


def one_test(differences: Floats) -> float | None:
    """p of the test that decides in `atjt experiment`."""
    return clustered_mean(differences).p


def earlier_pair(differences: Floats) -> float:
    """The larger p of two t tests, over seeds and over users, both of which had to reject."""
    pair = (stats.ttest_1samp(differences.mean(axis=axis), 0.0).pvalue for axis in (0, 1))
    return float(max(pair))


def _rows(repetitions: int) -> Iterator[str]:
    tests = [(one_test, count, "") for count in (3, 4, 5, 10)]
    tests += [(earlier_pair, count, ", earlier pair") for count in (5, 10)]
    heads = " | ".join(f"{count} seeds{note}" for _, count, note in tests)
    yield f"| user effect | seed effect | {heads} |"
    yield f"|---|---|{'---|' * len(tests)}"
    for user_name, user_effect in USER_EFFECTS.items():
        for seed_name, seed_effect in SEED_EFFECTS.items():
            effects = {"seed_effect": seed_effect, "user_effect": user_effect}
            shares = (false_positives(p, count, repetitions, **effects) for p, count, _ in tests)
            yield f"| {user_name} | {seed_name} | {' | '.join(f'{x:.3f}' for x in shares)} |"


if __name__ == "__main__":
    for row in _rows(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000):
        print(row, flush=True)
