"""The one evaluator of all contenders: NDCG@10 on the validation items, whole catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from atjt_ext.data import EvaluationBatch, LeaveOneOut, TrainingRows
from atjt_ext.evaluation.metrics import hit_rate, ndcg
from atjt_ext.ops import target_ranks, top_k

from .job import RaceData

K = 10
_USERS = 1024  # at once


@dataclass(frozen=True, slots=True)
class Verdict:
    """How well a contender's model ranks: ``unknown`` items it cannot recommend at all."""

    ndcg: float
    hit_rate: float
    unknown: int


def race_data(split: LeaveOneOut, length: int) -> RaceData:
    """The split for processes without ``atjt_ext``."""
    train = split.train
    rows = TrainingRows(train, max_length=length)
    histories = [
        torch.nn.functional.pad(one.inputs, (length - one.inputs.shape[1], 0))
        for one in split.valid.batches(_USERS, length)
    ]
    return RaceData(
        num_items=train.num_items,
        offsets=train.offsets.numpy(),
        items=train.items.numpy(),
        window_ends=rows._ends.numpy(),
        window_lengths=rows._lengths.numpy(),
        histories=torch.cat(histories).numpy(),
    )


class Judge:
    """Ranks validation items by what a contender exports: states of histories, items, known items.

    Items of the user's history do not compete. An item that the library does not know, since it
    occurs in no training sequence, ranks last.
    """

    def __init__(self, split: LeaveOneOut, length: int) -> None:
        self._batches = list(split.valid.batches(_USERS, length))

    def verdict(self, export: Path) -> Verdict:
        """The verdict on a model, from the file that :class:`race.turns.Turns` wrote."""
        ranks = []
        for batch, hidden, items, bias in self._parts(export):
            seen = {"exclude_rows": batch.seen_rows, "exclude_items": batch.seen_items - 1}
            ranks.append(target_ranks(hidden, items, batch.targets - 1, bias=bias, **seen))
        of_users = torch.cat(ranks)
        unknown = int((bias == -torch.inf).sum())
        return Verdict(ndcg(of_users, K), hit_rate(of_users, K), unknown)

    def agreement(self, export: Path) -> float:
        """The share of the library's own top-10 lists that are also the judge's, over all users.

        Much below 1 means that the judge does not rank as the library does, so that its verdicts
        are wrong.
        """
        with np.load(export) as arrays:
            lists = torch.from_numpy(arrays["lists"])
        found, start = 0, 0
        for batch, hidden, items, bias in self._parts(export):
            seen = {"exclude_rows": batch.seen_rows, "exclude_items": batch.seen_items - 1}
            _, ours = top_k(hidden, items, K, bias=bias, **seen)
            theirs = lists[start : start + len(hidden)] - 1
            found += int((ours[:, :, None] == theirs[:, None, :]).sum())
            start += len(hidden)
        return found / lists.numel()

    def _parts(self, export: Path) -> Iterator[tuple[EvaluationBatch, Tensor, Tensor, Tensor]]:
        with np.load(export) as arrays:
            hidden, items, known = (
                torch.from_numpy(arrays[name]) for name in ("hidden", "items", "known")
            )
        users = sum(len(batch.users) for batch in self._batches)
        if len(hidden) != users or items.shape[1] != hidden.shape[1] or len(items) != len(known):
            raise ValueError(
                f"an export must hold hidden [{users}, D], items [V, D] and known [V], got "
                f"{list(hidden.shape)}, {list(items.shape)} and {list(known.shape)}"
            )
        bias = torch.where(known, 0.0, -torch.inf)
        start = 0
        for batch in self._batches:
            part = hidden[start : start + len(batch.users)]
            start += len(part)
            yield batch, part.contiguous(), items, bias
