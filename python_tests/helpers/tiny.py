"""Small data and models that several tests share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from atjt_ext.data import Batch, EvaluationSet, Sequences


def tiny_sequences(
    *users: list[int],
    num_items: int = 9,
    noise: list[bool] | None = None,
    source: str | None = None,
) -> Sequences:
    """One list of item codes per user; ``noise`` is flat, in the order of the items."""
    return Sequences(
        offsets=torch.tensor([0, *map(len, users)]).cumsum(0),
        items=torch.tensor([item for items in users for item in items], dtype=torch.int64),
        user_ids=[f"u{user}" for user in range(len(users))],
        item_ids=[f"i{item}" for item in range(1, num_items + 1)],
        is_noise=None if noise is None else torch.tensor(noise),
        source=source,
    )


def tiny_evaluation_set(
    histories: list[list[int]], targets: list[int], *, num_items: int = 9
) -> EvaluationSet:
    return EvaluationSet(
        users=torch.arange(len(targets)),
        histories=tiny_sequences(*histories, num_items=num_items),
        targets=torch.tensor(targets),
    )


def tiny_batch(*rows: list[int], users: list[int] | None = None, padding: int = 0) -> Batch:
    """Left-padded windows, ``padding`` columns wider than the longest row."""
    width = max(map(len, rows)) + padding
    return Batch(
        rows=torch.arange(len(rows)),
        users=torch.arange(len(rows)) if users is None else torch.tensor(users),
        sequences=torch.tensor([[0] * (width - len(row)) + row for row in rows]),
    )


class ScoreTable(nn.Module):
    """A pointwise recommender that looks up its scores: ``scores [num_users, num_items]``."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)
        self.num_items = scores.shape[1]
        self.asked: list[Tensor] = []

    def score(self, batch: Batch, candidates: Tensor) -> Tensor:
        self.asked.append(candidates.clone())
        return self.scores[batch.users[:, None], candidates - 1]


class LastItemModel(nn.Module):
    """A sequence recommender whose hidden state is an embedding of the current item."""

    def __init__(self, num_items: int = 9, embedding_dim: int = 4, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.num_items = num_items
        shape = (num_items + 1, embedding_dim)
        self.states = nn.Parameter(torch.randn(shape, generator=generator))
        self.table = nn.Parameter(torch.randn(shape, generator=generator))
        self.modes: list[bool] = []

    def encode(self, sequences: Tensor) -> Tensor:
        self.modes.append(self.training)
        return self.states[sequences]

    def item_table(self) -> Tensor:
        return self.table


def random_evaluation_set(*, num_items: int = 30, num_users: int = 25) -> EvaluationSet:
    """Long histories over few items: items repeat, and many targets are seen items."""
    random = np.random.default_rng(0)
    histories = [
        random.integers(1, num_items + 1, random.integers(1, 20)).tolist() for _ in range(num_users)
    ]
    targets = random.integers(1, num_items + 1, num_users).tolist()
    assert any(t in h for t, h in zip(targets, histories, strict=True))
    assert any(t not in h for t, h in zip(targets, histories, strict=True))
    return tiny_evaluation_set(histories, targets, num_items=num_items)
