"""Weights made of the losses themselves: adaptive denoising training (ADT).

Wang et al., "Denoising Implicit Feedback for Recommendation", WSDM 2021, arXiv:2006.04153: noisy
interactions are fitted late, so large losses early on are suspect. There for binary cross-entropy
on pairs; here for any loss per target, of which the softmax over the catalogue is the usual one.
These are competitors of a noise model that cost nothing: what it knows beyond the loss shows only
beside them.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["drop_share", "reweighted_loss_weights", "truncated_loss_weights"]


def drop_share(epochs_done: float, *, largest: float, ramp_epochs: float) -> float:
    """``min(largest, largest * epochs_done / ramp_epochs)``: the share that T-CE drops by now (the
    paper's eps(T), its slope given by when it ends)."""
    return largest if epochs_done >= ramp_epochs else largest * epochs_done / ramp_epochs


def truncated_loss_weights(losses: Tensor, share: float) -> Tensor:
    """T-CE: 0 for the ``floor(share * N)`` largest of ``losses [N]``, 1 for the others; of equal
    losses the earlier stay."""
    if not 0.0 <= share < 1.0:
        raise ValueError(f"share must be in [0, 1), got {share}")
    weights = torch.ones_like(losses)
    order = torch.sort(losses.detach(), stable=True).indices
    weights[order[losses.numel() - int(share * losses.numel()) :]] = 0.0
    return weights


def reweighted_loss_weights(losses: Tensor, power: float) -> Tensor:
    """R-CE: ``exp(-power * losses)``, which is ``p ** power`` for ``losses = -log p [N]``.

    Detached, as in the paper's code. Under the softmax p is the target's probability among the
    whole catalogue, so far smaller than in the paper's pairs, and weights spread further.
    """
    if not power >= 0.0:
        raise ValueError(f"power must be at least 0, got {power}")
    return torch.exp(-power * losses.detach())
