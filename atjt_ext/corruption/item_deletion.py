"""Items left out."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..ops.keyed_draws import Purpose
from ._choices import (
    Draws,
    amounts,
    choose_positions,
    open_to_change,
    require_amount,
    rows_or_half,
    to_the_right,
)
from .protocol import DamagedSequences

__all__ = ["ItemDeletion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDeletion:
    """Removes items; those that stay close the gaps, and padding grows on the left.

    Interactions that are missing: STEAM (Lin et al., WWW 2023, arXiv:2303.02297) trains a corrector
    on them; token deletion in BART (arXiv:1910.13461). CL4SRec's mask (arXiv:2010.14395) differs:
    it leaves a sign in the item's place.

    At least one of the items open to change stays, so a row with only one is not damaged.
    ``replaced`` marks the item that now follows a gap (as STEAM does) or, where the gap is at the
    end, the one that has become the last. Nothing in a sequence tells that its oldest item is
    missing. Damaged rows are shorter, which a noise model may learn to look at instead: windows of
    a long history are full otherwise. A mixture with :class:`ItemInsertion` blurs that.

    Args:
        sequence_fraction: share of the rows of a batch that are damaged, by exact count, or
        sequence_probability: chance of each row (at most one of the two; neither:
            ``sequence_fraction`` becomes 0.5).
        num_deletions: items to remove from each damaged row, or
        delete_ratio: share of its items (one of the two).
        include_target: let the last column (the target) be removed as well; the item before it then
            takes its place.

    Raises:
        ValueError: a value out of range, or not exactly one amount.
        TypeError: a value that is no number, or no integer where one is wanted.
    """

    sequence_fraction: float | None = None
    sequence_probability: float | None = None
    num_deletions: int | None = None
    delete_ratio: float | None = None
    include_target: bool = False

    def __post_init__(self) -> None:
        share = rows_or_half(self.sequence_fraction, self.sequence_probability)
        object.__setattr__(self, "sequence_fraction", share)
        require_amount("num_deletions", self.num_deletions, "delete_ratio", self.delete_ratio)

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
    ) -> DamagedSequences:
        """``sequences [B, W]`` int32 or int64, left-padded with 0 -> a damaged copy.

        Raises:
            ValueError: a wrong shape, dtype or device; on the CPU padding on the right of an
                item. On CUDA, where looking would wait for the device, it is taken for padding on
                the left.
        """
        draws = Draws.of(sequences, row_keys, seed, step)
        rows = draws.chosen_rows(
            Purpose.DELETED_ROW, self.sequence_fraction, self.sequence_probability
        )
        eligible = open_to_change(sequences, self.include_target)
        items = eligible.sum(dim=1)
        most = (items - 1).clamp(min=0)
        counts = rows * amounts(items, self.num_deletions, self.delete_ratio, most=most)
        order = draws.order(eligible, Purpose.DELETED_POSITION)
        return _without(sequences, choose_positions(order, counts))


def _without(sequences: Tensor, removed: Tensor) -> DamagedSequences:
    kept = (sequences != 0) & ~removed
    closed = to_the_right(kept)
    is_item = kept.gather(1, closed)
    # How many items were removed on the left of each; more than of its neighbour: a gap.
    gone = removed.cumsum(dim=1).gather(1, closed).masked_fill(~is_item, 0)
    marked = gone.diff(dim=1, prepend=gone.new_zeros(len(gone), 1)) > 0
    marked[:, -1:] |= removed.sum(dim=1, keepdim=True) > gone[:, -1:]
    return DamagedSequences(
        sequences=sequences.gather(1, closed).masked_fill(~is_item, 0),
        replaced=marked,
        noise_labels=marked.any(dim=1),
    )
