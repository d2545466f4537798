"""Paired tests and intervals for the difference between two recipes, over seeds and over users.

Two runs with the same seed share data, noise and random numbers, so every test takes their
differences: ``[S]`` over seeds, ``[U]`` over users, or ``[S, U]``. Needs numpy only, no scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference, its confidence interval and the p-value of "no difference".

    Attributes:
        mean: mean of the differences.
        low, high: the ends of the interval; None for a single observation.
        p: two-sided p-value; None for a single observation.
        count: number of observations.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    count: int

    def as_dict(self) -> dict[str, float | int | None]:
        return asdict(self)


def student_t_cdf(t: float, degrees: int) -> float:
    """P(T <= t) for Student's t with ``degrees`` >= 1 degrees of freedom, to about 1e-13.

    Raises:
        ValueError: ``degrees`` < 1.
    """
    if degrees < 1:
        raise ValueError(f"degrees must be at least 1, got {degrees}")
    if math.isinf(t):
        return float(t > 0)
    tail = 0.5 * _incomplete_beta(degrees / (degrees + t * t), 0.5 * degrees, 0.5)
    return 1.0 - tail if t > 0 else tail


def student_t_quantile(probability: float, degrees: int) -> float:
    """The t with ``student_t_cdf(t, degrees) == probability``, by bisection.

    Raises:
        ValueError: ``probability`` outside (0, 1), or ``degrees`` < 1.
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability must be in (0, 1), got {probability}")
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -student_t_quantile(1.0 - probability, degrees)
    low, high = 0.0, 1.0
    while student_t_cdf(high, degrees) < probability:
        low, high = high, 2.0 * high
    while low < (middle := 0.5 * (low + high)) < high:
        if student_t_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return middle


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b): its continued fraction (DLMF 8.17.22) by
    Lentz's method."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):  # the fraction converges slowly there
        return 1.0 - _incomplete_beta(1.0 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) - math.log(a)
    log_front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    c, d, value = 1.0, 0.0, 1.0
    for n in range(1, 1000):
        m = n // 2
        term = -(a + m) * (a + b + m) * x if n % 2 else m * (b - m) * x
        term /= (a + n - 1.0) * (a + n)
        d = 1.0 / (1.0 + term * d)
        c = 1.0 + term / c
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return math.exp(log_front) / value


def paired_t(differences: npt.ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Mean of paired differences ``[S]`` with its t interval and two-sided t test.

    A single difference gives a mean without interval and p. Without any spread the interval is one
    point, and p is 0 (by the formula) or, if all differences are 0, 1.

    Raises:
        ValueError: no differences, a difference that is not finite, or ``confidence`` outside
            (0, 1).
    """
    values = _finite("differences", differences, 1)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    count, mean = values.size, float(values.mean())
    if count == 1:
        return Interval(mean, None, None, None, 1)
    error = float(values.std(ddof=1)) / math.sqrt(count)
    reach = student_t_quantile(0.5 + 0.5 * confidence, count - 1) * error
    p = 2.0 * student_t_cdf(-abs(mean) / error, count - 1) if error else float(mean == 0.0)
    return Interval(mean, mean - reach, mean + reach, p, count)


def crossed_bootstrap(
    differences: npt.ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of ``differences [S, U]``: the same users under every seed.

    Every resample draws seeds with replacement, and one set of users with replacement for all of
    them (the pigeonhole bootstrap: Owen, Ann. Appl. Stat. 1, 2007). More seeds therefore do not
    narrow the spread over users. With one seed, only users are resampled.

    Raises:
        ValueError: no differences, a difference that is not finite, ``confidence`` outside (0, 1)
            or ``resamples`` < 1.
    """
    values = _finite("differences", differences, 2)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    seeds, users = values.shape
    random = np.random.default_rng(seed)
    means = np.empty(resamples)
    for index in range(resamples):
        seed_counts = np.bincount(random.integers(0, seeds, size=seeds), minlength=seeds)
        user_counts = np.bincount(random.integers(0, users, size=users), minlength=users)
        means[index] = seed_counts @ values @ user_counts / values.size
    tail = 0.5 * (1.0 - confidence)
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def users_interval(values: npt.ArrayLike) -> tuple[float, float]:
    """95 % interval of the mean of ``values [U]`` with users resampled. It holds for the trained
    models at hand: models trained with another seed have another interval."""
    return crossed_bootstrap(np.asarray(values)[None], resamples=1000)


def sign_flip_p(differences: npt.ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of "users' differences ``[S, U]`` are symmetric about zero".

    The test flips a user's sign for all seeds at once, because the differences of one user are not
    independent. With at most 12 nonzero users it tries all signs and p is exact. Beyond, p is a
    Monte Carlo estimate ``(1 + hits) / (1 + resamples)``, so at least ``1 / (1 + resamples)``.

    The result holds for the trained models at hand: with few seeds also use :func:`paired_t`.

    Raises:
        ValueError: no differences, a difference that is not finite, or ``resamples`` < 1.
    """
    values = _finite("differences", differences, 2)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    per_user = values.sum(axis=0)
    per_user = per_user[per_user != 0.0]
    # Sums in another order differ in the last bits, but have to tie with the observed sum.
    observed = abs(float(per_user.sum())) * (1.0 - 1e-12)
    if not per_user.size:
        return 1.0
    if per_user.size <= 12:
        signs = 1 - 2 * ((np.arange(2**per_user.size)[:, None] >> np.arange(per_user.size)) & 1)
        return float((np.abs(signs @ per_user) >= observed).mean())
    random = np.random.default_rng(seed)
    hits = 0
    chunk = max(1, 2**22 // per_user.size)
    for first in range(0, resamples, chunk):
        rows = min(chunk, resamples - first)
        flips = random.integers(0, 2, (rows, per_user.size), dtype=np.int8)
        sums = 2.0 * (flips @ per_user) - per_user.sum()
        hits += int((np.abs(sums) >= observed).sum())
    return (1 + hits) / (1 + resamples)


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval (J. Am. Stat. Assoc. 22, 1927) for a ``share`` of ``count`` cases.

    Unlike an interval from the standard error, it has a width at shares of 0 and 1.

    Raises:
        ValueError: ``share`` outside [0, 1], or ``count`` < 1.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be in [0, 1], got {share}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    z = 1.959963984540054
    shrunk = 1.0 / (1.0 + z * z / count)
    centre = shrunk * (share + 0.5 * z * z / count)
    reach = shrunk * z * math.sqrt(share * (1.0 - share) / count + 0.25 * (z / count) ** 2)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values after Holm's step-down adjustment (Scand. J. Statist. 6, 1979), which bounds the
    chance of any false alarm among the comparisons. None stays None and does not count.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    known = [(p, index) for index, p in enumerate(p_values) if p is not None]
    for p, _ in known:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p_values must be in [0, 1], got {p}")
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(sorted(known)):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[index] = largest
    return adjusted


def shown_p(p: float | None) -> str:
    """A p-value as text: ``< 0.001`` instead of zero, ``-`` for None."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _finite(name: str, values: npt.ArrayLike, dimensions: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or not array.size:
        wanted = f"{dimensions} dimension{'s' if dimensions > 1 else ''} and not be empty"
        raise ValueError(f"{name} must have {wanted}, got shape {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array
