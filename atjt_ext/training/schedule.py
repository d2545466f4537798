"""How the learning rate goes over the steps of training."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["learning_rate_factor", "require_schedule"]

Schedule = Literal["constant", "cosine", "linear"]


def require_schedule(warmup_steps: int, total_steps: int) -> None:
    """Raises ValueError where warming up would take all of training."""
    if warmup_steps >= total_steps:
        raise ValueError(
            f"schedule_warmup_steps must be below the {total_steps} steps of training, "
            f"got {warmup_steps}"
        )


def learning_rate_factor(
    step: int, *, schedule: Schedule, warmup_steps: int, total_steps: int
) -> float:
    """What the learning rate is multiplied by at ``step`` (from 0) of ``total_steps``.

    It rises along a line over the first ``warmup_steps``, reaching 1 at the last of them. From
    there it stays (``constant``), or would be 0 at step ``total_steps``, the first one after
    training: ``1 - p`` (``linear``) or ``(1 + cos(pi p)) / 2`` (``cosine``; Loshchilov and Hutter,
    "SGDR", ICLR 2017, arXiv:1608.03983, without restarts), where p is the share of the remaining
    steps that are done. Later steps have what that first one would.

    Nothing but the step decides, so that a resumed run needs no state.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    # Without the bound a rate would rise again, or fall below 0.
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if schedule == "linear":
        return 1.0 - done
    if schedule == "cosine":
        return (1.0 + math.cos(math.pi * done)) / 2
    return 1.0
