"""Deletion, insertion and swaps against plain Python that works row by row."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext import AdjacentSwap, ItemDeletion, ItemInsertion
from atjt_ext.corruption import CorruptionOutput
from atjt_ext.ops import Purpose
from atjt_ext.ops import reference as slow
from helpers.damage_kinds import Kind, deletion, insertion, sequences_of, swap


class Reference:
    """The kinds of damage in plain Python, row by row and draw by draw."""

    def __init__(self, sequences: Tensor, keys: Tensor, *, seed: int, step: int) -> None:
        self.rows = sequences.tolist()
        self.width = sequences.shape[1]
        self.name: dict[str, Any] = {"seed": seed, "step": step}
        self.keys = keys

    def draws(self, purpose: Purpose, length: int | None = None) -> list[list[int]]:
        length = self.width if length is None else length
        drawn: list[list[int]] = slow.keyed_draws(
            self.keys, length, purpose=purpose, **self.name
        ).tolist()
        return drawn

    def chosen_rows(self, purpose: Purpose, options: Any) -> set[int]:
        draws = [draw for (draw,) in self.draws(purpose, 1)]
        if options.sequence_probability is not None:
            limit = options.sequence_probability
            return {r for r, draw in enumerate(draws) if (draw % 2**64 >> 11) / 2**53 < limit}
        fraction = 0.5 if options.sequence_fraction is None else options.sequence_fraction
        order = sorted(range(len(draws)), key=lambda row: (draws[row], row))
        return set(order[: math.floor(fraction * len(draws) + 0.5)])

    def open_columns(self, row: list[int], options: Any) -> list[int]:
        end = self.width if options.include_target else self.width - 1
        return [column for column in range(end) if row[column] != 0]

    def finished(self, rows: list[list[tuple[int, bool]]]) -> tuple[Tensor, Tensor, Tensor]:
        """Tensors of rows of (item, mark), cut or padded on the left."""
        padded = [([(0, False)] * self.width + row)[len(row) :] for row in rows]
        cells = torch.tensor(padded, dtype=torch.int64).view(len(rows), self.width, 2)
        replaced = cells[..., 1].bool()
        return cells[..., 0], replaced, replaced.any(dim=1)

    def item_deletion(self, options: ItemDeletion) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self.chosen_rows(Purpose.DELETED_ROW, options)
        draws = self.draws(Purpose.DELETED_POSITION)
        out = []
        for r, row in enumerate(self.rows):
            columns = self.open_columns(row, options)
            k = amount(options.num_deletions, options.delete_ratio, len(columns))
            k = min(k, max(len(columns) - 1, 0)) if r in chosen else 0
            removed = sorted(columns, key=lambda c: (draws[r][c] >> 1, c))[:k]
            new: list[tuple[int, bool]] = []
            gap = False
            for column, item in enumerate(row):
                if column in removed:
                    gap = True
                elif item != 0:
                    new.append((item, gap))
                    gap = False
            if gap:
                new[-1] = (new[-1][0], True)
            out.append(new)
        return self.finished(out)

    def item_insertion(self, options: ItemInsertion) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self.chosen_rows(Purpose.INSERTED_ROW, options)
        draws = self.draws(Purpose.INSERTED_POSITION)
        item_draws = self.draws(Purpose.INSERTED_ITEM)
        out = []
        for r, row in enumerate(self.rows):
            columns = self.open_columns(row, options)
            k = amount(options.num_insertions, options.insert_ratio, len(columns))
            k = k if r in chosen else 0
            behind = sorted(columns, key=lambda c: (draws[r][c] >> 1, c))[:k]
            new = []
            for column, item in enumerate(row):
                if item == 0:
                    continue
                new.append((item, False))
                if column in behind:
                    neighbours = {item, *row[column + 1 : column + 2]}
                    others = [i for i in range(1, options.num_items + 1) if i not in neighbours]
                    new.append((others[item_draws[r][column] % 2**64 * len(others) >> 64], True))
            out.append(new)
        return self.finished([row[-self.width :] for row in out])

    def adjacent_swap(self, options: AdjacentSwap) -> tuple[Tensor, Tensor, Tensor]:
        chosen = self.chosen_rows(Purpose.SWAPPED_ROW, options)
        draws = self.draws(Purpose.SWAPPED_POSITION, self.width - 1)
        out = []
        for r, row in enumerate(self.rows):
            columns = self.open_columns(row, options)
            ratio = None if options.swap_ratio is None else options.swap_ratio / 2
            k = amount(options.num_swaps, ratio, len(columns)) if r in chosen else 0
            new = [[item, False] for item in row]
            pairs = [c for c in columns if c + 1 in columns and row[c] != row[c + 1]]
            for left in sorted(pairs, key=lambda c: (draws[r][c] >> 1, c)):
                if k > 0 and not new[left][1] and not new[left + 1][1]:
                    new[left], new[left + 1] = [row[left + 1], True], [row[left], True]
                    k -= 1
            out.append([(item, mark) for item, mark in new])
        return self.finished(out)  # type: ignore[arg-type]


def amount(count: int | None, ratio: float | None, items: int) -> int:
    if count is not None:
        return min(count, items)
    assert ratio is not None
    return math.floor(ratio * items + 0.5)


def assert_same(got: CorruptionOutput, wanted: tuple[Tensor, Tensor, Tensor]) -> None:
    assert torch.equal(got.sequences.cpu().long(), wanted[0])
    assert torch.equal(got.replaced.cpu(), wanted[1])
    assert torch.equal(got.noise_labels.cpu(), wanted[2])


@pytest.mark.parametrize("include_target", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"amount": 1},
        {"amount": 3, "sequence_fraction": 1.0},
        {"amount": 0.3, "sequence_fraction": 0.7},
        {"amount": 1.0, "sequence_probability": 0.6},
        {"amount": 100, "sequence_fraction": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [deletion, insertion, swap])
@pytest.mark.parametrize("num_items", [3, 50])  # of three items, many neighbours are the same
def test_equals_the_row_by_row_reference(
    device: torch.device, num_items: int, kind: Kind, options: dict[str, Any], include_target: bool
) -> None:
    sequences = sequences_of(100, num_items=num_items)
    corruption = kind(**options, include_target=include_target)
    keys = torch.arange(100) * 10**10 - 5
    got = corruption(sequences.to(device), seed=2**63 + 7, step=3, row_keys=keys.to(device))
    by_row = Reference(sequences, keys, seed=2**63 + 7, step=3)
    wanted = {
        "deletion": by_row.item_deletion,
        "insertion": by_row.item_insertion,
        "swap": by_row.adjacent_swap,
    }[kind.__name__](corruption)
    assert_same(got, wanted)
