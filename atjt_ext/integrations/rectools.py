"""RecTools: weights for its targets, given before training or learned during it.

    SASRecModel(loss="reweighted", lightning_module_type=ReweightedModule)          # "offline"
    SASRecModel(loss="joint", lightning_module_type=JointModule,
                data_preparator_type=WithUsers)                                     # "joint"

``docs/integrations/rectools.md`` has both in full, and the traps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..ops.losses import LinearReweightedCrossEntropyLoss
from ..training.joint_loss import JointLoss

try:
    from rectools import Columns
    from rectools.dataset.dataset import DatasetSchema
    from rectools.models.nn.transformers.lightning import TransformerLightningModule
    from rectools.models.nn.transformers.sasrec import SASRecDataPreparator
    from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
    from rectools.models.rank import Distance
except ImportError as error:
    raise ImportError(
        'atjt_ext.integrations.rectools needs RecTools: pip install "rectools[torch]==0.19.0"'
    ) from error

_USER = "user_code"


class _SoftmaxModule(TransformerLightningModule):
    """Softmax over the catalogue at every target, from hidden states and the item table."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        similarity = self.torch_model.similarity_module
        if self.loss_calculator is not None:
            # RecTools would use its own loss and never call this one.
            raise ValueError(f"loss must be a name that is not RecTools' own, got {self.loss!r}")
        distance = isinstance(similarity, DistanceSimilarityModule) and similarity.distance
        if distance != Distance.DOT:
            raise ValueError("similarity must be DistanceSimilarityModule with distance 'dot'")
        if len(self.item_extra_tokens) != 1:
            raise ValueError(
                "the model must predict the next item, as SASRec does, with padding as its only "
                f"extra token, got {self.item_extra_tokens}"
            )

    def hidden_and_table(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """``[B, L, D]`` and ``[n_items, D]``; their products are RecTools' logits."""
        table = self.torch_model.item_model.get_all_embeddings()
        hidden = self.torch_model.encode_sessions(batch, table)
        return hidden / self.logits_t, table

    def _calc_custom_loss_outputs(
        self, batch: dict[str, Tensor], batch_idx: int
    ) -> dict[str, Tensor]:
        # Validation is the same as under RecTools' loss "softmax".
        logits = self.get_batch_logits(batch)[:, -1:, :]
        loss = self._calc_softmax_loss(logits, batch["y"], batch["yw"])
        return {"loss": loss, "logits": logits.squeeze()}


class ReweightedModule(_SoftmaxModule):
    """``sum(w * l) / sum(w)`` over the targets of a batch; ``w`` comes from ``Columns.Weight``.

    RecTools' own softmax loss divides by the number of targets, so weights of mean 1/2 would halve
    its gradient.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reweighted = LinearReweightedCrossEntropyLoss(ignore_index=0)

    def _calc_custom_loss(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.reweighted(*self.hidden_and_table(batch), batch["y"], batch["yw"])
        return loss


class JointModule(_SoftmaxModule):
    """:class:`atjt_ext.JointLoss` beside the model; needs ``data_preparator_type=WithUsers``.

    ``lightning_module_kwargs={"joint": {...}}`` gives options of ``JointLoss``. A step is a batch.
    """

    def __init__(self, *args: Any, joint: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        num_users = DatasetSchema.model_validate(self.dataset_schema).users.n_hot
        self.joint_loss = JointLoss(len(self.item_external_ids) - 1, num_users, **(joint or {}))

    def _calc_custom_loss(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        if _USER not in batch:
            raise ValueError("batches must name their users: data_preparator_type=WithUsers")
        users, y = batch[_USER], batch["y"]
        sequences = torch.cat([batch["x"], y[:, -1:]], dim=1)
        scores = self.hidden_and_table(batch)
        return self.joint_loss.cross_entropy(sequences, users, *scores, y, mask=y != 0)

    optimizer: torch.optim.Adam | None

    def configure_optimizers(self) -> torch.optim.Adam:
        """RecTools' optimizer, for the noise models too; RecTools passes only ``torch_model``."""
        if self.optimizer is None:
            self.optimizer = torch.optim.Adam(self.parameters(), lr=self.lr, betas=self.adam_betas)
        return self.optimizer


class WithUsers(SASRecDataPreparator):
    """Adds the user code of each row to training batches; RecTools' batches have no users."""

    def process_dataset_train(self, dataset: Any) -> None:
        """RecTools' processing, and a further column with the codes of users."""
        super().process_dataset_train(dataset)
        interactions = self.train_dataset.interactions.df
        interactions[_USER] = interactions[Columns.User]

    def _collate_fn_train(self, batch: list[Any]) -> dict[str, Tensor]:
        collated: dict[str, Tensor] = super()._collate_fn_train(batch)
        collated[_USER] = torch.tensor([extras[_USER][0] for _, _, extras in batch])
        return collated
