"""Auxiliary task joint training for recommenders (Liu et al., JCST 39(5) 2024, 2409.17402)."""

from ._build import build_info
from ._build import version as __version__
from .config import JointTrainerConfig
from .corruption import (
    AdjacentSwap,
    ItemDeletion,
    ItemInsertion,
    MixedCorruption,
    RandomReplacement,
)
from .evaluation import evaluate
from .joint_loss import JointLoss
from .losses import (
    LinearReweightedCrossEntropyLoss,
    ReweightedBinaryCrossEntropyLoss,
    ReweightedCrossEntropyLoss,
)
from .models import DCN, DIN, FEARec, GRU4Rec, S3Rec, SASRec, WideDeep
from .noise import BidirectionalNoiseModel, TargetAttentionNoiseModel
from .sampled_losses import SampledBinaryCrossEntropyLoss, SampledCrossEntropyLoss
from .trainer import JointTrainer

__all__ = [
    "DCN",
    "DIN",
    "AdjacentSwap",
    "BidirectionalNoiseModel",
    "FEARec",
    "GRU4Rec",
    "ItemDeletion",
    "ItemInsertion",
    "JointLoss",
    "JointTrainer",
    "JointTrainerConfig",
    "LinearReweightedCrossEntropyLoss",
    "MixedCorruption",
    "RandomReplacement",
    "ReweightedBinaryCrossEntropyLoss",
    "ReweightedCrossEntropyLoss",
    "S3Rec",
    "SASRec",
    "SampledBinaryCrossEntropyLoss",
    "SampledCrossEntropyLoss",
    "TargetAttentionNoiseModel",
    "WideDeep",
    "__version__",
    "build_info",
    "evaluate",
]
