"""Logistic regression for few columns and many rows; deterministic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from .events import Doubles, Floats

__all__ = ["LogisticRegression", "fit_logistic"]

_MAX_STEPS = 50


@dataclass(frozen=True, eq=False, slots=True)
class LogisticRegression:
    """``logit = ((features - mean) / scale) @ coefficients + intercept``."""

    mean: Doubles
    scale: Doubles
    coefficients: Doubles
    intercept: float

    def logits(self, features: Floats) -> Doubles:
        """Logits ``[N]`` float64 of ``features [N, F]``."""
        standard = (features - self.mean) / self.scale
        return np.asarray(standard @ self.coefficients + self.intercept, dtype=np.float64)


def fit_logistic(
    features: Floats, labels: npt.NDArray[np.bool_], *, ridge: float = 1e-4
) -> LogisticRegression:
    """Minimises ``mean log loss + ridge / 2 * |coefficients|^2`` by Newton's method.

    The penalty acts on the coefficients of the standardised columns, not on the intercept.

    Args:
        features: ``[N, F]``, finite; standardised here.
        labels: ``[N]`` bool, with both values.
        ridge: the penalty; makes the solution unique for collinear columns.

    Raises:
        ValueError: shapes that do not fit, or labels with one value only.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"features must be [N, F] and labels [N], got {list(features.shape)} and "
            f"{list(labels.shape)}"
        )
    if labels.all() or not labels.any():
        raise ValueError("labels must hold both True and False")
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    scale[scale < 1e-12] = 1.0
    size, width = features.shape
    # In torch, because numpy's matrix products ignore torch's number of threads.
    design = torch.ones(size, width + 1, dtype=torch.float64)
    design[:, :-1] = torch.from_numpy((features - mean) / scale)
    truth = torch.from_numpy(labels).double()
    penalty = torch.full((width + 1,), ridge, dtype=torch.float64)
    penalty[-1] = 0.0
    beta = torch.zeros(width + 1, dtype=torch.float64)
    beta[-1] = torch.logit(truth.mean())

    def loss(at: Tensor) -> float:
        fit = F.binary_cross_entropy_with_logits(design @ at, truth)
        return float(fit + 0.5 * (penalty * at * at).sum())

    value = loss(beta)
    for _ in range(_MAX_STEPS):
        probability = torch.sigmoid(design @ beta)
        gradient = design.T @ (probability - truth) / size + penalty * beta
        curvature = probability * (1.0 - probability)
        hessian = (design * curvature[:, None]).T @ design / size + torch.diag(penalty + 1e-12)
        step = torch.linalg.solve(hessian, gradient)
        share = 1.0
        while loss(beta - share * step) > value and share > 1e-6:  # never uphill
            share *= 0.5
        moved = loss(beta - share * step)
        if not moved < value - 1e-10:
            break
        beta, value = beta - share * step, moved
    return LogisticRegression(mean, scale, beta[:-1].numpy(), float(beta[-1]))
