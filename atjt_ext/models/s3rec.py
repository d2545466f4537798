"""S3-Rec: SASRec with self-supervised pre-training on items, attributes and segments.

Zhou et al., "S^3-Rec: Self-Supervised Learning for Sequential Recommendation with Mutual
Information Maximization", CIKM 2020 (arXiv:2008.07873).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._packing import PackedRows
from .options import (
    Effect,
    TransformerConfig,
    above_zero,
    at_least_zero,
    between_0_and_1,
    require,
    require_length,
    require_row_per_item,
    share,
)
from .sasrec import SASRec

__all__ = ["PretrainingWeights", "S3Rec", "S3RecConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingWeights:
    """Weights of the four tasks; the defaults are those of the paper's code.

    Attributes:
        associated_attributes: AAP, predict an item's attributes from its own state.
        masked_items: MIP, tell a masked item from a random one.
        masked_attributes: MAP, predict the attributes of a masked item.
        segments: SP, tell a masked segment from one of other sequences.
    """

    associated_attributes: float = 1.0
    masked_items: float = 0.2
    masked_attributes: float = 1.0
    segments: float = 0.5


_PRETRAINS = Effect(
    "pretrain_epochs above 0", lambda options: options["pretrain_epochs"] > 0, ("pretrain_epochs",)
)


@dataclass(frozen=True, kw_only=True)
class S3RecConfig(TransformerConfig):
    """Sizes and pre-training of S3-Rec.

    Attributes:
        pretrain_epochs: passes over the training data in pre-training; 0 trains plain SASRec.
        pretrain_learning_rate: Adam's learning rate in pre-training.
        mask_ratio: share of the items masked in pre-training.
    """

    dropout: float = share(0.2)
    pretrain_epochs: int = at_least_zero(20)
    pretrain_learning_rate: float = above_zero(1e-3, _PRETRAINS)
    mask_ratio: float = between_0_and_1(0.2, _PRETRAINS)

    def build(self, num_items: int, *, max_length: int, **_: Any) -> S3Rec:
        sizes = {one.name: getattr(self, one.name) for one in fields(TransformerConfig)}
        return S3Rec(num_items, max_length=max_length, **sizes)

    def pretraining(self) -> dict[str, Any]:
        rate, ratio = self.pretrain_learning_rate, self.mask_ratio
        return {"epochs": self.pretrain_epochs, "learning_rate": rate, "mask_ratio": ratio}


class S3Rec(SASRec):
    """SASRec with other defaults and :meth:`pretrain`. Meets the ``Pretrainable`` protocol, too."""

    def __init__(
        self,
        num_items: int,
        *,
        max_length: int = 50,
        embedding_dim: int = S3RecConfig.embedding_dim,
        num_blocks: int = S3RecConfig.num_blocks,
        num_heads: int = S3RecConfig.num_heads,
        dropout: float = S3RecConfig.dropout,
    ) -> None:
        super().__init__(
            num_items,
            max_length=max_length,
            embedding_dim=embedding_dim,
            num_blocks=num_blocks,
            num_heads=num_heads,
            dropout=dropout,
        )

    def pretrain(
        self,
        batches: Callable[[int], Iterable[Tensor]],
        *,
        epochs: int,
        item_attributes: Tensor | None = None,
        mask_ratio: float = S3RecConfig.mask_ratio,
        learning_rate: float = S3RecConfig.pretrain_learning_rate,
        weights: PretrainingWeights | None = None,
        seed: int = 0,
        on_epoch: Callable[[int, float], None] | None = None,
    ) -> list[float]:
        """Trains the parameters in place on four self-supervised tasks, with Adam.

        Positions see the whole sequence here, also later items. The heads of the tasks, the vector
        of a masked item and the embeddings of attributes are discarded afterwards.

        Args:
            batches: the training sequences of an epoch (from 0): ``[B, L]`` int64, left-padded
                with 0.
            epochs: passes over the training sequences; 0 leaves the model as it is.
            item_attributes: ``[num_items + 1, A]`` bool; None drops the two tasks on attributes.
            mask_ratio: share of the items masked, in ``(0, 1)``.
            learning_rate: Adam's.
            weights: weights of the tasks; None means the paper's.
            seed: decides masks, segments, negatives and dropout.
            on_epoch: called with the epoch (from 1) and its mean loss.

        Returns:
            The mean loss of each epoch.
        """
        require("mask_ratio", mask_ratio, "in (0, 1)", 0 < mask_ratio < 1)
        device = self.item_embedding.weight.device
        training = self.training
        history = []
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            tasks = _Tasks(self, item_attributes, mask_ratio, weights or PretrainingWeights())
            tasks.to(device).train()
            optimizer = torch.optim.Adam(tasks.parameters(), lr=learning_rate)
            for epoch in range(epochs):
                losses = []
                for sequences in batches(epoch):
                    loss = tasks(sequences)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.detach())
                history.append(float(torch.stack(losses).mean()))
                if on_epoch is not None:
                    on_epoch(epoch + 1, history[-1])
        self.train(training)
        return history


class _Tasks(nn.Module):
    """The model with the heads of its four tasks.

    Scores are compared as logits. RecBole's code, by an author of the paper, takes the sigmoid of
    the difference of two sigmoids, which cannot exceed 0.73.
    """

    item_attributes: Tensor | None

    def __init__(
        self,
        model: SASRec,
        item_attributes: Tensor | None,
        mask_ratio: float,
        weights: PretrainingWeights,
    ) -> None:
        super().__init__()
        width = model.item_embedding.embedding_dim
        self.model = model
        self.mask_ratio = mask_ratio
        self.weights = weights
        self.masked_item = nn.Parameter(0.02 * torch.randn(width))
        self.item_head = nn.Linear(width, width)
        self.segment_head = nn.Linear(width, width)
        self.register_buffer("item_attributes", item_attributes)
        if item_attributes is not None:
            require_row_per_item("item_attributes", item_attributes, model.num_items, "A")
            self.associated_head = nn.Linear(width, width)
            self.masked_head = nn.Linear(width, width)
            self.attributes = nn.Parameter(0.02 * torch.randn(item_attributes.shape[1], width))

    def forward(self, sequences: Tensor) -> Tensor:
        """The weighted sum of the tasks' losses, per sequence: a scalar."""
        require_length(sequences.shape[1], self.model.max_length)
        loss = self._masked_items(sequences) + self.weights.segments * self._segments(sequences)
        return loss / len(sequences)

    def _encode(self, sequences: Tensor, masked: Tensor) -> tuple[Tensor, PackedRows]:
        """States ``[T, D]`` of the tokens, and the rows; items at ``masked [B, L]`` are hidden."""
        rows = PackedRows(sequences != 0, causal=False)
        items = self.model.item_embedding(rows.packed(sequences))
        items = torch.where(rows.packed(masked)[:, None], self.masked_item, items)
        return self.model.states(self.model.scaled(items), rows), rows

    def _masked_items(self, sequences: Tensor) -> Tensor:
        """MIP, and AAP and MAP if there are attributes, on one masked copy."""
        masked = torch.rand(sequences.shape, device=sequences.device) < self.mask_ratio
        states, rows = self._encode(sequences, masked)
        items, hidden = rows.packed(sequences), rows.packed(masked)
        loss = self.weights.masked_items * self._item_loss(states[hidden], items[hidden])
        if self.item_attributes is not None:
            for head, weight, of_head in (
                (self.associated_head, self.weights.associated_attributes, ~hidden),
                (self.masked_head, self.weights.masked_attributes, hidden),
            ):
                logits = head(states[of_head]) @ self.attributes.T
                truth = self.item_attributes[items[of_head]].to(logits.dtype)
                error = F.binary_cross_entropy_with_logits(logits, truth, reduction="sum")
                loss = loss + weight * error
        return loss

    def _item_loss(self, states: Tensor, items: Tensor) -> Tensor:
        table = self.model.item_table()
        others = torch.randint(1, max(2, self.model.num_items), items.shape, device=items.device)
        others = (others + (others >= items)).clamp(max=self.model.num_items)
        predicted = self.item_head(states)
        return -F.logsigmoid((predicted * (table[items] - table[others])).sum(dim=1)).sum()

    def _segments(self, sequences: Tensor) -> Tensor:
        """SP: tell a segment from one of the same length elsewhere, given its surroundings."""
        true, false, inside = segment_copies(sequences)
        if not len(true):
            return self.masked_item.new_zeros(())
        copies = ((true, inside), (true, ~inside), (false, ~inside))
        encoded = [self._encode(copy, masked) for copy, masked in copies]
        context, same, other = (rows.unpacked(states)[:, -1] for states, rows in encoded)
        return -F.logsigmoid((self.segment_head(context) * (same - other)).sum(dim=1)).sum()


def segment_copies(sequences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A random segment of each row of ``[B, L]``, at most half of it, and one to replace it.

    Returns:
        The ``b`` rows with at least two items ``[b, L]``; these rows with the segment replaced by
        as many successive items from anywhere in the batch; ``[b, L]`` bool, true in the segment.
    """
    valid = sequences != 0
    everything, counts = sequences[valid], valid.sum(dim=1)
    rows, counts = sequences[counts > 1], counts[counts > 1]
    length = 1 + _below(counts // 2)
    start = _below(counts - length + 1)
    elsewhere = _below(len(everything) - length + 1)
    columns = torch.arange(rows.shape[1], device=rows.device)
    place = columns - (rows.shape[1] - counts)[:, None] - start[:, None]
    inside = (place >= 0) & (place < length[:, None])
    drawn = everything[(elsewhere[:, None] + place).clamp(0, max(0, len(everything) - 1))]
    return rows, torch.where(inside, drawn, rows), inside


def _below(limits: Tensor) -> Tensor:
    """Uniform integers in ``0 .. limits - 1``."""
    drawn = (torch.rand(limits.shape, device=limits.device) * limits).to(torch.int64)
    return torch.minimum(drawn, limits - 1)  # float32 may round up to the limit
