"""RECOMMEND: base models, one file each."""

from .dcn import DCN
from .din import DIN
from .fearec import FEARec
from .gru4rec import GRU4Rec
from .s3rec import PretrainingWeights, S3Rec
from .sasrec import SASRec
from .wide_deep import WideDeep

__all__ = [
    "DCN",
    "DIN",
    "FEARec",
    "GRU4Rec",
    "PretrainingWeights",
    "S3Rec",
    "SASRec",
    "WideDeep",
]
