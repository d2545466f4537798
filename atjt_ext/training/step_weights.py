"""The weights of a step on targets and inputs, and further weights made from the losses.

The further weights are adaptive denoising training (ADT): Wang et al., "Denoising Implicit Feedback
for Recommendation", WSDM 2021, arXiv:2006.04153. A model fits noisy interactions late, so large
losses early in training are suspect. The paper has binary cross-entropy on pairs; here any loss per
target serves, usually the softmax over the catalogue. ADT costs nothing, so a noise model must beat
it to be worth its cost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .config import JointTrainerConfig

__all__ = [
    "adaptive_denoising",
    "drop_share",
    "on_targets_and_inputs",
    "reweighted_loss_weights",
    "truncated_loss_weights",
]


def on_targets_and_inputs(
    weights: Tensor, config: JointTrainerConfig
) -> tuple[Tensor, Tensor | None]:
    """The weights of the targets, ``[B]`` or ``[B, W]``, and of the inputs, ``[B, W - 1]``, from
    ``weights``: ``[B]``, one per sequence, or ``[B, W]``, one per position.

    Raises:
        ValueError: inputs are to be weighed, but ``weights`` has one weight per sequence.
    """
    if not config.weighs_inputs:
        return weights, None
    if weights.dim() == 1:
        # Ones during warm-up and below the gate. Otherwise a sequence's weight can't decide which
        # of its items to read.
        if not bool((weights == 1).all()):
            raise ValueError(
                f"weights_act_on={config.weights_act_on!r} needs a weight for each "
                "position, the noise model gives one for each sequence"
            )
        return weights, None
    on_targets = torch.ones_like(weights) if config.weights_act_on == "inputs" else weights
    return on_targets, weights[:, :-1]


def adaptive_denoising(
    config: JointTrainerConfig, epochs_done: float
) -> Callable[[Tensor], Tensor] | None:
    """The function from a step's losses ``[N]`` to further weights ``[N]``; None for ``none``."""
    if config.adaptive_denoising == "truncated":
        share = drop_share(
            epochs_done, largest=config.truncated_share, ramp_epochs=config.truncation_epochs
        )
        return partial(truncated_loss_weights, share=share)
    if config.adaptive_denoising == "reweighted":
        return partial(reweighted_loss_weights, power=config.reweighting_power)
    return None


def drop_share(epochs_done: float, *, largest: float, ramp_epochs: float) -> float:
    """The share of losses that T-CE drops by now: it rises linearly to ``largest`` over
    ``ramp_epochs`` (the paper's eps(T), whose slope follows from ``ramp_epochs`` here)."""
    return largest if epochs_done >= ramp_epochs else largest * epochs_done / ramp_epochs


def truncated_loss_weights(losses: Tensor, share: float) -> Tensor:
    """T-CE: 0 for the ``floor(share * N)`` largest of ``losses [N]``, 1 for the others. Of equal
    losses the earlier ones stay."""
    if not 0.0 <= share < 1.0:
        raise ValueError(f"share must be in [0, 1), got {share}")
    weights = torch.ones_like(losses)
    order = torch.sort(losses.detach(), stable=True).indices
    weights[order[losses.numel() - int(share * losses.numel()) :]] = 0.0
    return weights


def reweighted_loss_weights(losses: Tensor, power: float) -> Tensor:
    """R-CE: ``exp(-power * losses)``, which is ``p ** power`` for ``losses = -log p [N]``.

    Detached, as in the paper's code. Under the softmax p is the target's probability in the whole
    catalogue. It is far smaller than the paper's p of a pair, so weights spread further.
    """
    if not power >= 0.0:
        raise ValueError(f"power must be at least 0, got {power}")
    return torch.exp(-power * losses.detach())
