"""The interface of a kind of damage."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class CorruptionOutput(Protocol):
    """Result of a corruption of sequences ``[B, W]``."""

    @property
    def sequences(self) -> Tensor:
        """``[B, W]``, dtype of the input, left-padded with 0: the damaged sequences."""
        ...

    @property
    def replaced(self) -> Tensor:
        """``[B, W]`` bool: the places of damage in ``sequences``, never at padding.

        True at a replaced, inserted or swapped item and, since a deleted item cannot be marked, at
        the item after the gap.
        """
        ...

    @property
    def noise_labels(self) -> Tensor:
        """``[B]`` bool: true if any ``replaced`` of the row is true."""
        ...


class DamagedSequences(NamedTuple):
    """A :class:`CorruptionOutput`."""

    sequences: Tensor
    replaced: Tensor
    noise_labels: Tensor

    @classmethod
    def at(cls, replaced: Tensor, sequences: Tensor) -> DamagedSequences:
        """``sequences`` with damage at ``replaced``."""
        return cls(sequences, replaced, replaced.any(dim=1))


class Corruption(Protocol):
    """Damages sequences and marks the damage. The result depends on the arguments only."""

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
    ) -> CorruptionOutput:
        """A damaged copy of ``sequences [B, W]`` int32 or int64, left-padded with 0.

        ``row_keys [B]`` int64 give a row the same random numbers in every batch. With
        ``sequence_fraction``, which fixes the number of damaged rows, the other rows of the batch
        still decide whether a row is damaged; with ``sequence_probability`` they do not.

        Raises:
            ValueError: a wrong shape, dtype or device; on the CPU also padding on the right of an
                item, which counts as left padding on CUDA.
        """
        ...
