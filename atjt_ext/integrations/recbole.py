"""RecBole: weights for its rows (prefix, target), given before training or learned during it.

    add_weights(source, destination)            # an .inter file with a column of weights
    class Model(ReweightedLoss, SASRec): ...    # "offline": weights from a float column
    class Model(JointTraining, SASRec): ...     # "joint": noise models inside the model

``docs/integrations/recbole.md`` has both in full, and the traps.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ..ops.losses import LinearReweightedCrossEntropyLoss
from ..training.joint_loss import JointLoss
from .recbole_files import add_weights as add_weights

try:
    from recbole.model.abstract_recommender import SequentialRecommender
except ImportError as error:
    raise ImportError(
        "atjt_ext.integrations.recbole needs RecBole, which needs old versions: "
        'pip install "recbole==1.2.1" "numpy<2" "pandas<3" "setuptools<81"'
    ) from error


class _Softmax:
    """Mixin before a sequential model whose logits are hidden states times the item table."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # RecBole looks up the defaults of a model by the name of its class.
        for base in cls.__mro__:
            if issubclass(base, SequentialRecommender) and not issubclass(base, _Softmax):
                cls.__name__ = base.__name__
                break

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)  # type: ignore[call-arg]
        loss_type = self.loss_type  # type: ignore[attr-defined]
        if loss_type != "CE":
            raise ValueError(
                f"loss_type must be 'CE' (with train_neg_sample_args: None), got {loss_type!r}"
            )

    def hidden_and_table(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """``[B, D]`` and ``[n_items, D]``; their products are RecBole's logits.

        Override this method for models that do not score as SASRec and GRU4Rec do.
        """
        model: Any = self
        hidden = model.forward(interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN])
        return hidden, model.item_embedding.weight


class ReweightedLoss(_Softmax):
    """``sum(w * l) / sum(w)``; ``l`` are the softmax cross-entropies of a batch.

    Attributes:
        weight_field: The float column of the ``.inter`` file with the weight of each interaction
            (a row has the weight of its target); ``load_col`` must name it.

    Raises:
        ValueError: if the dataset has no such column, or ``loss_type`` is not CE.
    """

    weight_field: ClassVar[str] = "weight"

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        if self.weight_field not in dataset.field2type:
            raise ValueError(
                f"the dataset must have a column {self.weight_field!r} (weight_field): add "
                f"'{self.weight_field}:float' to the .inter file and its name to load_col; "
                f"got {', '.join(dataset.field2type)}"
            )
        self.reweighted = LinearReweightedCrossEntropyLoss()

    def calculate_loss(self, interaction: Any) -> Tensor:
        """RecBole's hook: the loss of a batch, a scalar."""
        targets = interaction[self.POS_ITEM_ID]  # type: ignore[attr-defined]
        weights = interaction[self.weight_field]
        loss: Tensor = self.reweighted(*self.hidden_and_table(interaction), targets, weights)
        return loss


class JointTraining(_Softmax):
    """:class:`atjt_ext.JointLoss` inside the model; RecBole's optimizer trains the noise models.

    RecBole makes a row of every item of a user, so the latest ``calibration_rows`` rows come from
    few users.

    Attributes:
        joint_options: Options of ``JointLoss``. A step is a batch.

    Raises:
        ValueError: if ``loss_type`` is not CE.
    """

    joint_options: ClassVar[dict[str, Any]] = {}

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__(config, dataset)
        # RecBole counts padding, code 0, as a user; it never occurs.
        self.joint_loss = JointLoss(dataset.item_num - 1, dataset.user_num, **self.joint_options)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """RecBole's hook: the joint loss of a batch, a scalar."""
        model: Any = self
        users, targets = interaction[model.USER_ID], interaction[model.POS_ITEM_ID]
        history = left_padded(interaction[model.ITEM_SEQ], interaction[model.ITEM_SEQ_LEN])
        sequences = torch.cat([history, targets[:, None]], dim=1)
        scores = self.hidden_and_table(interaction)
        return self.joint_loss.cross_entropy(sequences, users, *scores, targets)


def left_padded(sequences: Tensor, lengths: Tensor) -> Tensor:
    """RecBole's ``sequences`` ``[B, L]``, padded on the right, to ``[B, L]`` padded on the left."""
    width = sequences.shape[1]
    source = torch.arange(width, device=sequences.device) - (width - lengths)[:, None]
    return sequences.gather(1, source.clamp(min=0)).masked_fill(source < 0, 0)
