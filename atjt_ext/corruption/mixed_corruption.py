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


@dataclass(frozen=True, slots=True)
class MixedCorruption:
    """Gives each row one kind of damage at random, all kinds being equally likely.

    A noise model then learns more than the marks of one kind. The kind decides whether its rows are
    damaged: its share of damaged rows holds on average over the rows it gets.

    Args:
        corruptions: the kinds, at least one; a kind given twice is twice as likely. A mixture among
            them is replaced by its kinds, with the same chances, because all mixtures choose by the
            same draw: ``(A, mixture of B and C)`` becomes ``(A, A, B, C)``.

    Raises:
        ValueError: ``corruptions`` is empty.
        TypeError: ``corruptions`` is no sequence, or holds something else than kinds of damage.
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
        """A damaged copy of the sequences; arguments and errors as :class:`Corruption`."""
        draws = Draws.of(sequences, row_keys, seed, step).rows(Purpose.MIXED_KIND)
        kinds = uniform_integers(draws, len(self.corruptions))
        # Every kind runs on all rows: selecting the rows of a kind would wait for the device.
        output = self.corruptions[0](sequences, seed=seed, step=step, row_keys=row_keys)
        mixed, replaced = output.sequences, output.replaced
        for kind in range(1, len(self.corruptions)):
            corruption = self.corruptions[kind]
            if corruption is not self.corruptions[kind - 1]:
                output = corruption(sequences, seed=seed, step=step, row_keys=row_keys)
            own = (kinds == kind)[:, None]
            mixed = torch.where(own, output.sequences, mixed)
            replaced = torch.where(own, output.replaced, replaced)
        return DamagedSequences.at(replaced, mixed)


def _taken_apart(corruptions: tuple[Corruption, ...]) -> tuple[Corruption, ...]:
    """Kinds with mixtures replaced by their kinds, repeated so that chances stay the same."""
    parts = [c.corruptions if isinstance(c, MixedCorruption) else (c,) for c in corruptions]
    copies = math.lcm(*map(len, parts))
    return tuple(kind for part in parts for kind in part for _ in range(copies // len(part)))
