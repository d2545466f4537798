"""Chi-square tests of counts."""

from __future__ import annotations

import torch
from torch import Tensor


def z_score(statistic: float, degrees: int) -> float:
    """A chi-square statistic, standardised: roughly standard normal."""
    return (statistic - degrees) / (2 * degrees) ** 0.5


def chi_square_z(counts: Tensor, expected: float | Tensor, shrink: float = 1.0) -> float:
    """z of counts against their expectation; `shrink`: their variance over a Poisson variance."""
    statistic = float(((counts.double() - expected) ** 2 / expected).sum()) / shrink
    return z_score(statistic, counts.numel() - 1)


def independence_z(first: Tensor, second: Tensor) -> float:
    """z for the independence of two lists of small numbers, from their contingency table."""
    width = int(second.max()) + 1
    table = torch.bincount(first * width + second, minlength=(int(first.max()) + 1) * width)
    table = table.view(-1, width).double()
    table = table[table.sum(dim=1) > 0][:, table.sum(dim=0) > 0]
    expected = table.sum(1, keepdim=True) * table.sum(0, keepdim=True) / table.sum()
    degrees = (table.shape[0] - 1) * (table.shape[1] - 1)
    return z_score(float(((table - expected) ** 2 / expected).sum()), degrees)
