"""Logistic regression: few columns, many rows, the same answer every time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .events import Floats

__all__ = ["LogisticRegression", "fit_logistic"]

_MAX_STEPS = 50


@dataclass(frozen=True, eq=False, slots=True)
class LogisticRegression:
    """``logit = (features - mean) / scale @ coefficients + intercept``."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    coefficients: npt.NDArray[np.float64]
    intercept: float

    def logits(self, features: Floats) -> npt.NDArray[np.float64]:
        """``[N, F] -> [N]``."""
        standard = (features - self.mean) / self.scale
        return np.asarray(standard @ self.coefficients + self.intercept, dtype=np.float64)


def fit_logistic(
    features: Floats, labels: npt.NDArray[np.bool_], *, ridge: float = 1e-4
) -> LogisticRegression:
    """Maximum likelihood with a ridge penalty, by Newton's method.

    Args:
        features: ``[N, F]``, finite; standardised inside.
        labels: ``[N]`` bool, both kinds.
        ridge: penalty on the squared coefficients of the mean loss; keeps collinear columns apart.

    Raises:
        ValueError: shapes that do not fit, or labels of one kind.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"features must be [N, F] and labels [N], got {list(features.shape)} and "
            f"{list(labels.shape)}"
        )
    if labels.all() or not labels.any():
        raise ValueError("labels must be of both kinds")
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    scale[scale < 1e-12] = 1.0
    size, width = features.shape
    design = np.ones((size, width + 1))
    design[:, :-1] = (features - mean) / scale
    penalty = np.full(width + 1, ridge)
    penalty[-1] = 0.0
    rate = labels.mean()
    beta = np.zeros(width + 1)
    beta[-1] = np.log(rate / (1.0 - rate))

    def loss(at: npt.NDArray[np.float64]) -> float:
        logits = design @ at
        nll = np.logaddexp(0.0, logits).sum() - logits[labels].sum()
        return float(nll / size + 0.5 * (penalty * at * at).sum())

    value = loss(beta)
    for _ in range(_MAX_STEPS):
        probability = 1.0 / (1.0 + np.exp(-(design @ beta)))
        gradient = design.T @ (probability - labels) / size + penalty * beta
        curvature = probability * (1.0 - probability)
        hessian = (design * curvature[:, None]).T @ design / size + np.diag(penalty + 1e-12)
        step = np.linalg.solve(hessian, gradient)
        share = 1.0
        while loss(beta - share * step) > value and share > 1e-6:  # never uphill
            share *= 0.5
        moved = loss(beta - share * step)
        if not moved < value - 1e-10:
            break
        beta, value = beta - share * step, moved
    return LogisticRegression(mean, scale, beta[:-1], float(beta[-1]))
