"""A test and intervals for the difference between two recipes, over seeds and users.

Two runs with the same seed share data, noise and random numbers, so the test takes their
differences ``[S, U]``: a row per seed, a column per user. Needs numpy only, no scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def student_t_cdf(t: float, degrees: float) -> float:
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


def student_t_quantile(probability: float, degrees: float) -> float:
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


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """A mean difference with its standard error over seeds and users, by :func:`clustered_mean`.

    Attributes:
        mean: mean over seeds and users.
        seeds, users: their numbers, S and U.
        seed_error: standard error if seeds were the only source of chance; None for one seed.
        user_error: the same for users; None for one user.
        error: standard error over both; None for one seed and one user.
        degrees: degrees of freedom of the Student t reference; None without ``error``.
    """

    mean: float
    seeds: int
    users: int
    seed_error: float | None
    user_error: float | None
    error: float | None
    degrees: float | None

    @property
    def covers_seeds(self) -> bool:
        """Whether p and interval count chance between seeds; with one seed they can't."""
        return self.seed_error is not None

    @property
    def p(self) -> float | None:
        """Two-sided p-value of "the mean is 0"; None without an error.

        Without any spread it is 0 (by the formula) or, if all differences are 0, 1.
        """
        if self.error is None or self.degrees is None:
            return None
        if not self.error:
            return float(self.mean == 0.0)
        return 2.0 * student_t_cdf(-abs(self.mean) / self.error, self.degrees)

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """The interval of the same test: it excludes 0 exactly where p < 1 - ``confidence``.

        Raises:
            ValueError: ``confidence`` outside (0, 1).
        """
        _require_confidence(confidence)
        if self.error is None or self.degrees is None:
            return None
        reach = student_t_quantile(0.5 + 0.5 * confidence, self.degrees) * self.error
        return self.mean - reach, self.mean + reach


def clustered_mean(differences: npt.ArrayLike) -> ClusteredMean:
    """The mean of ``differences [S, U]`` with variance clustered by seed and by user.

    V = V_seed + V_user - V_residual, as in Cameron, Gelbach and Miller (J. Bus. Econ. Stat. 29,
    2011): V_seed is the variance of the mean from the S means of seeds, V_user from the U means of
    users, V_residual from what neither explains, which the first two both count. V is never below
    the larger of V_seed and V_user.

    The reference is Student's t. Its degrees of freedom follow Satterthwaite (Biometrics Bull. 2,
    1946): V^2 / (w V_seed^2 / (S - 1) + V_user^2 / (D - 1)), where D users have a difference. The
    factor w is 0 up to V_seed = V_residual, where the data show no effect of seeds, and rises to 1
    at V_seed = 1.5 V_residual. With three or four seeds, whose V_seed is too uncertain to say that,
    it is 2. The degrees are never below S - 1 or D - 1, whichever is less, and with two seeds they
    are 1. docs/evidence.md has the rates of false positives, which led to these choices.

    With one seed the result covers users only, with one user seeds only.

    Raises:
        ValueError: no differences, or a difference that is not finite.
    """
    values = _finite("differences", differences, 2)
    seeds, users = values.shape
    of_seed, of_user, mean = values.mean(axis=1), values.mean(axis=0), float(values.mean())
    v_seed = float(of_seed.var(ddof=1)) / seeds if seeds > 1 else None
    v_user = float(of_user.var(ddof=1)) / users if users > 1 else None
    user_degrees = max(int(values.any(axis=0).sum()) - 1, 1)
    v: float | None
    degrees: float | None
    if v_seed is None or v_user is None:
        v = v_user if v_seed is None else v_seed
        degrees = None if v is None else user_degrees if v_seed is None else seeds - 1
    else:
        residual = values - of_seed[:, None] - of_user + mean
        v_residual = float((residual**2).sum()) / ((seeds - 1) * (users - 1) * values.size)
        v = max(v_seed + v_user - v_residual, v_seed, v_user)
        degrees = fewest = min(seeds - 1, user_degrees)
        if seeds > 2 and v:
            excess = v_seed / v_residual - 1.0 if v_residual else math.inf
            factor = min(max(2.0 * excess, 0.0), 1.0) if seeds >= 5 else 2.0
            # Shares of V, since squares of tiny variances would underflow.
            parts = factor * (v_seed / v) ** 2 / (seeds - 1) + (v_user / v) ** 2 / user_degrees
            degrees = max(1.0 / parts, fewest)
    return ClusteredMean(mean, seeds, users, _root(v_seed), _root(v_user), _root(v), degrees)


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)


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
    _require_confidence(confidence)
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


def _require_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")


def _finite(name: str, values: npt.ArrayLike, dimensions: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or not array.size:
        wanted = f"{dimensions} dimension{'s' if dimensions > 1 else ''} and not be empty"
        raise ValueError(f"{name} must have {wanted}, got shape {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array
