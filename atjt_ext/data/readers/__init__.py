"""Readers: files as they are found to columnar ``Interactions``.

They parse; they never filter, split or download. A new format is one function here that returns
``Interactions``, and one line in ``auto.py``.
"""

from .auto import Format, read_interactions
from .movielens import read_movielens
from .recbole import read_recbole
from .sequence_files import read_sequences
from .tables import interactions_from_frame, read_csv, read_parquet

__all__ = [
    "Format",
    "interactions_from_frame",
    "read_csv",
    "read_interactions",
    "read_movielens",
    "read_parquet",
    "read_recbole",
    "read_sequences",
]
