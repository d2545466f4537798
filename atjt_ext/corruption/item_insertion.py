"""Damage: foreign items between a user's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops._checks import require_integer
from ..ops.keyed_draws import Purpose
from ._choices import (
    Draws,
    amounts,
    begin,
    choose_positions,
    require_alias_table,
    settle_options,
    to_the_right,
)
from ._items import uniform_items, weighted_items
from ._tensor_fields import HoldsTensors
from .protocol import DamagedSequences


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ItemInsertion(HoldsTensors):
    """Inserts items of the catalogue behind randomly chosen items.

    Such items are misclicks: STEAM (Lin et al., WWW 2023, arXiv:2303.02297) trains a corrector on
    them. CoSeRec's insert (arXiv:2108.06479) does the opposite: it adds *likely* items, to augment.

    At most one item is inserted behind an item, and it differs from both neighbours: a repeated
    item is no misclick, and nobody could tell which of the two was inserted. The row keeps its
    width: a full row loses its oldest columns, perhaps with inserted items, but never with all of
    them. ``replaced`` marks the inserted items.

    Args:
        num_items: catalogue size, at least 3; items are ``1..num_items``.
        sequence_fraction, sequence_probability: as in :class:`RandomReplacement`.
        num_insertions: items to insert into each damaged row. Either this or ``insert_ratio``.
        insert_ratio: that number as a share of the row's items.
        alias_table: ``[num_items]`` int64 on the device of the sequences, made by
            :func:`atjt_ext.ops.alias_table`: items are drawn by weight. A draw of a neighbour is
            repeated; after 8 such draws nothing is inserted at the place.
        include_target: an item may also be inserted behind the target, and becomes the target.

    Raises:
        ValueError, TypeError: as :class:`RandomReplacement`.
    """

    num_items: int
    sequence_fraction: float | None = None
    sequence_probability: float | None = None
    num_insertions: int | None = None
    insert_ratio: float | None = None
    alias_table: Tensor | None = None
    include_target: bool = False

    def __post_init__(self) -> None:
        require_integer("num_items", self.num_items, 3, 2**31, "in [3, 2**31)")
        require_alias_table(self.alias_table, self.num_items)
        settle_options(self, "num_insertions", "insert_ratio")

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
    ) -> DamagedSequences:
        """A damaged copy of the sequences; arguments and errors as :class:`Corruption`, and
        ValueError for an id outside the catalogue, on the CPU."""
        draws, rows, eligible = begin(self, Purpose.INSERTED_ROW, sequences, row_keys, seed, step)
        self._check(sequences)
        items = eligible.sum(dim=1)
        counts = rows * amounts(items, self.num_insertions, self.insert_ratio, most=items)
        behind = choose_positions(draws.order(eligible, Purpose.INSERTED_POSITION), counts)
        return _with_items(sequences, self._other_items(draws, sequences).masked_fill(~behind, 0))

    def _check(self, sequences: Tensor) -> None:
        table = self.alias_table
        if table is not None and table.device != sequences.device:
            raise ValueError(f"alias_table must be on {sequences.device}, got {table.device}")
        # On CUDA, reading values would wait for the device; a compiled graph has no values.
        if sequences.device.type != "cpu" or torch.compiler.is_compiling() or not sequences.numel():
            return
        low, high = (int(extreme) for extreme in sequences.aminmax())
        if low < 0 or high > self.num_items:
            raise ValueError(
                f"sequences must hold items in 1..{self.num_items} or 0, "
                f"got {low if low < 0 else high}"
            )

    def _other_items(self, draws: Draws, sequences: Tensor) -> Tensor:
        """``[B, W]``: an item for each gap that differs from both neighbours; 0 if none came up."""
        item = sequences.long()
        following = torch.cat([item[:, 1:], torch.zeros_like(item[:, :1])], dim=1)
        purpose = Purpose.INSERTED_ITEM
        if self.alias_table is None:
            other = uniform_items(draws, purpose, item, following, num_items=self.num_items)
        else:
            other = weighted_items(draws, purpose, item, following, alias_table=self.alias_table)
        return other.to(sequences.dtype)


def _with_items(sequences: Tensor, inserted: Tensor) -> DamagedSequences:
    """Put ``inserted [B, W]`` behind the items, 0 for nothing."""
    width = sequences.shape[1]
    both = torch.stack([sequences, inserted], dim=2).flatten(1)
    is_inserted = torch.stack([torch.zeros_like(inserted), inserted], dim=2).flatten(1) != 0
    newest = to_the_right(both != 0)[:, width:]
    return DamagedSequences.at(is_inserted.gather(1, newest), both.gather(1, newest))
