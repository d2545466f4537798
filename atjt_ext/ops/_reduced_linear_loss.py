"""The weighted sum of losses over a catalogue on the CPU, whose forward pass writes all gradients.

The weights are known before the forward pass. So it goes through the rows in chunks: the
exponentials of a chunk stay in cache until they have entered the gradient of the table, and neither
the logits nor the exponentials are computed twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._dtypes import arithmetic
from ._library import contiguous, operator, refuse_second_derivative, register
from ._linear_losses import hidden_gradient, row_factors, row_outputs, with_terms
from ._native import _C
from ._row_losses import at_weight

_NAME = "linear_reweighted_cross_entropy"
# The exponentials of a chunk. They should stay in the last cache, and malloc gives back blocks of
# 32 MiB and more: each page of a new one costs a fault.
_CHUNK_BYTES = 1 << 24
# Shorter chunks save less than adding them to the table costs.
_FEWEST_ROWS = 96


def rows_of_chunk(classes: int, dtype: torch.dtype) -> int:
    """How many rows of the CPU's kernels fit into a chunk; 0 if too few to gain anything."""
    itemsize = arithmetic(dtype).itemsize
    lanes, _ = _C.linear_cross_entropy_kept_shape(itemsize)
    rows = _CHUNK_BYTES // (classes * itemsize)
    return rows // lanes * lanes if lanes and rows >= _FEWEST_ROWS else 0


