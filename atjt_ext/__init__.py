"""Auxiliary task joint training for recommenders (Liu et al., JCST 39(5) 2024, 2409.17402).

Public names load on first use: a user of one loss imports torch and numpy only, and the command
line reports a mistyped option without torch. A new public name needs a line in the imports for type
checkers and one in ``_HOMES``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import _C as _C
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
    from .ops import losses as losses
    from .ops._native import build_info as build_info
    from .ops.losses import LinearReweightedCrossEntropyLoss as LinearReweightedCrossEntropyLoss
    from .ops.losses import ReweightedBinaryCrossEntropyLoss as ReweightedBinaryCrossEntropyLoss
    from .ops.losses import ReweightedCrossEntropyLoss as ReweightedCrossEntropyLoss
    from .ops.losses import SampledBinaryCrossEntropyLoss as SampledBinaryCrossEntropyLoss
    from .ops.losses import SampledCrossEntropyLoss as SampledCrossEntropyLoss
    from .recognition.noise_models import BidirectionalNoiseModel as BidirectionalNoiseModel
    from .recognition.noise_models import TargetAttentionNoiseModel as TargetAttentionNoiseModel
    from .training.config import JointTrainerConfig as JointTrainerConfig
    from .training.joint_loss import JointLoss as JointLoss
    from .training.trainer import JointTrainer as JointTrainer

    __version__: str

_HOMES = {
    "corruption": "AdjacentSwap ItemDeletion ItemInsertion MixedCorruption RandomReplacement",
    "evaluation": "evaluate",
    "models": "DCN DIN FEARec GRU4Rec S3Rec SASRec WideDeep",
    "ops._native": "_C build_info",
    "ops.losses": "LinearReweightedCrossEntropyLoss ReweightedBinaryCrossEntropyLoss "
    "ReweightedCrossEntropyLoss SampledBinaryCrossEntropyLoss SampledCrossEntropyLoss",
    "recognition.noise_models": "BidirectionalNoiseModel TargetAttentionNoiseModel",
    "training.config": "JointTrainerConfig",
    "training.joint_loss": "JointLoss",
    "training.trainer": "JointTrainer",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted({*_HOME_OF, "__version__"} - {"_C"})


if not TYPE_CHECKING:  # a type checker that saw it would take every name for Any

    def __getattr__(name):
        if name == "__version__":
            value = import_module("importlib.metadata").version(__name__)
        elif name in _HOME_OF:
            value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
        elif name in _rooms() or _OldModules.find_spec(f"{__name__}.{name}"):
            value = import_module(f".{name}", __name__)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF, *__all__, *_rooms(), "losses"})


def _rooms() -> list[str]:
    from pkgutil import iter_modules

    return [one.name for one in iter_modules(__path__) if one.ispkg]


class _OldModules:
    """Finds modules by their former paths; Python asks it after all other finders."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not name.startswith(f"{__name__}.") or name.endswith("._C") or "__" in name:
            return None
        from .cli._moved import old_module_spec

        return old_module_spec(name)


sys.meta_path.append(_OldModules)
