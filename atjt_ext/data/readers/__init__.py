"""Readers: files in the layouts that data sets have, to columnar ``Interactions``.

Readers parse; they never filter, split or download. ``streams.py`` cuts a file into chunks of
delimited text (``text.py``) or JSON lines (``json_lines.py``), which are parsed one by one.

A new format is one module here that ends with ``FORMAT = FileFormat(...)``, and one line in
``data/formats.py``.
"""

from ..formats import Format as Format
from .amazon import read_amazon as read_amazon
from .auto import read_interactions as read_interactions
from .csv_files import read_csv as read_csv
from .frames import interactions_from_frame as interactions_from_frame
from .frames import read_parquet as read_parquet
from .items import read_items as read_items
from .items import with_items as with_items
from .json_lines import read_json_lines as read_json_lines
from .movielens import read_movielens as read_movielens
from .recbole import read_recbole as read_recbole
from .sequence_files import read_sequences as read_sequences
from .yelp import read_yelp as read_yelp
