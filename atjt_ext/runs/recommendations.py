"""Top-k lists of many users, written to a file in parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from ..data import DataError, EvaluationSet, Sequences
from ..data.files import temporary_folder, write_atomically
from ..data.formula_cells import without_formulas
from ..data.readers.streams import chunks, text_lines
from ..training.joint_models import JointModels

__all__ = ["recommendation_frames", "users_named", "write_recommendations"]

# Rows in memory at a time, about 50 MB with ids.
_ROWS_PER_PART = 2**20


def users_named(sequences: Sequences, path: str | Path) -> Tensor:
    """``[U]`` int64, the codes of the users whose ids are the lines of a text file.

    They keep the order of the file. Empty lines and repetitions are skipped. Ids are taken as they
    are written, with blanks around them; only ``\\n`` and ``\\r\\n`` end a line.

    Raises:
        DataError: a user is not in ``sequences`` (names the line), or the file is empty or no text.
    """
    codes: dict[str, int] = {}
    for chunk in chunks(path):
        for number, name in enumerate(text_lines(chunk, path), start=chunk.line):
            if not name.strip():
                continue
            try:
                codes[name] = sequences.user_index(name)
            except DataError as error:
                raise DataError(f"{path}:{number}: {error}") from error
    return torch.tensor(list(codes.values()))


def recommendation_frames(
    models: JointModels, data: EvaluationSet, *, k: int = 10, exclude_seen: bool = True
) -> Iterator[pl.DataFrame]:
    """The k best items of each user, in frames of some users: columns ``user``, ``rank`` (from 1),
    ``item`` and ``score``.

    Users come in the order of ``data``; its targets are not used. A user with fewer than k unseen
    items has fewer than k rows.

    Raises:
        ValueError: ``k`` is not in ``1..num_items``, or there are no users.
    """
    if not 1 <= k <= data.histories.num_items:
        raise ValueError(f"k must be in 1..{data.histories.num_items} (number of items), got {k}")
    # Once for all parts: it weighs or cuts the histories of all users.
    data = models.as_read(data).to(models.device)
    histories = data.histories
    user_ids = pl.Series("user", histories.user_ids, dtype=pl.String)
    item_ids = pl.Series("item", histories.item_ids, dtype=pl.String)
    for rows in torch.arange(len(data)).split(max(1, _ROWS_PER_PART // k)):
        part = data.select(rows.to(models.device))
        items, scores = models.recommend(part, k=k, exclude_seen=exclude_seen)
        ranks = torch.arange(1, k + 1, dtype=torch.int32).expand_as(items)
        users = part.users.cpu()[:, None].expand_as(items)
        unseen = scores > -torch.inf
        yield pl.DataFrame(
            [
                user_ids.gather(users[unseen].numpy()),
                pl.Series("rank", ranks[unseen].numpy()),
                item_ids.gather(items[unseen].numpy() - 1),
                pl.Series("score", scores[unseen].float().numpy()),
            ]
        )


def write_recommendations(
    path: str | Path,
    models: JointModels,
    data: EvaluationSet,
    *,
    k: int = 10,
    exclude_seen: bool = True,
    escape_formulas: bool = True,
) -> int:
    """Writes :func:`recommendation_frames` to one file, whole or not at all.

    The ending of ``path``, ``.parquet`` or ``.csv``, decides the format. In CSV,
    ``escape_formulas`` puts an apostrophe before ids that a spreadsheet would run
    (:func:`atjt_ext.data.formula_cells.without_formulas`). Memory holds a million rows at a time,
    whatever the number of users and items.

    Returns:
        The number of rows.

    Raises:
        ValueError: another ending of ``path``, or as :func:`recommendation_frames`.
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".csv"):
        raise ValueError(f"out must end in .parquet or .csv, got {path.name!r}")
    with temporary_folder(path) as folder:
        parts: list[Path] = []
        for frame in recommendation_frames(models, data, k=k, exclude_seen=exclude_seen):
            parts.append(folder / f"{len(parts):06}.parquet")
            write_atomically(parts[-1], frame.write_parquet)
        # Without glob=False, [, * and ? in the folder's name would be patterns.
        rows = pl.scan_parquet(parts, glob=False)
        if path.suffix == ".csv":
            cells = without_formulas(rows) if escape_formulas else rows
            write_atomically(path, cells.sink_csv)
        else:
            write_atomically(path, rows.sink_parquet)
        return int(rows.select(pl.len()).collect().item())
