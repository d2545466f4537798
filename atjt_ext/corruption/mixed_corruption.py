"""Several kinds of damage in one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.keyed_draws import Purpose, uniform_integers
from ._choices import Draws
from .protocol import Corruption, DamagedSequences

__all__ = ["MixedCorruption"]


@dataclass(frozen=True, slots=True)
class MixedCorruption:
    """Each row gets one kind of damage, by chance; all kinds are as likely.

    So that a noise model learns from it more than the marks of one kind. Whether a row is damaged
    at all is up to its kind: a kind's share of damaged rows holds on average over the rows it gets.

    Args:
        corruptions: the kinds, at least one; one that is given twice is twice as likely.

    Raises:
        ValueError: no kind is given.
    """

    corruptions: tuple[Corruption, ...]

    def __post_init__(self) -> None:
        if not self.corruptions:
            raise ValueError("corruptions must hold at least one kind of damage, got ()")

    def __call__(
        self, sequences: Tensor, *, seed: int, step: int = 0, row_keys: Tensor | None = None
    ) -> DamagedSequences:
        """``sequences [B, W]`` int32 or int64, left-padded with 0 -> a damaged copy."""
        draws = Draws.of(sequences, row_keys, seed, step).rows(Purpose.MIXED_KIND)
        kinds = uniform_integers(draws, len(self.corruptions))
        # Every kind runs on all rows: choosing those of a kind would wait for the device.
        outputs = [
            corruption(sequences, seed=seed, step=step, row_keys=row_keys)
            for corruption in self.corruptions
        ]
        mixed, replaced = outputs[0].sequences, outputs[0].replaced
        for kind, output in enumerate(outputs):
            own = (kinds == kind)[:, None]
            mixed = torch.where(own, output.sequences, mixed)
            replaced = torch.where(own, output.replaced, replaced)
        return DamagedSequences(mixed, replaced, replaced.any(dim=1))
