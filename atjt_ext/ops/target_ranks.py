"""The rank of every target among all items of a catalogue, without ``[N, V]`` scores."""

from __future__ import annotations

import torch
from torch import Tensor

from ._checks import (
    check_catalogue,
    check_excluded,
    check_integers,
    check_shape,
    require_in_range,
)
from ._dtypes import arithmetic
from ._library import contiguous, register
from ._native import _C

_MAX_CUDA_WIDTH = 256  # kMaxWidth in csrc/common/cuda/splits.h


def _pair_scores_like(hidden: Tensor, items: Tensor) -> Tensor:
    return hidden.new_empty(items.shape, dtype=arithmetic(hidden.dtype))


def _pair_scores(
    hidden: Tensor, item_embeddings: Tensor, rows: Tensor | None, items: Tensor, bias: Tensor | None
) -> Tensor:
    if hidden.device.type == "cpu":  # on CUDA, reading values would stall the device
        require_in_range(
            "targets" if rows is None else "exclude_items", items, len(item_embeddings)
        )
        if rows is not None:
            require_in_range("exclude_rows", rows, len(hidden))
    scores = _pair_scores_like(hidden, items)
    if rows is None:
        rows = torch.arange(len(items), device=items.device)
    _C.pair_scores(
        hidden.contiguous(),
        item_embeddings.contiguous(),
        rows.contiguous(),
        items.contiguous(),
        bias=contiguous(bias),
        scores=scores,
        num_threads=torch.get_num_threads(),
    )
    return scores


def _counts_like(hidden: Tensor) -> Tensor:
    return hidden.new_empty(hidden.shape[:1], dtype=torch.int64)


def _count_at_least(
    hidden: Tensor, item_embeddings: Tensor, thresholds: Tensor, bias: Tensor | None
) -> Tensor:
    counts = _counts_like(hidden)
    _C.count_at_least(
        hidden.contiguous(),
        item_embeddings.contiguous(),
        thresholds.contiguous(),
        bias=contiguous(bias),
        counts=counts,
        num_threads=torch.get_num_threads(),
    )
    return counts


# rows=None: items are the targets, one for every row of hidden.
register(
    "_pair_scores(Tensor hidden, Tensor item_embeddings, Tensor? rows, Tensor items, Tensor? bias)"
    " -> Tensor",
    _pair_scores,
    lambda hidden, item_embeddings, rows, items, bias: _pair_scores_like(hidden, items),
)
register(
    "_count_at_least(Tensor hidden, Tensor item_embeddings, Tensor thresholds, Tensor? bias)"
    " -> Tensor",
    _count_at_least,
    lambda hidden, *_: _counts_like(hidden),
)


