"""RECOMMEND: base models, one file each."""

from .sasrec import SASRec

__all__ = ["SASRec"]
