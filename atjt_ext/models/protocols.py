"""The members that the trainer needs of a model. No base class: any ``nn.Module`` with them fits.

One adapter line makes a foreign model a recommender: give it ``encode`` and ``item_table`` (a
sequence model that scores by inner products), or ``score`` (any other model).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from ..data import Batch

__all__ = [
    "AuxiliaryLoss",
    "NoiseModel",
    "PointwiseRecommender",
    "Pretrainable",
    "Recommender",
    "SequenceRecommender",
    "last_of",
    "predicts_last_position_only",
    "weighs_last_target_only",
]


_Method = TypeVar("_Method", bound=Callable[..., Tensor])


def last_of(encode: Callable[..., Tensor]) -> Callable[[_Method], _Method]:
    """Marks a method ``encode_last`` as ``encode(...)[:, -1]`` of this ``encode``.

    It is called for this ``encode`` only: a subclass, or an assignment to class or object, may
    replace ``encode`` alone.
    """

    def mark(method: _Method) -> _Method:
        method.last_of = encode  # type: ignore[attr-defined]
        return method

    return mark


@runtime_checkable
class SequenceRecommender(Protocol):
    """Scores item v after position t as ``encode(sequences)[:, t] @ item_table()[v]``.

    The trainer trains it at every position, so the state at t must not depend on items after t. A
    model that breaks this rule declares ``last_position_only = True``: the trainer then trains it
    at the last position of each row only.
    """

    num_items: int

    def encode(self, sequences: Tensor) -> Tensor:
        """``[B, L]`` int64, left-padded with 0 -> hidden states ``[B, L, D]``.

        For weights on inputs, add an argument ``input_weight: Tensor | None = None``: ``[B, L]`` in
        [0, 1], where 1 changes nothing and 0 hides the item. For dropout masks that depend on the
        row and the step alone, add ``dropout_key: DropoutKey | None = None``
        (:mod:`atjt_ext.models.dropout`).

        Evaluation and recommendation need the last states only. A model that can compute them with
        less work adds ``encode_last(sequences) -> [B, D]``, with ``input_weight`` if ``encode`` has
        it, marked by :func:`last_of`.
        """
        ...

    def item_table(self) -> Tensor:
        """``[num_items + 1, D]``; row 0 is padding."""
        ...


@runtime_checkable
class PointwiseRecommender(Protocol):
    """Scores given candidates for the last target of every sequence."""

    num_items: int

    def score(self, batch: Batch, candidates: Tensor) -> Tensor:
        """``candidates [B, C]`` int64 item ids -> logits ``[B, C]``, from ``batch.inputs`` only."""
        ...


Recommender = SequenceRecommender | PointwiseRecommender


@runtime_checkable
class AuxiliaryLoss(Protocol):
    """A recommender with a further loss, such as a contrast."""

    def auxiliary_loss(self, batch: Batch) -> Tensor:
        """The loss times its weight: a scalar that is added to the recommender's loss.

        It may take a ``dropout_key``, too, for passes from 1 on
        (:meth:`~atjt_ext.models.dropout.DropoutKey.in_pass`).
        """
        ...


@runtime_checkable
class Pretrainable(Protocol):
    """A recommender that learns from the training sequences before joint training, as S3-Rec."""

    def pretrain(
        self,
        batches: Callable[[int], Iterable[Tensor]],
        *,
        epochs: int,
        item_attributes: Tensor | None = None,
        seed: int = 0,
        on_epoch: Callable[[int, float], None] | None = None,
        **options: Any,
    ) -> list[float]:
        """Trains in place and returns the mean loss of each epoch; arguments: ``S3Rec.pretrain``.
        ``options`` come from the config (:meth:`ModelConfig.pretraining`)."""
        ...


def predicts_last_position_only(recommender: object) -> bool:
    """Whether only the last hidden state of a row may be trained to predict."""
    return bool(getattr(recommender, "last_position_only", False))


def weighs_last_target_only(recommender: object) -> bool:
    """Whether the last item of a row is the only target with a loss, and so with a weight."""
    by_position = isinstance(recommender, SequenceRecommender)
    return not by_position or predicts_last_position_only(recommender)


@runtime_checkable
class NoiseModel(Protocol):
    """Recognises replaced items in ``batch.sequences [B, W]``: histories and their last target."""

    def __call__(self, batch: Batch) -> Tensor:
        """Noise logits, ``[B]`` per sequence or ``[B, W]`` per position; > 0 means noisy."""
        ...
