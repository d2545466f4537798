"""From a run's config to its models: the one place that puts names and classes together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .config import RunConfig
from .data import TrainingRows, shared_features
from .models import DCN, DIN, FEARec, GRU4Rec, S3Rec, SASRec, WideDeep
from .noise import BidirectionalNoiseModel, TargetAttentionNoiseModel
from .progress import FitProgress

__all__ = ["build_noise_model", "build_recommender", "pretrain"]

_TRANSFORMERS: dict[str, type[nn.Module]] = {"sasrec": SASRec, "fearec": FEARec, "s3rec": S3Rec}
_POINTWISE: dict[str, type[nn.Module]] = {"din": DIN, "wide_deep": WideDeep, "dcn": DCN}
# What is no option of the model itself, but of what happens before it is trained.
_PRETRAINING = ("pretrain_epochs", "pretrain_learning_rate", "mask_ratio")


def build_recommender(
    config: RunConfig,
    num_items: int,
    *,
    num_users: int | None = None,
    item_features: Tensor | None = None,
) -> nn.Module:
    """The model that ``config`` names, freshly initialised from torch's random stream.

    Args:
        config: see :class:`RunConfig`.
        num_items: catalogue size.
        num_users: needed where the model sees users.
        item_features: ``[num_items + 1, F]`` int64, see :func:`atjt_ext.data.item_feature_table`;
            models that take none ignore them.

    Raises:
        ValueError: sizes that do not fit together, or a model that sees users without
            ``num_users``.
    """
    name, options = config.model.name, config.model.own_options()
    if name in _TRANSFORMERS:
        sizes = {key: value for key, value in options.items() if key not in _PRETRAINING}
        return _TRANSFORMERS[name](num_items, max_length=config.trainer.max_length, **sizes)
    if name in _POINTWISE:
        if options.pop("see_users"):
            if num_users is None:
                raise ValueError("num_users must be given where see_users is on")
            options["num_users"] = num_users
        return _POINTWISE[name](num_items, item_features=item_features, **options)
    return GRU4Rec(num_items, **options)


def build_noise_model(config: RunConfig, num_items: int) -> nn.Module | None:
    """The prototype of the noise models that ``config`` names, freshly initialised from torch's
    random stream; None where none is trained along."""
    model = config.model
    if not config.trainer.learns_noise:
        return None
    if model.noise_model == "bidirectional":
        return BidirectionalNoiseModel(
            num_items,
            max_length=config.trainer.max_length,
            embedding_dim=model.noise_embedding_dim,
            num_blocks=model.noise_num_blocks,
            num_heads=model.noise_num_heads,
        )
    return TargetAttentionNoiseModel(
        num_items, embedding_dim=model.noise_embedding_dim, hidden_dims=model.noise_hidden_dims
    )


def pretrain(
    recommender: nn.Module,
    config: RunConfig,
    rows: TrainingRows,
    *,
    progress: bool = True,
    title: str = "train",
) -> None:
    """What a model does before joint training: nothing, but for S3-Rec.

    Args:
        rows: windows of the training data, on the recommender's device.
    """
    if not isinstance(recommender, S3Rec):
        return
    options, trainer = config.model.own_options(), config.trainer
    features = shared_features(rows.sequences, config.data.item_columns).values()
    # Without column 0, which is no value.
    attributes = [feature.multi_hot()[:, 1:] for feature in features]

    def batches(epoch: int) -> Iterator[Tensor]:
        for batch in rows.batches(trainer.batch_size, seed=trainer.seed, epoch=epoch):
            yield batch.sequences[:, -trainer.max_length :]

    with FitProgress(
        title,
        total_epochs=options["pretrain_epochs"],
        valid_metric=trainer.valid_metric,
        enabled=progress,
    ) as shown:
        recommender.pretrain(
            batches,
            epochs=options["pretrain_epochs"],
            item_attributes=torch.cat(attributes, dim=1) if attributes else None,
            mask_ratio=options["mask_ratio"],
            learning_rate=options["pretrain_learning_rate"],
            seed=trainer.seed,
            on_epoch=lambda epoch, loss: shown.message(
                f"{title} pre-training epoch {epoch:>3}/{options['pretrain_epochs']}  "
                f"loss {loss:.4f}"
            ),
        )