def target_ranks(
    hidden: Tensor,
    item_embeddings: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    exclude_rows: Tensor | None = None,
    exclude_items: Tensor | None = None,
) -> Tensor:
    """The rank of each row's target among all items by ``hidden @ item_embeddings.T + bias``.

    ``rank_n`` is the number of items whose score is not below the score of ``targets[n]``. It
    counts the target itself and no excluded items: 1 is best, and ties and NaN count against the
    target. A target with score NaN has rank V, the worst rank, whatever is excluded.

    An excluded pair keeps an item, usually one that the user has seen, from competing with the
    row's target. Repeated pairs count once. A pair of a row and its own target has no effect: users
    return to items, so a target always competes.

    Scores are float32 (float64 for float64). An item's score has the same bits at any place of the
    table, so that equal embeddings tie. Scores are not stored: apart from inputs and result,
    the memory is a few numbers for every row and excluded pair. Not differentiable.

    Args:
        hidden: ``[N, D]``, float32, float64, bfloat16 or float16; the half types are computed in
            float32. On CUDA no float64, and D at most 256: see :func:`has_kernels`.
        item_embeddings: ``[V, D]``, of the dtype of ``hidden``. For a table with a padding row pass
            ``table[1:]``, and subtract 1 from targets and items.
        targets: ``[N]`` int64, in ``[0, V)``.
        bias: ``[V]``, floating point.
        exclude_rows: ``[P]`` int64, in ``[0, N)``: the rows of the excluded pairs, in any order.
        exclude_items: ``[P]`` int64, in ``[0, V)``: the items of the excluded pairs.

    Returns:
        ``[N]`` int64, in ``[1, V]``.

    Raises:
        ValueError: A wrong shape, dtype or device.
        IndexError: A target or a pair out of range, on the CPU. On CUDA a check would stall the
            device; there such a target has rank V + 1, and such a pair has no effect.
        RuntimeError: A CUDA tensor in a build without CUDA kernels.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import target_ranks
        >>> items = torch.tensor([[3.0], [2.0], [2.0], [1.0]])
        >>> hidden = torch.ones(3, 1)
        >>> target_ranks(hidden, items, torch.tensor([0, 1, 3])).tolist()  # items 1 and 2 tie
        [1, 3, 4]
        >>> pairs = {"exclude_rows": torch.tensor([1]), "exclude_items": torch.tensor([0])}
        >>> target_ranks(hidden, items, torch.tensor([0, 1, 3]), **pairs).tolist()
        [1, 2, 4]
    """
    check_catalogue(hidden, item_embeddings, bias)
    rows, num_items = hidden.shape[0], item_embeddings.shape[0]
    check_shape("targets", targets, rows)
    check_integers("targets", targets, hidden.device)
    check_excluded(exclude_rows, exclude_items, hidden.device)
    hidden, item_embeddings = hidden.detach(), item_embeddings.detach()
    if bias is not None:
        bias = bias.detach().to(arithmetic(hidden.dtype))

    ops = torch.ops.atjt_ext
    thresholds: Tensor = ops._pair_scores(hidden, item_embeddings, None, targets, bias)
    ranks: Tensor = ops._count_at_least(hidden, item_embeddings, thresholds, bias)
    if exclude_rows is not None and exclude_items is not None:
        scores = ops._pair_scores(hidden, item_embeddings, exclude_rows, exclude_items, bias)
        if rows > 0:  # without rows every pair is out of range
            ranks = ranks - _excluded_at_least(
                scores, thresholds, targets, exclude_rows, exclude_items, num_items
            )
    return torch.where((targets >= 0) & (targets < num_items), ranks, num_items + 1)


def _excluded_at_least(
    scores: Tensor,
    thresholds: Tensor,
    targets: Tensor,
    exclude_rows: Tensor,
    exclude_items: Tensor,
    num_items: int,
) -> Tensor:
    """``[N]``: how many of the counted items are excluded."""
    in_range = (exclude_rows >= 0) & (exclude_rows < len(targets))
    in_range &= (exclude_items >= 0) & (exclude_items < num_items)
    rows = torch.where(in_range, exclude_rows, 0)
    items = torch.where(in_range, exclude_items, 0)
    threshold = thresholds[rows]
    # As in count_at_least, except that a NaN threshold keeps its rank behind all items.
    counted = ~(scores < threshold) & ~threshold.isnan()
    counted &= in_range & (items != targets[rows])
    # Count a repeated pair once, and no pair that is out of range.
    pairs, order = torch.where(in_range, rows * num_items + items, -1).sort()
    again = torch.zeros_like(in_range)
    again[1:] = pairs[1:] == pairs[:-1]
    first = counted[order] & ~again
    return torch.zeros_like(targets).index_add(0, rows[order], first.to(torch.int64))


def has_kernels(embeddings: Tensor) -> bool:
    """Whether :func:`target_ranks` and the linear losses take ``embeddings [..., D]``: their
    device, dtype and width, in this build."""
    if embeddings.device.type != "cuda":
        return embeddings.device.type == "cpu"
    return (
        _C.build_facts()["cuda_toolkit"] is not None
        and embeddings.dtype != torch.float64
        and 1 <= embeddings.shape[-1] <= _MAX_CUDA_WIDTH
    )
