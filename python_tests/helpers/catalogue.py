"""Examples for target_ranks and top_k, with scores that are exact in every dtype."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def exact_example(
    rows: int,
    items: int,
    width: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    *,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, embeddings and bias of small integers: sums are exact in any order, and tie
    often. A third of the items are twice in the table."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randint(-2, 3, (rows, width), generator=generator)
    table = torch.randint(-2, 3, (items, width), generator=generator)
    copied = torch.randperm(items, generator=generator)[: items // 3]
    table[copied] = table[copied.flip(0)].clone()
    bias = torch.randint(-3, 4, (items,), generator=generator).double()
    return hidden.to(device, dtype), table.to(device, dtype), bias.to(device)


def random_pairs(
    rows: int, items: int, device: torch.device, *, count: int, seed: int = 0
) -> dict[str, Tensor]:
    """Excluded pairs in random order, each at least twice."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.randint(0, max(1, rows * items), (count if rows else 0,), generator=generator)
    pairs = torch.cat([pairs, pairs])[torch.randperm(2 * len(pairs), generator=generator)]
    return {
        "exclude_rows": (pairs // items).to(device),
        "exclude_items": (pairs % items).to(device),
    }


def pairs_of(device: torch.device, *pairs: tuple[int, int]) -> dict[str, Tensor]:
    """Excluded pairs (row, item)."""
    rows, items = zip(*pairs, strict=True)
    return {
        "exclude_rows": torch.tensor(rows, device=device),
        "exclude_items": torch.tensor(items, device=device),
    }


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"hidden": torch.zeros(3)}, r"hidden must be \[N, D\], got shape \(3,\)"),
    ({"hidden": torch.zeros(4, 3).int()}, "hidden must be one of .*, got torch.int32"),
    (
        {"item_embeddings": torch.zeros(5, 2)},
        r"item_embeddings must be \[V, 3\], as wide as hidden.*got shape \(5, 2\)",
    ),
    ({"item_embeddings": torch.zeros(5)}, r"item_embeddings must be \[V, 3\]"),
    ({"item_embeddings": torch.zeros(0, 3)}, r"V >= 1, got shape \(0, 3\)"),
    (
        {"item_embeddings": torch.zeros(5, 3).bfloat16()},
        "item_embeddings must be torch.float32 like hidden, got torch.bfloat16",
    ),
    (
        {"item_embeddings": torch.zeros(5, 3, device="meta")},
        "item_embeddings must be on cpu, got meta",
    ),
    ({"bias": torch.zeros(4)}, r"bias must be \[5\], got shape \(4,\)"),
    ({"bias": torch.zeros(5).long()}, "bias must be floating point, got torch.int64"),
    ({"bias": torch.zeros(5, device="meta")}, "bias must be on cpu"),
    ({"exclude_rows": torch.zeros(2).long()}, "go together, got no exclude_items"),
    ({"exclude_items": torch.zeros(2).long()}, "go together, got no exclude_rows"),
    (
        {"exclude_rows": torch.zeros(2, 1).long(), "exclude_items": torch.zeros(2).long()},
        r"exclude_rows must be \[P\], got shape \(2, 1\)",
    ),
    (
        {"exclude_rows": torch.zeros(2).long(), "exclude_items": torch.zeros(3).long()},
        r"exclude_items must be \[2\], got shape \(3,\)",
    ),
    (
        {"exclude_rows": torch.zeros(2).int(), "exclude_items": torch.zeros(2).long()},
        "exclude_rows must be int64, got torch.int32",
    ),
]
"""Arguments that both operations refuse, beside float32 states [4, 3] and embeddings [5, 3]."""

OUT_OF_RANGE = [
    ((4, 0), r"exclude_rows must be in \[0, 4\), got 4 at 1"),
    ((-1, 0), r"exclude_rows must be in \[0, 4\), got -1 at 1"),
    ((0, 5), r"exclude_items must be in \[0, 5\), got 5 at 1"),
    ((0, -7), r"exclude_items must be in \[0, 5\), got -7 at 1"),
]
"""A second pair after (1, 1) that both operations refuse, and the message."""
