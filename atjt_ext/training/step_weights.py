"""What the weights of a step act on, and what its losses add to them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .adaptive_denoising import drop_share, reweighted_loss_weights, truncated_loss_weights
from .config import JointTrainerConfig

__all__ = ["on_targets_and_inputs", "weights_of_losses"]


def on_targets_and_inputs(
    weights: Tensor, config: JointTrainerConfig
) -> tuple[Tensor, Tensor | None]:
    """The weights of the targets ``[B]`` or ``[B, W]``, and of the inputs ``[B, W - 1]``.

    Args:
        weights: ``[B]``, one per sequence, or ``[B, W]``, one per position.
        config: its ``weights_act_on`` decides.

    Raises:
        ValueError: inputs are to be weighed, and there is a weight for each sequence only.
    """
    if not config.weighs_inputs:
        return weights, None
    if weights.dim() == 1:
        # Ones while warming up or gated; a sequence's own weight would say nothing about which
        # of its items to read.
        if not bool((weights == 1).all()):
            raise ValueError(
                f"weights_act_on={config.weights_act_on!r} needs a weight for each "
                "position, the noise model gives one for each sequence"
            )
        return weights, None
    on_targets = torch.ones_like(weights) if config.weights_act_on == "inputs" else weights
    return on_targets, weights[:, :-1]


def weights_of_losses(
    config: JointTrainerConfig, epochs_done: float
) -> Callable[[Tensor], Tensor] | None:
    """What makes further weights ``[N]`` of a step's losses ``[N]``; None where nothing does."""
    if config.adaptive_denoising == "truncated":
        share = drop_share(
            epochs_done, largest=config.truncated_share, ramp_epochs=config.truncation_epochs
        )
        return partial(truncated_loss_weights, share=share)
    if config.adaptive_denoising == "reweighted":
        return partial(reweighted_loss_weights, power=config.reweighting_power)
    return None
