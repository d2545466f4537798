"""Several kinds of damage in one batch."""

from __future__ import annotations

import math
from collections.abc import Iterable
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
        corruptions: the kinds, at least one; one that is given twice is twice as likely. A mixture
            among them is taken apart into its own, each as likely as it would be inside, since all
            mixtures choose by the same draw: ``(A, mixture of B and C)`` is ``(A, A, B, C)``.

    Raises:
        ValueError: no kind is given.
        TypeError: no sequence, or something in it that is no kind of damage.
    """

    corruptions: tuple[Corruption, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.corruptions, Iterable):
            raise TypeError(
                f"corruptions must be a sequence of kinds of damage, got {self.corruptions!r}"
            )
        given = tuple(self.corruptions)
        if not given:
            raise ValueError("corruptions must hold at least one kind of damage, got ()")
        for i, corruption in enumerate(given):
            if isinstance(corruption, type) or not callable(corruption):
                raise TypeError(f"corruptions[{i}] must be a kind of damage, got {corruption!r}")
        object.__setattr__(self, "corruptions", _taken_apart(given))

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
    ) -> DamagedSequences:
        """``sequences [B, W]`` int32 or int64, left-padded with 0 -> a damaged copy."""
        draws = Draws.of(sequences, row_keys, seed, step).rows(Purpose.MIXED_KIND)
        kinds = uniform_integers(draws, len(self.corruptions))
        # Every kind runs on all rows: choosing those of a kind would wait for the device.
        output = self.corruptions[0](sequences, seed=seed, step=step, row_keys=row_keys)
        mixed, replaced = output.sequences, output.replaced
        for kind in range(1, len(self.corruptions)):
            corruption = self.corruptions[kind]
            if corruption is not self.corruptions[kind - 1]:
                output = corruption(sequences, seed=seed, step=step, row_keys=row_keys)
            own = (kinds == kind)[:, None]
            mixed = torch.where(own, output.sequences, mixed)
            replaced = torch.where(own, output.replaced, replaced)
        return DamagedSequences(mixed, replaced, replaced.any(dim=1))


def _taken_apart(corruptions: tuple[Corruption, ...]) -> tuple[Corruption, ...]:
    """Mixtures replaced by what they mix, and all repeated so that the chances stay."""
    parts = [c.corruptions if isinstance(c, MixedCorruption) else (c,) for c in corruptions]
    copies = math.lcm(*map(len, parts))
    return tuple(kind for part in parts for kind in part for _ in range(copies // len(part)))
