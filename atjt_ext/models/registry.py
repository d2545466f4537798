"""Which recommender a run trains and how large it is: a dataclass per model, and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from ..runs.config import RunConfig
from . import DCN, DIN, FEARec, GRU4Rec, S3Rec, SASRec, WideDeep
from .dcn import DCNConfig
from .din import DINConfig
from .fearec import FEARecConfig
from .gru4rec import GRU4RecConfig
from .options import ModelConfig
from .s3rec import S3RecConfig
from .sasrec import SASRecConfig
from .wide_deep import WideDeepConfig

__all__ = [
    "MODELS",
    "MODEL_TRAINING",
    "build_recommender",
]


MODELS: dict[str, type[ModelConfig]] = {
    "sasrec": SASRecConfig,
    "gru4rec": GRU4RecConfig,
    "fearec": FEARecConfig,
    "s3rec": S3RecConfig,
    "din": DINConfig,
    "wide_deep": WideDeepConfig,
    "dcn": DCNConfig,
}
"""The models by the name that the command line and a run's config give them."""

# A model that scores candidates one by one, or predicts from the last position only, has one target
# per window: a window per prefix makes every interaction one.
_LAST_TARGETS = {"loss": "binary_cross_entropy", "window_stride": 1}
MODEL_TRAINING: dict[str, dict[str, Any]] = {
    "fearec": {"window_stride": 1},
    "din": _LAST_TARGETS,
    "wide_deep": _LAST_TARGETS,
    "dcn": _LAST_TARGETS,
}
"""What a model changes in the default training; recipes and options go before it."""


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
