"""WEIGH: from noise logits to sample weights.

A noise model g that saw a share ``p`` of replaced sequences in training answers with the posterior
of an artificial question. :func:`clean_probability` takes that answer at face value, as the paper
does. :func:`calibrated_weights` first asks how much noise the real data can hold at all.
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

# Normalised by their sum, weights this much alike change a loss by no more than that.
COLLAPSED_RELATIVE_STD = 0.05

# A noise model that has just begun to learn puts all odds near one, which bounds nothing. Data that
# are mostly noise could not be learned from anyway.
MAX_NOISE_RATE = 0.5


def clean_probability(noise_logits: Tensor) -> Tensor:
    """``1 - sigmoid(noise_logits)``, the paper's weight (arXiv:2409.17402): any shape, in (0,
    1)."""
    return torch.sigmoid(-noise_logits)


def _log_clean_odds(noise_logits: Tensor, artificial_rate: float) -> Tensor:
    """Log of the density of the data over that of the artificial noise, as the noise model sees
    it."""
    if not 0.0 < artificial_rate < 1.0:
        raise ValueError(f"artificial_rate must be in (0, 1), got {artificial_rate}")
    return math.log(artificial_rate / (1.0 - artificial_rate)) - noise_logits


def estimate_noise_rate(
    noise_logits: Tensor, *, artificial_rate: float, quantile: float = 0.01
) -> float:
    """How much noise the data can hold: the ``quantile`` of the clean odds, at most 0.5.

    If the data are a mixture ``(1 - rho) * clean + rho * noise``, their density is nowhere below
    ``rho`` times that of the noise; so the smallest ratio of the two bounds rho from above. A
    quantile stands in for the minimum, which one overconfident logit would decide.

    Args:
        noise_logits: ``[N]``, of original sequences, from a model that was not trained on them.
        artificial_rate: share of replaced sequences that the model was trained with, in (0, 1).
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
    noise.

    On clean data a good noise model lets the estimated rate be small, and so all weights near one:
    valid but rare items are not punished for looking odd. Same shape as ``noise_logits``.
    """
    if not 0.0 <= noise_rate <= 1.0:
        raise ValueError(f"noise_rate must be in [0, 1], got {noise_rate}")
    if noise_rate == 0.0:
        return torch.ones_like(noise_logits)
    # In logarithms and clipped there, as odds that underflow would make the gradient NaN.
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
        """All alike (or all zero): in effect these are equal weights."""
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
