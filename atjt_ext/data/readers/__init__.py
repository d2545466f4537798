"""Readers: files as they are found to columnar ``Interactions``.

They parse; they never filter, split or download. A file is a stream of chunks (``streams.py``):
delimited text (``text.py``) or JSON lines (``json_lines.py``), whose columns are converted chunk by
chunk. A new format is one function here that returns ``Interactions``, one line in ``auto.py`` and
what it is told by in ``recognise.py``.
"""

from .amazon import read_amazon
from .auto import read_interactions
from .items import read_items, with_items
from .movielens import read_movielens
from .recbole import read_recbole
from .recognise import Format
from .sequence_files import read_sequences
from .tables import interactions_from_frame, read_csv, read_json_lines, read_parquet
from .yelp import read_yelp

__all__ = [
    "Format",
    "interactions_from_frame",
    "read_amazon",
    "read_csv",
    "read_interactions",
    "read_items",
    "read_json_lines",
    "read_movielens",
    "read_parquet",
    "read_recbole",
    "read_sequences",
    "read_yelp",
    "with_items",
]
