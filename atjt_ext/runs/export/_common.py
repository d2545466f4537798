"""What every export needs: a recommender with a table, the ids of its rows, and packages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ...data.files import write_text_atomically
from ...models.protocols import SequenceRecommender

ITEM_IDS = "item_ids.json"


def require_item_table(recommender: Any) -> None:
    """Raises ValueError for a pointwise recommender."""
    if not isinstance(recommender, SequenceRecommender):
        raise ValueError(
            "export needs a recommender that scores by encode(sequences) and item_table(); "
            f"{type(recommender).__name__} scores candidates one by one and has no table of items"
        )


def require_package(name: str) -> Any:
    """The module ``name``, imported only when it is used.

    Raises:
        ImportError: it is not installed; says how to.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"export needs the package {name.split('.')[0]}: pip install 'atjt_ext[export]'"
        ) from error


def write_item_ids(folder: Path, item_ids: Sequence[str], num_items: int) -> Path:
    """item_ids.json: the id of every row of the item table; row 0, padding, has null.

    Raises:
        ValueError: there are more or fewer ids than items.
    """
    if len(item_ids) != num_items:
        raise ValueError(f"item_ids must be {num_items} (the items), got {len(item_ids)}")
    text = json.dumps([None, *item_ids], ensure_ascii=False)
    path = folder / ITEM_IDS
    write_text_atomically(path, text)
    return path
