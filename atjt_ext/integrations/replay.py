"""RePlay: losses for its models, with weights given before training or learned during it.

    SasRec(body=..., loss=ReweightedCE("weight"))                                   # "offline"
    SasRec(body=..., loss=JointCE(num_items, num_users, ...))                       # "joint"

``docs/integrations/replay.md`` has both in full, and the traps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..ops.losses import LinearReweightedCrossEntropyLoss
from ..training.joint_loss import JointLoss

try:
    from replay.nn.transform import SequenceRollTransform
except ImportError as error:
    raise ImportError(
        'atjt_ext.integrations.replay needs RePlay: pip install "replay-rec[torch]==0.22.0"'
    ) from error

_IGNORED = -100


class _Given(NamedTuple):
    """The arguments of a loss."""

    catalogue: tuple[Tensor, Tensor]  # hidden states [B, T, D] and the item table
    features: dict[str, Tensor]
    is_read: Tensor  # [B, T], inputs that are no padding
    targets: Tensor  # [B, T]
    counted: Tensor  # [B, T], targets that are no padding


class _CatalogueLoss(nn.Module):
    """A loss by RePlay's protocol; it takes the item table from the model of its logits."""

    _logits_callback: Callable[..., Tensor] | None = None

    @property
    def logits_callback(self) -> Callable[..., Tensor]:
        """``get_logits`` of the model; ``SasRec(body=..., loss=...)`` sets it.

        Raises:
            RuntimeError: if it is not set.
            ValueError: if the model does not score by its item table.
        """
        if self._logits_callback is None:
            raise RuntimeError("logits_callback must be set to the model's get_logits first")
        return self._logits_callback

    @logits_callback.setter
    def logits_callback(self, callback: Callable[..., Tensor]) -> None:
        body = getattr(getattr(callback, "__self__", None), "body", None)
        if not hasattr(getattr(body, "embedder", None), "get_item_weights"):
            raise ValueError(
                "logits_callback must be the get_logits method of a model that scores by "
                f"body.embedder.get_item_weights(), as SasRec does, got {callback!r}"
            )
        self._logits_callback = callback

    def forward(
        self,
        model_embeddings: Tensor,
        feature_tensors: dict[str, Tensor],
        positive_labels: Tensor,
        negative_labels: Tensor | None,
        padding_mask: Tensor,
        target_padding_mask: Tensor,
    ) -> Tensor:
        """RePlay's hook: the loss of a batch, a scalar."""
        if positive_labels.shape[-1] != 1:
            shape = list(positive_labels.shape)
            raise ValueError(f"positive_labels must be [B, T, 1], one target each, got {shape}")
        model: Any = self.logits_callback.__self__  # type: ignore[attr-defined]
        catalogue = (model_embeddings, model.body.embedder.get_item_weights())
        targets, counted = positive_labels[..., 0], target_padding_mask[..., 0]
        return self._loss(_Given(catalogue, feature_tensors, padding_mask, targets, counted))

    def _loss(self, given: _Given) -> Tensor:
        raise NotImplementedError


class ReweightedCE(_CatalogueLoss):
    """``sum(w * l) / sum(w)`` over the targets of a batch, without logits ``[B, T, items]``.

    Args:
        feature_name: The sequence feature ``[B, T]`` with the weight of each *target*; see
            :func:`with_target_weights`.
    """

    def __init__(self, feature_name: str) -> None:
        super().__init__()
        self.feature_name = feature_name
        self.reweighted = LinearReweightedCrossEntropyLoss(ignore_index=_IGNORED)

    def _loss(self, given: _Given) -> Tensor:
        targets = given.targets.masked_fill(~given.counted, _IGNORED)
        weight = given.features[self.feature_name].reshape(targets.shape).float()
        loss: Tensor = self.reweighted(*given.catalogue, targets, weight)
        return loss


class JointCE(_CatalogueLoss):
    """:class:`atjt_ext.JointLoss` as a loss of RePlay; its optimizer trains the noise models.

    Args:
        num_items: Cardinality of the item feature.
        num_users: Cardinality of the user feature.
        item_feature: Name of the item feature in the schema and in batches.
        user_feature: Likewise.
        options: Options of ``JointLoss``. A step is a batch.
    """

    def __init__(
        self,
        num_items: int,
        num_users: int,
        *,
        item_feature: str = "item_id",
        user_feature: str = "user_id",
        **options: Any,
    ) -> None:
        super().__init__()
        self.item_feature, self.user_feature = item_feature, user_feature
        self.joint_loss = JointLoss(num_items, num_users, **options)

    def _loss(self, given: _Given) -> Tensor:
        # RePlay's items start at 0, and padding follows the last; here padding is 0.
        history = (given.features[self.item_feature] + 1).masked_fill(~given.is_read, 0)
        sequences = torch.cat([history, given.targets[:, -1:] + 1], dim=1)
        users = given.features[self.user_feature].reshape(-1)
        return self.joint_loss.cross_entropy(
            sequences, users, *given.catalogue, given.targets, mask=given.counted
        )


def with_target_weights(transforms: list[nn.Module], feature_name: str) -> list[nn.Module]:
    """RePlay's training transforms, after one that moves the feature from items to targets.

    The target at ``t`` is the item after the item at ``t``. ``NextTokenTransform`` only cuts the
    last entry of every feature, so without the move entry ``t`` would be the weight of the input.
    """
    return [SequenceRollTransform(feature_name, roll=-1, padding_value=0), *transforms]