def _outputs(
    hidden: Tensor, table: Tensor, hidden_wanted: bool, bias_wanted: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    (rows, width), classes = hidden.shape, table.shape[0]
    dtype = arithmetic(hidden.dtype)
    return (
        hidden.new_zeros(rows, dtype=dtype),
        hidden.new_zeros((rows if hidden_wanted else 0, width), dtype=dtype),
        hidden.new_zeros(classes, width, dtype=torch.float64),
        hidden.new_zeros(classes if bias_wanted else 0, dtype=torch.float64),
    )


def _require_in_range(targets: Tensor, classes: int) -> None:
    """Raises IndexError as the kernels do, which do not see rows of weight 0."""
    wrong = targets[(targets < 0) | (targets >= classes)]
    if len(wrong):
        raise IndexError(f"targets must be in [0, {classes}), got {int(wrong[0])}")


def _with_gradients(
    hidden: Tensor,
    table: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    row_scale: Tensor,
    ignore_index: int,
    scale: float,
    label_smoothing: float,
    z_loss: float,
    all_losses: bool,
    hidden_wanted: bool,
    bias_wanted: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    hidden, targets = hidden.contiguous(), targets.contiguous()
    table, bias = table.contiguous(), contiguous(bias)
    outputs = losses, grad_hidden, table_sums, bias_sums = _outputs(
        hidden, table, hidden_wanted, bias_wanted
    )
    counts = targets != ignore_index
    mean_item = table.mean(0, dtype=losses.dtype) if label_smoothing else None
    terms = (mean_item, bias, scale, label_smoothing, z_loss)
    logits = {"bias": bias, "rows_counted": None, "scale": scale, "allow_tf32": False}
    threads = {"num_threads": torch.get_num_threads()}

    def forward(rows: Tensor, targets: Tensor, mean: bool, **kept: Tensor) -> tuple[Tensor, ...]:
        at_target, origins, sums, mean_embedding = row_outputs(rows, mean)
        _C.linear_cross_entropy(
            *(rows, table, targets),
            **logits,
            losses=at_target,
            origins=origins,
            sums=sums,
            mean_embedding=mean_embedding if mean else None,
            workspace=None,
            **kept,
            **threads,
        )
        return at_target, origins, sums, mean_embedding

    rest = (counts & (row_scale == 0)).nonzero()[:, 0]
    _require_in_range(targets[rest], len(table))
    if all_losses:  # of rows of weight 0, too
        rows = hidden[rest]
        at_target, origins, sums, _ = forward(rows, targets[rest], False)
        losses[rest] = with_terms(at_target, origins, sums, rows, *terms)

    weighted = (counts & (row_scale != 0)).nonzero()[:, 0]
    count, all_weighted = len(weighted), len(weighted) == len(targets)
    lanes, stream_tile = _C.linear_cross_entropy_kept_shape(losses.itemsize)
    longest = max(rows_of_chunk(len(table), hidden.dtype), lanes)
    length = min(longest, -(-count // lanes) * lanes)
    kept = hidden.new_empty((length // lanes, len(table), lanes), dtype=losses.dtype)
    stream_tiles = -(-len(table) // stream_tile)
    kept_origins = kept.new_empty((length // lanes, stream_tiles, lanes))
    for start in range(0, count, max(length, 1)):
        end = min(start + length, count)
        # A slice copies nothing.
        chunk: Any = slice(start, end) if all_weighted else weighted[start:end]
        rows, chunk_targets, tiles = hidden[chunk], targets[chunk], -(-(end - start) // lanes)
        exponentials = {"kept": kept[:tiles], "kept_origins": kept_origins[:tiles]}
        at_target, origins, sums, mean_embedding = forward(
            rows, chunk_targets, hidden_wanted, **exponentials
        )
        losses[chunk] = with_terms(at_target, origins, sums, rows, *terms)
        grad, softmax_factors, target_factors = row_factors(
            *(at_target, origins + sums.log(), row_scale[chunk], 0.0, scale),
            *(label_smoothing, z_loss),
        )
        _C.linear_cross_entropy_table_sums(
            *(rows, table, chunk_targets),
            **exponentials,
            origins=origins,
            factors=softmax_factors / sums,
            target_factors=target_factors,
            table_sums=table_sums,
            bias_sums=bias_sums if bias_wanted else None,
            **threads,
        )
        if label_smoothing:
            each = grad * (-label_smoothing / len(table))
            table_sums += (each[:, None] * rows).sum(0)
            bias_sums += each.sum()
        if hidden_wanted:
            grad_hidden[chunk] = hidden_gradient(
                *(mean_embedding, table[chunk_targets], mean_item, grad, softmax_factors),
                label_smoothing,
            )
    return outputs


# Losses [N], the gradients of sum_n row_scale_n loss_n in the hidden states [N, D] and, in float64,
# in table [V, D] and bias [V]. Gradients that are not wanted are empty. Rows that do not count have
# loss 0; so have rows of weight 0 unless `all_losses`.
register(
    f"_{_NAME}_with_gradients(Tensor hidden, Tensor table, Tensor? bias, Tensor targets, "
    "Tensor row_scale, int ignore_index, float scale, float label_smoothing, float z_loss, "
    "bool all_losses, bool hidden_wanted, bool bias_wanted) -> (Tensor, Tensor, Tensor, Tensor)",
    _with_gradients,
    lambda hidden, table, *arguments: _outputs(hidden, table, *arguments[-2:]),
)


class ReducedLinearLoss(torch.autograd.Function):
    """``sum(row_scale * losses)``. A row of weight 0 adds nothing, whatever it holds."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_embeddings: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        row_scale: Tensor,
        *options: Any,
    ) -> Tensor:
        tensors = (hidden, item_embeddings, bias, targets, row_scale)
        ctx.options = options
        losses, *ctx.gradients = _run(ctx, tensors)
        losses = at_weight(losses, row_scale)
        ctx.save_for_backward(*tensors, losses)
        return (row_scale * losses).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative(_NAME)
        *tensors, losses = ctx.saved_tensors
        # Buffers are returned once only: autograd may add other gradients into them. A second
        # backward pass over a retained graph computes the same bits again.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            gradients = _run(ctx, tensors)[1:]
        silent = bool(grad == 0)  # then rows with NaN add nothing, either
        results: list[Tensor | None] = []
        for tensor, gradient, wanted in zip(tensors, gradients, ctx.needs_input_grad, strict=False):
            if wanted and silent:
                gradient.zero_()
            elif wanted:
                operator("_scale_gradient")(gradient, grad.to(gradient.dtype))
            results.append(gradient.to(tensor.dtype) if wanted else None)
        grad_scale = losses * grad if ctx.needs_input_grad[4] else None
        return *results, None, grad_scale, *[None] * len(ctx.options)


def _run(ctx: Any, tensors: tuple[Tensor | None, ...]) -> tuple[Tensor, ...]:
    hidden, item_embeddings, bias, targets, row_scale = tensors
    wants_hidden, _, wants_bias, _, wants_scale = ctx.needs_input_grad[:5]
    outputs: tuple[Tensor, ...] = operator(f"_{_NAME}_with_gradients")(
        *(hidden, item_embeddings.to(hidden.dtype), bias, targets, row_scale),  # type: ignore[union-attr]
        *(*ctx.options, wants_scale, wants_hidden, wants_bias),
    )
    return outputs
