"""Auxiliary task joint training for recommenders (Liu et al., JCST 39(5) 2024, 2409.17402).

Public names load on first use: a user of one loss imports torch and numpy only, and the command
line answers a mistyped option without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .corruption import AdjacentSwap as AdjacentSwap
    from .corruption import ItemDeletion as ItemDeletion
    from .corruption import ItemInsertion as ItemInsertion
    from .corruption import MixedCorruption as MixedCorruption
    from .corruption import RandomReplacement as RandomReplacement
    from .evaluation import evaluate as evaluate
    from .models import DCN as DCN
    from .models import DIN as DIN
    from .models import FEARec as FEARec
    from .models import GRU4Rec as GRU4Rec
    from .models import S3Rec as S3Rec
    from .models import SASRec as SASRec
    from .models import WideDeep as WideDeep
    from .ops._native import build_info as build_info
    from .ops._native import version as __version__
    from .ops.losses import LinearReweightedCrossEntropyLoss as LinearReweightedCrossEntropyLoss
    from .ops.losses import ReweightedBinaryCrossEntropyLoss as ReweightedBinaryCrossEntropyLoss
    from .ops.losses import ReweightedCrossEntropyLoss as ReweightedCrossEntropyLoss
    from .ops.sampled_losses import SampledBinaryCrossEntropyLoss as SampledBinaryCrossEntropyLoss
    from .ops.sampled_losses import SampledCrossEntropyLoss as SampledCrossEntropyLoss
    from .recognition.noise_models import BidirectionalNoiseModel as BidirectionalNoiseModel
    from .recognition.noise_models import TargetAttentionNoiseModel as TargetAttentionNoiseModel
    from .training.config import JointTrainerConfig as JointTrainerConfig
    from .training.joint_loss import JointLoss as JointLoss
    from .training.trainer import JointTrainer as JointTrainer

_HOMES = {
    "corruption": (
        "AdjacentSwap",
        "ItemDeletion",
        "ItemInsertion",
        "MixedCorruption",
        "RandomReplacement",
    ),
    "evaluation": ("evaluate",),
    "models": ("DCN", "DIN", "FEARec", "GRU4Rec", "S3Rec", "SASRec", "WideDeep"),
    "ops._native": ("build_info",),
    "ops.losses": (
        "LinearReweightedCrossEntropyLoss",
        "ReweightedBinaryCrossEntropyLoss",
        "ReweightedCrossEntropyLoss",
    ),
    "ops.sampled_losses": ("SampledBinaryCrossEntropyLoss", "SampledCrossEntropyLoss"),
    "recognition.noise_models": ("BidirectionalNoiseModel", "TargetAttentionNoiseModel"),
    "training.config": ("JointTrainerConfig",),
    "training.joint_loss": ("JointLoss",),
    "training.trainer": ("JointTrainer",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = (
    "cli",
    "corruption",
    "data",
    "evaluation",
    "experiment",
    "integrations",
    "models",
    "ops",
    "recognition",
    "report",
    "runs",
    "training",
)

__all__ = [*sorted(_HOME_OF), "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = import_module(".ops._native", __name__).version
    elif name in _HOME_OF:
        value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    elif name in _ROOMS:
        return import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
