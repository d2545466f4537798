"""Kinds of damage: they change sequences in known places, to train the noise model."""

from .adjacent_swap import AdjacentSwap
from .item_deletion import ItemDeletion
from .item_insertion import ItemInsertion
from .mixed_corruption import MixedCorruption
from .protocol import Corruption, CorruptionOutput, DamagedSequences
from .random_replacement import RandomReplacement

__all__ = [
    "AdjacentSwap",
    "Corruption",
    "CorruptionOutput",
    "DamagedSequences",
    "ItemDeletion",
    "ItemInsertion",
    "MixedCorruption",
    "RandomReplacement",
]
