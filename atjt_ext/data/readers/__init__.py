"""Readers: files in the layouts that data sets have, to columnar ``Interactions``.

Readers parse; they never filter, split or download. ``streams.py`` gives a file in chunks of
delimited text (``text.py``) or JSON lines (``json_lines.py``), whose columns are converted chunk by
chunk.

A new format is one module here that ends with ``FORMAT = FileFormat(...)``, and one line in
``data/formats.py``.
"""

from ..formats import Format
from .amazon import read_amazon
from .auto import read_interactions
from .csv_files import read_csv
from .frames import interactions_from_frame, read_parquet
from .items import read_items, with_items
from .json_lines import read_json_lines
from .movielens import read_movielens
from .recbole import read_recbole
from .sequence_files import read_sequences
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
