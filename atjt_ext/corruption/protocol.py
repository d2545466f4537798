"""What the trainer asks of a kind of damage."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

__all__ = ["Corruption", "CorruptionOutput", "DamagedSequences"]


class CorruptionOutput(Protocol):
    """What a corruption returns, for sequences ``[B, W]``."""

    @property
    def sequences(self) -> Tensor:
        """``[B, W]``, dtype of the input, left-padded with 0: the sequences after the damage."""
        ...

    @property
    def replaced(self) -> Tensor:
        """``[B, W]`` bool: where the damage shows in ``sequences``, never at padding.

        At items that do not belong (replaced, inserted, swapped) and, as what is gone cannot be
        marked, at the item that follows a gap.
        """
        ...

    @property
    def noise_labels(self) -> Tensor:
        """``[B]`` bool: true where the row was damaged; the same as any of its ``replaced``."""
        ...


class DamagedSequences(NamedTuple):
    """A :class:`CorruptionOutput`."""

    sequences: Tensor
    replaced: Tensor
    noise_labels: Tensor


class Corruption(Protocol):
    """Damages left-padded sequences ``[B, W]`` and says where; depends on its arguments only."""

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
    ) -> CorruptionOutput:
        """``row_keys [B]`` int64 tie a row's draws to the row, whatever batch it sits in."""
        ...
