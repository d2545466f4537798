"""Shared by both exports: the item table, the ids of its rows, and optional packages."""

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
    """The module ``name``, imported on first use.

    Raises:
        ImportError: it is not installed; the message has the command that installs it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"export needs the package {name.split('.')[0]}: pip install 'atjt_ext[export]'"
        ) from error


def write_item_ids(folder: Path, item_ids: Sequence[str], num_items: int) -> Path:
    """Writes item_ids.json: the id of every row of the item table; null for row 0, padding.

    Raises:
        ValueError: the number of ids is not the number of items.
    """
    if len(item_ids) != num_items:
        raise ValueError(f"item_ids must hold {num_items} ids, got {len(item_ids)}")
    path = folder / ITEM_IDS
    write_text_atomically(path, json.dumps([None, *item_ids], ensure_ascii=False))
    return path
