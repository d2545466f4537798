"""Damage: items replaced by other items, as in the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..ops import RandomReplacementOutput, random_replacement
from ..ops._checks import require_integer, require_replacements
from ..ops.random_replacement import FEATURE_DTYPES
from ._choices import require_alias_table, settle_rows
from ._tensor_fields import HoldsTensors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RandomReplacement(HoldsTensors):
    """Replaces items by other items of the catalogue (arXiv:2409.17402, section 3).

    The paper's code damages half of the rows, at one history position each, leaves the target
    alone, and draws items uniformly. Such items give themselves away by their rarity. With
    ``alias_table(counts.double() ** 0.75)`` they are drawn by popularity instead.

    Args:
        num_items: catalogue size, at least 2; items are ``1..num_items``.
        sequence_fraction: share of the rows of a batch to damage, as an exact count:
            ``floor(share * B + 0.5)`` rows. So the other rows of the batch decide whether a row is
            damaged, and from 0.5 on the row of a batch of one always is. Without it and
            ``sequence_probability`` it becomes 0.5.
        sequence_probability: instead of ``sequence_fraction``: chance of each row, in any batch.
        num_replacements: positions to replace in each damaged row. Pass exactly one of this,
            ``replace_ratio`` and ``replace_probability``.
        replace_ratio: share of the row's positions to replace.
        replace_probability: chance of each position of the row.
        include_target: the last column (the target) may be replaced as well.
        alias_table: ``[num_items]`` int64 on the device of the sequences, made by
            :func:`atjt_ext.ops.alias_table`: new items are drawn by weight.
        avoid_history: draw no item of the row, the target included.
        feature_tables: for each column of side features its table, as for
            :func:`atjt_ext.ops.random_replacement`. Each call passes the columns.

    Raises:
        ValueError: a value out of range, a table of a wrong shape or dtype, or not exactly one
            amount.
        TypeError: a value that is no number, or no integer as required.
    """

    num_items: int
    sequence_fraction: float | None = None
    sequence_probability: float | None = None
    num_replacements: int | None = None
    replace_ratio: float | None = None
    replace_probability: float | None = None
    include_target: bool = False
    alias_table: Tensor | None = None
    avoid_history: bool = False
    feature_tables: Sequence[Tensor] = ()

    def __post_init__(self) -> None:
        require_integer("num_items", self.num_items, 2, 2**31, "in [2, 2**31)")
        settle_rows(self)
        require_replacements(self.num_replacements, self.replace_ratio, self.replace_probability)
        require_alias_table(self.alias_table, self.num_items)
        object.__setattr__(self, "feature_tables", tuple(self.feature_tables))
        for i, table in enumerate(self.feature_tables):
            if table.shape != (self.num_items + 1,) or table.dtype not in FEATURE_DTYPES:
                raise ValueError(
                    f"feature_tables[{i}] must be [{self.num_items + 1}] int32, int64, float32 or "
                    f"float64, got {list(table.shape)} {table.dtype}"
                )

    def __call__(
        self,
        sequences: Tensor,
        *,
        seed: int | Tensor,
        step: int | Tensor = 0,
        row_keys: Tensor | None = None,
        features: Sequence[Tensor] = (),
    ) -> RandomReplacementOutput:
        """A damaged copy of the sequences; errors as :func:`atjt_ext.ops.random_replacement`.

        ``features`` holds a column ``[B, W]`` for each of ``feature_tables``, of the same dtype.
        The result has copies with the features of the new items.
        """
        return random_replacement(
            sequences,
            num_items=self.num_items,
            sequence_fraction=self.sequence_fraction,
            sequence_probability=self.sequence_probability,
            num_replacements=self.num_replacements,
            replace_ratio=self.replace_ratio,
            replace_probability=self.replace_probability,
            num_targets=0 if self.include_target else 1,
            alias_table=self.alias_table,
            avoid_history=self.avoid_history,
            features=features,
            feature_tables=self.feature_tables,
            seed=seed,
            step=step,
            row_keys=row_keys,
        )
