"""RECOGNISE: noise models, trained to tell replaced items from original ones."""

from .bidirectional import BidirectionalNoiseModel
from .target_attention import TargetAttentionNoiseModel

__all__ = ["BidirectionalNoiseModel", "TargetAttentionNoiseModel"]
