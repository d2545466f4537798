"""The best items of the whole catalogue, from tiles of scores."""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import check_catalogue, check_excluded, require_in_range, require_integer
from ._dtypes import arithmetic
from ._library import register

# Scores at once, by device: so many fit a cache, or keep a GPU busy.
_MAX_SCORES = {"cpu": 2**21, "cuda": 2**24}
_MAX_ROWS = 2**10


def _outputs(hidden: Tensor, k: int) -> tuple[Tensor, Tensor]:
    shape = (hidden.shape[0], k)
    scores = hidden.new_empty(shape, dtype=arithmetic(hidden.dtype))
    return scores, hidden.new_empty(shape, dtype=torch.int64)


def _top_k(
    hidden: Tensor,
    item_embeddings: Tensor,
    k: int,
    bias: Tensor | None,
    exclude_rows: Tensor | None,
    exclude_items: Tensor | None,
) -> tuple[Tensor, Tensor]:
    scores, items = _outputs(hidden, k)
    if exclude_rows is None or exclude_items is None:
        exclude_rows = exclude_items = torch.zeros(0, dtype=torch.int64, device=hidden.device)
    require_in_range("exclude_rows", exclude_rows, len(hidden))
    require_in_range("exclude_items", exclude_items, len(item_embeddings))
    # Sort by item: the pairs of a tile of items become neighbours.
    exclude_items, order = exclude_items.sort()
    exclude_rows = exclude_rows[order]
    # Without autocast: different scores would tie in half precision.
    with torch.autocast(hidden.device.type, enabled=False):
        for first in range(0, len(hidden), _MAX_ROWS):
            rows = slice(first, first + _MAX_ROWS)
            inside = (exclude_rows >= first) & (exclude_rows < first + _MAX_ROWS)
            scores[rows], items[rows] = _top_k_of_rows(
                hidden[rows].to(scores.dtype),
                item_embeddings,
                k,
                bias,
                exclude_rows[inside] - first,
                exclude_items[inside],
            )
    return scores, items


def _top_k_of_rows(
    hidden: Tensor,
    item_embeddings: Tensor,
    k: int,
    bias: Tensor | None,
    exclude_rows: Tensor,
    exclude_items: Tensor,
) -> tuple[Tensor, Tensor]:
    num_items = len(item_embeddings)
    tile = min(num_items, max(1, _MAX_SCORES[hidden.device.type] // len(hidden)))
    firsts = torch.arange(0, num_items + tile, tile, device=hidden.device)
    pairs_before = torch.searchsorted(exclude_items, firsts).tolist()
    best, items = hidden.new_empty(len(hidden), 0), exclude_items.new_empty(len(hidden), 0)
    for index, embeddings in enumerate(item_embeddings.split(tile)):
        first = index * tile
        scores = hidden @ embeddings.to(hidden.dtype).T
        if bias is not None:
            scores += bias[first : first + tile]
        pairs = slice(pairs_before[index], pairs_before[index + 1])
        scores[exclude_rows[pairs], exclude_items[pairs] - first] = -torch.inf
        columns = _columns_of_largest(scores, k)
        # The best so far have smaller ids, so they come first among ties.
        best = torch.cat([best, scores.gather(1, columns)], dim=1)
        items = torch.cat([items, first + columns], dim=1)
        best, order = _descending(best, k)
        items = items.gather(1, order)
    return best, items


register(
    "_top_k(Tensor hidden, Tensor item_embeddings, SymInt k, Tensor? bias, Tensor? exclude_rows, "
    "Tensor? exclude_items) -> (Tensor, Tensor)",
    _top_k,
    lambda hidden, item_embeddings, k, *_: _outputs(hidden, k),
)


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``torch.topk(scores, k, dim=1)`` of ``[N, V]``, but the smaller column wins a tie."""
    columns = _columns_of_largest(scores, k)
    values, order = _descending(scores.gather(1, columns), k)
    return values, columns.gather(1, order)


def _columns_of_largest(scores: Tensor, k: int) -> Tensor:
    """Columns of each row's k largest scores: ``[N, min(k, V)]``, in ascending order."""
    if k >= scores.shape[1]:
        return torch.arange(scores.shape[1], device=scores.device).expand(scores.shape)
    values, columns = scores.topk(k + 1, dim=1)
    columns = columns[:, :k]
    # topk takes any of the columns that tie for the last place: sort the rows with such a tie.
    had_choice = ~(values[:, k] < values[:, k - 1])
    rows = had_choice.nonzero()[:, 0]
    if len(rows) > 0:
        columns[rows] = _descending(scores[rows], k)[1]
    return columns.sort(dim=1).values


def _descending(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row and their columns; among ties the smaller column comes first."""
    # NaN sorts as the largest. But inf - inf on x86 is a negative NaN, which sorts as the smallest
    # on a device that sorts by bits.
    scores = scores.masked_fill(scores.isnan(), torch.nan)
    values, columns = scores.sort(dim=1, descending=True, stable=True)
    return values[:, :k], columns[:, :k]


def top_k(
    hidden: Tensor,
    item_embeddings: Tensor,
    k: int,
    *,
    bias: Tensor | None = None,
    exclude_rows: Tensor | None = None,
    exclude_items: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The k best items of each row by ``hidden @ item_embeddings.T + bias``, best first.

    Exact: every item is scored. Items with equal scores are in the order of their ids, and smaller
    ids win the last places. NaN counts as the best score, as in ``torch.topk``, so that a broken
    model does not go unnoticed.

    Excluded pairs, usually items that the user has seen, score ``-inf``. They fill the end of a
    list, in the order of ids, if fewer than k other items are left.

    Scores are torch's matrix product in float32 (float64 for float64; half types are converted) at
    ``torch.set_float32_matmul_precision``, without autocast. They are computed for a part of the
    items at a time: memory does not grow with the catalogue. The last bit of a score may depend on
    the number of rows. Waits for the device. Not differentiable.

    Args:
        hidden: ``[N, D]``, float32, float64, bfloat16 or float16.
        item_embeddings: ``[V, D]``, of the dtype of ``hidden``. For a table with a padding row pass
            ``table[1:]``, and add 1 to the items.
        k: In ``[1, V]``.
        bias: ``[V]``, floating point.
        exclude_rows: ``[P]`` int64, in ``[0, N)``: the rows of the excluded pairs, in any order;
            pairs may repeat.
        exclude_items: ``[P]`` int64, in ``[0, V)``: the items of the excluded pairs.

    Returns:
        Scores ``[N, k]``, float64 for float64, else float32, and items ``[N, k]`` int64.

    Raises:
        ValueError: A wrong shape, dtype or device; k out of range.
        TypeError: k is no integer.
        IndexError: A pair out of range.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import top_k
        >>> items = torch.tensor([[1.0], [3.0], [2.0], [3.0]])
        >>> scores, best = top_k(torch.ones(1, 1), items, 3)
        >>> best.tolist(), scores.tolist()
        ([[1, 3, 2]], [[3.0, 3.0, 2.0]])
    """
    check_catalogue(hidden, item_embeddings, bias)
    num_items = item_embeddings.shape[0]
    k = require_integer("k", k, 1, num_items + 1, f"in [1, {num_items}], the items")
    check_excluded(exclude_rows, exclude_items, hidden.device)
    if bias is not None:
        bias = bias.detach().to(arithmetic(hidden.dtype))
    result: tuple[Tensor, Tensor] = torch.ops.atjt_ext._top_k(
        hidden.detach(), item_embeddings.detach(), k, bias, exclude_rows, exclude_items
    )
    return result
