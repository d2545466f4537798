"""Items replaced by others: the paper's damage."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops import RandomReplacementOutput, random_replacement

__all__ = ["RandomReplacement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomReplacement:
    """Replaces items by others drawn uniformly from the catalogue (arXiv:2409.17402, section 3).

    The paper's code: half of the rows, one history position in each, the target untouched.

    Args:
        num_items: catalogue size; items are ``1..num_items``.
        sequence_fraction: share of the rows of a batch that are damaged, by exact count.
        num_replacements: positions to replace in each damaged row, or
        replace_ratio: share of its positions (one of the two).
        include_target: let the last column (the target) be replaced as well.
    """

    num_items: int
    sequence_fraction: float = 0.5
    num_replacements: int | None = None
    replace_ratio: float | None = None
    include_target: bool = False

    def __post_init__(self) -> None:
        if (self.num_replacements is None) == (self.replace_ratio is None):
            raise ValueError(
                "exactly one of num_replacements and replace_ratio must be given, got "
                f"num_replacements={self.num_replacements}, replace_ratio={self.replace_ratio}"
            )

    def __call__(
        self, sequences: Tensor, *, seed: int, step: int = 0, row_keys: Tensor | None = None
    ) -> RandomReplacementOutput:
        """``sequences [B, W]`` int32 or int64 -> damaged copy, ``replaced [B, W]``, ``noise_labels
        [B]``."""
        open_to_change = sequences if self.include_target else sequences[:, :-1]
        noisy = random_replacement(
            open_to_change,
            num_items=self.num_items,
            sequence_fraction=self.sequence_fraction,
            num_replacements=self.num_replacements,
            replace_ratio=self.replace_ratio,
            seed=seed,
            step=step,
            row_keys=row_keys,
        )
        if self.include_target:
            return noisy
        return RandomReplacementOutput(
            sequences=torch.cat([noisy.sequences, sequences[:, -1:]], dim=1),
            replaced=torch.cat(
                [noisy.replaced, torch.zeros_like(sequences[:, -1:], dtype=torch.bool)], dim=1
            ),
            noise_labels=noisy.noise_labels,
        )
