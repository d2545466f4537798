"""Damage: missing items."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..ops.keyed_draws import Purpose
from ._choices import amounts, begin, choose_positions, settle_options, to_the_right
from .protocol import DamagedSequences


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDeletion:
    """Removes items; the other items close the gaps, and padding grows on the left.

    STEAM (Lin et al., WWW 2023, arXiv:2303.02297) trains a corrector on such missing interactions;
    BART (arXiv:1910.13461) has token deletion. CL4SRec's mask (arXiv:2010.14395) differs: it leaves
    a sign in the item's place.

    At least one of the items open to change stays, so a row with a single such item is not damaged.
    ``replaced`` marks the item after a gap, as STEAM does; for a gap at the end, the new last item.
    The loss of the oldest item cannot be marked.

    Damaged rows are shorter. A noise model may learn this instead, because windows of a long
    history are full otherwise. A mixture with :class:`ItemInsertion` blurs the difference.

    Args:
        sequence_fraction, sequence_probability: as in :class:`RandomReplacement`.
        num_deletions: items to remove from each damaged row. Either this or ``delete_ratio``.
        delete_ratio: share of the row's items to remove.
        include_target: the target may be removed too; then the item before it is the target.

    Raises:
        ValueError, TypeError: as :class:`RandomReplacement`.
    """

    sequence_fraction: float | None = None
    sequence_probability: float | None = None
    num_deletions: int | None = None
    delete_ratio: float | None = None
    include_target: bool = False

    def __post_init__(self) -> None:
        settle_options(self, "num_deletions", "delete_ratio")

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
    ) -> DamagedSequences:
        """A damaged copy of the sequences; arguments and errors as :class:`Corruption`."""
        draws, rows, eligible = begin(self, Purpose.DELETED_ROW, sequences, row_keys, seed, step)
        items = eligible.sum(dim=1)
        most = (items - 1).clamp(min=0)
        counts = rows * amounts(items, self.num_deletions, self.delete_ratio, most=most)
        order = draws.order(eligible, Purpose.DELETED_POSITION)
        return _without(sequences, choose_positions(order, counts))


def _without(sequences: Tensor, removed: Tensor) -> DamagedSequences:
    kept = (sequences != 0) & ~removed
    closed = to_the_right(kept)
    is_item = kept.gather(1, closed)
    # Number of items removed on the left of each item: it rises after a gap.
    gone = removed.cumsum(dim=1).gather(1, closed).masked_fill(~is_item, 0)
    marked = gone.diff(dim=1, prepend=gone.new_zeros(len(gone), 1)) > 0
    marked[:, -1:] |= removed.sum(dim=1, keepdim=True) > gone[:, -1:]
    return DamagedSequences.at(marked, sequences.gather(1, closed).masked_fill(~is_item, 0))
