"""From noise logits to sample weights.

A noise model g trains on artificial noise: a share ``p`` of the sequences is damaged. Its logits
are the posterior under that share. :func:`clean_probability` uses this posterior as the weight, as
the paper does. :func:`calibrated_weights` replaces ``p`` by an upper bound on the noise in the real
data.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

__all__ = [
    "WeightSummary",
    "calibrated_weights",
    "clean_probability",
    "estimate_noise_rate",
    "summarise_weights",
]

# Weights with a smaller relative spread change a normalised loss by no more than this share.
COLLAPSED_RELATIVE_STD = 0.05

# The odds of an untrained noise model are all near 1, which bounds nothing. Data with more noise
# can't be learned from anyway.
MAX_NOISE_RATE = 0.5


def clean_probability(noise_logits: Tensor) -> Tensor:
    """``1 - sigmoid(noise_logits)`` in (0, 1), any shape: the weight of arXiv:2409.17402."""
    return torch.sigmoid(-noise_logits)


def _log_clean_odds(noise_logits: Tensor, artificial_rate: float) -> Tensor:
    """Log of the estimated density of the data over that of the artificial noise."""
    if not 0.0 < artificial_rate < 1.0:
        raise ValueError(f"artificial_rate must be in (0, 1), got {artificial_rate}")
    return math.log(artificial_rate / (1.0 - artificial_rate)) - noise_logits


def estimate_noise_rate(
    noise_logits: Tensor, *, artificial_rate: float, quantile: float = 0.01
) -> float:
    """An upper bound on the data's noise rate: the ``quantile`` of the clean odds, at most 0.5.

    If the data are a mixture ``(1 - rho) * clean + rho * noise``, their density is at least ``rho``
    times the density of the noise everywhere. The smallest ratio of the two densities therefore
    bounds rho. A quantile replaces the minimum, which one overconfident logit would decide.

    Args:
        noise_logits: ``[N]``, logits of original sequences by a model not trained on them.
        artificial_rate: share of damaged sequences in the model's training, in (0, 1).
        quantile: in [0, 1].
    """
    if noise_logits.numel() == 0:
        raise ValueError("noise_logits must not be empty")
    odds = _log_clean_odds(noise_logits.detach().flatten().double(), artificial_rate).exp()
    # kthvalue, since torch.quantile refuses more than 2**24 values.
    k = min(odds.numel(), int(quantile * odds.numel()) + 1)
    return min(MAX_NOISE_RATE, float(odds.kthvalue(k).values))


def calibrated_weights(
    noise_logits: Tensor, *, artificial_rate: float, noise_rate: float
) -> Tensor:
    """``clip(1 - noise_rate / odds, 0, 1)``: P(clean) if a share ``noise_rate`` of the data is
    noise, in the shape of ``noise_logits``.

    On clean data the noise rate estimated by a good noise model is small, so all weights are near
    1, even those of rare items that look odd.
    """
    if not 0.0 <= noise_rate <= 1.0:
        raise ValueError(f"noise_rate must be in [0, 1], got {noise_rate}")
    if noise_rate == 0.0:
        return torch.ones_like(noise_logits)
    # Clipped in logarithms: odds that underflow would make the gradient NaN.
    log_share = math.log(noise_rate) - _log_clean_odds(noise_logits, artificial_rate)
    return 0.0 - torch.expm1(log_share.clamp(max=0.0))


@dataclass(frozen=True, slots=True)
class WeightSummary:
    """Spread of the weights of one epoch (over training sequences or positions)."""

    mean: float
    std: float
    min: float
    max: float

    @property
    def collapsed(self) -> bool:
        """Whether all weights are alike or zero, and so act like equal weights."""
        return self.std <= COLLAPSED_RELATIVE_STD * self.mean

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def summarise_weights(weights: Tensor) -> WeightSummary:
    """Mean, spread and range of weights of any shape (not empty)."""
    values = weights.detach().double()
    return WeightSummary(
        mean=float(values.mean()),
        std=float(values.std(correction=0)),
        min=float(values.min()),
        max=float(values.max()),
    )
