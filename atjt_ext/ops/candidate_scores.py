"""Inner products of hidden states with each row's own candidates, for losses over sampled items.

``torch.einsum("nd,ncd->nc", hidden, item_embeddings[candidates])`` gathers ``[N, C, D]`` numbers,
keeps them for the backward pass and makes as many gradients. These kernels read embeddings in
place, and sum the gradient of the table over pairs sorted by item.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._checks import check_catalogue, check_integers, check_shape
from ._dtypes import arithmetic, autocast_operands
from ._library import operator, refuse_second_derivative, register
from ._native import _C


def _scores_like(hidden: Tensor, candidates: Tensor) -> Tensor:
    return hidden.new_empty(candidates.shape, dtype=arithmetic(hidden.dtype))


def _scores(hidden: Tensor, table: Tensor, candidates: Tensor, ignore_index: int) -> Tensor:
    scores = _scores_like(hidden, candidates)
    _C.candidate_scores(
        hidden.contiguous(),
        table.contiguous(),
        candidates.contiguous(),
        scores=scores,
        ignore_index=ignore_index,
        num_threads=torch.get_num_threads(),
    )
    return scores


def _hidden_gradient(
    table: Tensor, candidates: Tensor, grad_scores: Tensor, ignore_index: int
) -> Tensor:
    grad_hidden = table.new_empty(candidates.shape[0], table.shape[1])
    _C.candidate_hidden_gradient(
        table.contiguous(),
        candidates.contiguous(),
        grad_scores.contiguous(),
        grad_hidden=grad_hidden,
        ignore_index=ignore_index,
        num_threads=torch.get_num_threads(),
    )
    return grad_hidden


def _table_gradient(
    hidden: Tensor, grad_scores: Tensor, order: Tensor, slots: Tensor, num_slots: int
) -> Tensor:
    width = hidden.shape[1]
    grad_table = hidden.new_zeros(num_slots, width)
    _C.candidate_table_gradient(
        hidden.contiguous(),
        grad_scores.contiguous(),
        order.contiguous(),
        slots.contiguous(),
        grad_table=grad_table,
        parts=grad_scores.new_empty(_C.candidate_parts(len(order)), width),
        num_threads=torch.get_num_threads(),
    )
    return grad_table


register(
    "_candidate_scores(Tensor hidden, Tensor table, Tensor candidates, int ignore_index) -> Tensor",
    _scores,
    lambda hidden, table, candidates, ignore_index: _scores_like(hidden, candidates),
)
register(
    "_candidate_hidden_gradient(Tensor table, Tensor candidates, Tensor grad_scores, "
    "int ignore_index) -> Tensor",
    _hidden_gradient,
    lambda table, candidates, *_: table.new_empty(candidates.shape[0], table.shape[1]),
)
register(
    "_candidate_table_gradient(Tensor hidden, Tensor grad_scores, Tensor order, Tensor slots, "
    "SymInt num_slots) -> Tensor",
    _table_gradient,
    lambda hidden, grad_scores, order, slots, num_slots: hidden.new_empty(
        num_slots, hidden.shape[1]
    ),
)


class _CandidateScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        table: Tensor,
        candidates: Tensor,
        ignore_index: int,
        sparse_gradient: bool,
    ) -> Tensor:
        scores: Tensor = operator("_candidate_scores")(hidden, table, candidates, ignore_index)
        ctx.save_for_backward(hidden, table, candidates)
        ctx.ignore_index, ctx.sparse_gradient = ignore_index, sparse_gradient
        return scores

    @staticmethod
    def backward(ctx: Any, grad_scores: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative("candidate_scores")
        hidden, table, candidates = ctx.saved_tensors
        grad_hidden = grad_table = None
        if ctx.needs_input_grad[0]:
            grad_hidden = operator("_candidate_hidden_gradient")(
                table, candidates, grad_scores, ctx.ignore_index
            )
        if ctx.needs_input_grad[1]:
            grad_table = _gradient_by_item(hidden, table, candidates, grad_scores, ctx)
        return grad_hidden, grad_table, None, None, None


def _gradient_by_item(
    hidden: Tensor, table: Tensor, candidates: Tensor, grad_scores: Tensor, ctx: Any
) -> Tensor:
    """The gradient of the table: pairs in the order of their items, in a stable sort; pairs without
    a score are last, as item V."""
    num_items = table.shape[0]
    scored = (candidates != ctx.ignore_index) & (candidates >= 0) & (candidates < num_items)
    items = torch.where(scored, candidates, num_items).flatten()
    if num_items < 2**31:
        items = items.int()  # int32 sorts in half the time
    items, order = torch.sort(items, stable=True)
    items, gradient = items.long(), operator("_candidate_table_gradient")
    if not ctx.sparse_gradient:
        dense: Tensor = gradient(hidden, grad_scores, order, items, num_items)
        return dense
    scored = items < num_items
    items, slots = torch.unique_consecutive(items[scored], return_inverse=True)
    values = gradient(hidden, grad_scores, order[scored], slots, len(items))
    return torch.sparse_coo_tensor(
        items[None], values, table.shape, is_coalesced=True, check_invariants=False
    )


def candidate_scores(
    hidden: Tensor,
    item_embeddings: Tensor,
    candidates: Tensor,
    *,
    ignore_index: int = -100,
    sparse_gradient: bool = False,
) -> Tensor:
    """``scores[n, c] = hidden[n] . item_embeddings[candidates[n, c]]``.

    Equals ``torch.einsum("nd,ncd->nc", hidden, item_embeddings[candidates])``, but neither pass
    makes a tensor of size ``[N, C, D]``. Half types are computed and summed in float32, and rounded
    once, when a gradient is stored. Under ``torch.autocast`` both operands are cast like those of a
    linear layer.

    Differentiable once, in ``hidden`` and ``item_embeddings``. Scores and gradients have the same
    bits in every run and with any number of threads: the gradient of the table is summed over pairs
    sorted by item, without atomics. A pair with upstream gradient 0 adds nothing, even if its row
    holds NaN.

    Args:
        hidden: ``[N, D]``, float32, float64, bfloat16 or float16.
        item_embeddings: ``[V, D]`` of the same dtype, V >= 1.
        candidates: ``[N, C]`` int64 in ``[0, V)``, or ``ignore_index``. A row may hold an item more
            than once.
        ignore_index: A candidate with this value scores 0 and has no gradient.
        sparse_gradient: The gradient of ``item_embeddings`` becomes a coalesced sparse tensor of
            the candidates, as with ``torch.nn.Embedding(sparse=True)``, for catalogues much larger
            than ``N * C``. The host needs its size, so the backward pass on CUDA waits for the
            device. Not for ``torch.compile``.

    Returns:
        ``[N, C]``; float64 for float64 inputs, else float32.

    Raises:
        ValueError: A wrong shape, dtype or device.
        IndexError: A candidate out of range, on the CPU. On CUDA a check would stall the device;
            the score becomes NaN there and has no gradient.
        RuntimeError: A CUDA tensor in a build without CUDA kernels.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import candidate_scores
        >>> items = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
        >>> candidate_scores(torch.tensor([[1.0, 10.0]]), items, torch.tensor([[2, 1, 2]]))
        tensor([[43., 21., 43.]])
    """
    hidden, item_embeddings = autocast_operands(hidden, item_embeddings)
    check_catalogue(hidden, item_embeddings)
    check_integers("candidates", candidates, hidden.device)
    check_shape("candidates", candidates, len(hidden), "C")
    scores: Tensor = _CandidateScores.apply(  # type: ignore[no-untyped-call]
        hidden, item_embeddings, candidates, ignore_index, sparse_gradient
    )
    return scores
