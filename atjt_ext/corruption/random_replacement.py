"""Items replaced by others: the paper's damage."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..ops import RandomReplacementOutput, random_replacement
from ._choices import require_rows

__all__ = ["RandomReplacement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomReplacement:
    """Replaces items by others of the catalogue (arXiv:2409.17402, section 3).

    The paper's code: half of the rows, one history position in each, the target untouched, items
    drawn uniformly. Such damage is easy to tell by how rarely its items occur elsewhere; with
    ``alias_table(counts.double() ** 0.75)`` they are drawn by popularity instead.

    Args:
        num_items: catalogue size; items are ``1..num_items``.
        sequence_fraction: share of the rows of a batch that are damaged, by exact count, or
        sequence_probability: chance of each row (at most one of the two; neither: half of the
            rows).
        num_replacements: positions to replace in each damaged row, or
        replace_ratio: share of its positions, or
        replace_probability: chance of each of its positions (one of the three).
        include_target: let the last column (the target) be replaced as well.
        alias_table: ``[num_items]`` int64 on the device of the sequences, made by
            :func:`atjt_ext.ops.alias_table`: new items are drawn by weight.
        avoid_history: draw no item that the row holds, the target included.
    """

    num_items: int
    sequence_fraction: float | None = None
    sequence_probability: float | None = None
    num_replacements: int | None = None
    replace_ratio: float | None = None
    replace_probability: float | None = None
    include_target: bool = False
    alias_table: Tensor | None = field(default=None, repr=False, compare=False)
    avoid_history: bool = False

    def __post_init__(self) -> None:
        require_rows(self.sequence_fraction, self.sequence_probability)
        amounts = [self.num_replacements, self.replace_ratio, self.replace_probability]
        if amounts.count(None) != 2:
            raise ValueError(
                "exactly one of num_replacements, replace_ratio and replace_probability must be "
                f"given, got num_replacements={self.num_replacements}, "
                f"replace_ratio={self.replace_ratio}, "
                f"replace_probability={self.replace_probability}"
            )

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
    ) -> RandomReplacementOutput:
        """``sequences [B, W]`` int32 or int64 -> damaged copy, ``replaced [B, W]``, ``noise_labels
        [B]``."""
        half = self.sequence_fraction is None and self.sequence_probability is None
        return random_replacement(
            sequences,
            num_items=self.num_items,
            sequence_fraction=0.5 if half else self.sequence_fraction,
            sequence_probability=self.sequence_probability,
            num_replacements=self.num_replacements,
            replace_ratio=self.replace_ratio,
            replace_probability=self.replace_probability,
            num_targets=0 if self.include_target else 1,
            alias_table=self.alias_table,
            avoid_history=self.avoid_history,
            seed=seed,
            step=step,
            row_keys=row_keys,
        )
