"""Short constructors for the kinds of damage, and sequences of every length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext import AdjacentSwap, ItemDeletion, ItemInsertion, MixedCorruption, RandomReplacement
from atjt_ext.corruption import Corruption

NUM_ITEMS = 60  # as in the fixture `split`
Kind = Callable[..., Any]


def deletion(amount: float = 2, **options: Any) -> ItemDeletion:
    name = "num_deletions" if isinstance(amount, int) else "delete_ratio"
    return ItemDeletion(**{name: amount, **options})


def insertion(amount: float = 2, **options: Any) -> ItemInsertion:
    name = "num_insertions" if isinstance(amount, int) else "insert_ratio"
    return ItemInsertion(**{"num_items": NUM_ITEMS, name: amount, **options})


def swap(amount: float = 2, **options: Any) -> AdjacentSwap:
    name = "num_swaps" if isinstance(amount, int) else "swap_ratio"
    return AdjacentSwap(**{name: amount, **options})


def replacement(amount: float = 2, **options: Any) -> RandomReplacement:
    name = "num_replacements" if isinstance(amount, int) else "replace_ratio"
    return RandomReplacement(**{"num_items": NUM_ITEMS, name: amount, **options})


def sequences_of(rows: int = 200, width: int = 11, *, num_items: int = NUM_ITEMS) -> Tensor:
    """Row r has ``r % (width + 1)`` items, left-padded."""
    generator = torch.Generator().manual_seed(0)
    sequences = torch.randint(1, num_items + 1, (rows, width), generator=generator)
    lengths = torch.arange(rows) % (width + 1)
    return sequences.masked_fill(torch.arange(width) < (width - lengths)[:, None], 0)


def items_of(row: Tensor) -> list[int]:
    return [item for item in row.tolist() if item != 0]


KINDS: dict[str, Corruption] = {
    "replacement": replacement(2),
    "deletion": deletion(2),
    "deletion by share": deletion(0.4, include_target=True),
    "insertion": insertion(2),
    "insertion by share": insertion(0.4, include_target=True),
    "swap": swap(2),
    "swap by share": swap(0.4, include_target=True),
    "mixture": MixedCorruption((deletion(1), insertion(1), swap(1))),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
EACH_MADE = pytest.mark.parametrize("kind", [replacement, deletion, insertion, swap])
ALL_ROWS: dict[str, Any] = {"sequence_fraction": 1.0}
