"""Losses over a whole catalogue without stored logits: two operators and their autograd function.

The forward operator keeps the log-sum-exp and the mean embedding ``sum_v p_v W_v`` of each row. The
gradient of the hidden states follows from them without a pass over the catalogue. The second
operator passes over the catalogue for the gradients of table and bias only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._dtypes import arithmetic
from ._library import contiguous, operator, refuse_second_derivative, register
from ._native import _C

_NAME = "linear_reweighted_cross_entropy"
_LAST = torch.iinfo(torch.int64).max
_LARGEST_FACTOR = 13  # a power of two; float16 ends at 2^16


def _allow_tf32() -> bool:
    matmul = torch.backends.cuda.matmul
    # allow_tf32 raises after a use of fp32_precision, its successor.
    precision = getattr(matmul, "fp32_precision", None)
    return bool(matmul.allow_tf32) if precision is None else precision == "tf32"


def _counted_first(counts: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """An order of the rows, their targets in this order, and the number of rows that count, on the
    device. Rows that count come first, sorted by target; the sort is stable."""
    sorted_targets, order = torch.sort(torch.where(counts, targets, _LAST), stable=True)
    return order, sorted_targets, counts.sum()


def _workspace(hidden: Tensor, table: Tensor, which: int) -> Tensor | None:
    size = _C.linear_cross_entropy_workspace(hidden, table.shape[0])[which]
    return hidden.new_empty(size, dtype=torch.uint8) if size else None


def row_outputs(hidden: Tensor, mean_embedding: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows, width = hidden.shape
    dtype = arithmetic(hidden.dtype)
    losses, origins, sums = (hidden.new_empty(rows, dtype=dtype) for _ in range(3))
    shape = (rows, width) if mean_embedding else (0, width)
    return losses, origins, sums, hidden.new_empty(shape, dtype=dtype)


def _forward(
    hidden: Tensor,
    table: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    ignore_index: int,
    scale: float,
    mean_embedding: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    order, sorted_targets, rows_counted = _counted_first(targets != ignore_index, targets)
    hidden, table = hidden[order], table.contiguous()
    losses, origins, sums, mean = row_outputs(hidden, mean_embedding)
    _C.linear_cross_entropy(
        hidden,
        table,
        sorted_targets,
        bias=contiguous(bias),
        rows_counted=rows_counted,
        scale=scale,
        allow_tf32=_allow_tf32(),
        losses=losses,
        origins=origins,
        sums=sums,
        mean_embedding=mean if mean_embedding else None,
        workspace=_workspace(hidden, table, 0),
        num_threads=torch.get_num_threads(),
    )
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return losses[place], origins[place], sums[place], mean[place] if mean_embedding else mean


def _table_outputs(
    hidden: Tensor, table: Tensor, in_arithmetic: bool, bias_gradient: bool
) -> tuple[Tensor, Tensor]:
    dtype = arithmetic(hidden.dtype)
    grad_table = hidden.new_empty(table.shape, dtype=dtype if in_arithmetic else hidden.dtype)
    return grad_table, hidden.new_empty(table.shape[0] if bias_gradient else 0, dtype=dtype)


def _table_gradient(
    hidden: Tensor,
    table: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    origins: Tensor,
    sums: Tensor,
    softmax_factors: Tensor,
    target_factors: Tensor,
    shift: Tensor | None,
    scale: float,
    in_arithmetic: bool,
    bias_gradient: bool,
) -> tuple[Tensor, Tensor]:
    counts = (softmax_factors != 0) | (target_factors != 0)  # NaN too
    order, sorted_targets, rows_counted = _counted_first(counts, targets)
    softmax_factors, unscale = softmax_factors[order], None
    if hidden.dtype == torch.float16:
        # Products of factor and probability are rounded to float16: use its whole range.
        _, exponent = torch.frexp(torch.cat([softmax_factors.abs(), sums.new_zeros(1)]).amax())
        exponent = (_LARGEST_FACTOR - exponent).clamp(-100, 100)
        softmax_factors = torch.ldexp(softmax_factors, exponent)
        unscale = torch.ldexp(sums.new_ones(()), -exponent)
    hidden, table = hidden[order], table.contiguous()
    grad_table, grad_bias = _table_outputs(hidden, table, in_arithmetic, bias_gradient)
    _C.linear_cross_entropy_table_gradient(
        hidden,
        table,
        sorted_targets,
        bias=contiguous(bias),
        rows_counted=rows_counted,
        scale=scale,
        allow_tf32=_allow_tf32(),
        origins=origins[order],
        factors=softmax_factors / sums[order],
        target_factors=target_factors[order],
        unscale=unscale,
        shift=contiguous(shift),
        grad_table=grad_table,
        grad_bias=grad_bias if bias_gradient else None,
        accumulate=False,
        workspace=_workspace(hidden, table, 1),
        num_threads=torch.get_num_threads(),
    )
    return grad_table, grad_bias


_LOGITS = "Tensor hidden, Tensor table, Tensor? bias, Tensor targets"
# Losses, origins and sums [N], and the mean embedding [N, D] ([0, D] if not wanted). Ignored rows
# have 0, 0, 1, 0. The sum of exponentials is relative to the origin, a number near the largest
# logit.
register(
    f"_linear_cross_entropy({_LOGITS}, int ignore_index, float scale, bool mean_embedding) "
    "-> (Tensor, Tensor, Tensor, Tensor)",
    _forward,
    lambda hidden, *arguments: row_outputs(hidden, arguments[-1]),
)
# The gradients in table and bias (empty if not wanted) of
#   sum_n softmax_factors_n * logsumexp_n / scale,
# except that the target of row n has the factor target_factors_n instead of
# softmax_factors_n * p_n,target. Each row of the table's gradient also gets `shift` [D]. A row with
# factors 0 does not count.
register(
    f"_linear_cross_entropy_table_gradient({_LOGITS}, Tensor origins, Tensor sums, "
    "Tensor softmax_factors, Tensor target_factors, Tensor? shift, float scale, "
    "bool in_arithmetic, bool bias_gradient) -> (Tensor, Tensor)",
    _table_gradient,
    lambda hidden, table, *arguments: _table_outputs(hidden, table, *arguments[-2:]),
)


def with_terms(
    at_target: Tensor,
    origins: Tensor,
    sums: Tensor,
    hidden: Tensor,
    mean_item: Tensor | None,
    bias: Tensor | None,
    scale: float,
    label_smoothing: float,
    z_loss: float,
) -> Tensor:
    """The losses of rows, from the cross-entropies ``at_target``."""
    losses = at_target
    if mean_item is not None:
        # The mean loss over all classes as targets is lse minus the mean logit.
        mean_logit = (hidden.to(mean_item.dtype) * mean_item).sum(1)
        if bias is not None:
            mean_logit = mean_logit + bias.mean()
        spread = (origins - scale * mean_logit) + sums.log()
        losses = (1 - label_smoothing) * at_target + label_smoothing * spread
    return losses + z_loss * (origins + sums.log()).square() if z_loss else losses


def row_factors(
    at_target: Tensor,
    lse: Tensor,
    grad_losses: Tensor,
    grad_lse: Tensor | float,
    scale: float,
    label_smoothing: float,
    z_loss: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Per row: ``grad`` and the factors of its softmax and of its target, such that

    d/ds_v = softmax_factors * p_v - grad * ((1 - smoothing) at the target + smoothing / V)
    """
    grad = scale * grad_losses
    beside = scale * grad_lse + 2 * z_loss * lse * grad
    softmax_factors = torch.where(at_target.isnan(), at_target, grad + beside)
    # p - 1 without cancellation, which is the whole gradient of a confident row.
    target_factors = grad * (torch.expm1(-at_target) + label_smoothing)
    return grad, softmax_factors, target_factors + beside * torch.exp(-at_target)


def hidden_gradient(
    mean_embedding: Tensor,
    target_items: Tensor,
    mean_item: Tensor | None,
    grad: Tensor,
    softmax_factors: Tensor,
    label_smoothing: float,
) -> Tensor:
    """The gradient of hidden states from the mean embeddings ``[N, D]``."""
    gradient = softmax_factors[:, None] * mean_embedding
    gradient -= ((1 - label_smoothing) * grad)[:, None] * target_items
    if mean_item is not None:
        gradient -= (label_smoothing * grad)[:, None] * mean_item
    return gradient


class LinearLosses(torch.autograd.Function):
    """Losses and log-sum-exp of each row ``[N]``, both differentiable.

    An ignored row has log-sum-exp 0 and no gradients. Under label smoothing its loss is not 0; the
    caller's weight of 0 removes it.

    ``item_embeddings`` may be float32 with half-precision hidden states: they are rounded once for
    both passes, and their gradient is float32.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        item_embeddings: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        ignore_index: int,
        scale: float,
        label_smoothing: float,
        z_loss: float,
        keep_mean_embedding: bool,
    ) -> tuple[Tensor, Tensor]:
        table = item_embeddings.to(hidden.dtype)
        at_target, origins, sums, mean_embedding = operator("_linear_cross_entropy")(
            hidden, table, bias, targets, ignore_index, scale, keep_mean_embedding
        )
        mean_item = table.mean(0, dtype=origins.dtype) if label_smoothing else None
        lse = origins + sums.log()
        losses = with_terms(
            *(at_target, origins, sums, hidden, mean_item, bias, scale, label_smoothing, z_loss)
        )
        ctx.save_for_backward(
            *(hidden, table, bias, targets, at_target, origins, sums, mean_embedding, mean_item)
        )
        ctx.ignore_index, ctx.scale = ignore_index, scale
        ctx.label_smoothing, ctx.z_loss = label_smoothing, z_loss
        ctx.in_arithmetic = item_embeddings.dtype == origins.dtype
        return losses, lse

    @staticmethod
    def backward(ctx: Any, grad_losses: Tensor, grad_lse: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative(_NAME)
        hidden, table, bias, targets, at_target, origins, sums, mean_embedding, mean_item = (
            ctx.saved_tensors
        )
        scale, smoothing = ctx.scale, ctx.label_smoothing
        # Rows without gradient are masked whatever they hold: 0 * NaN would be NaN.
        silent = (targets == ctx.ignore_index) | ((grad_losses == 0) & (grad_lse == 0))
        grad, softmax_factors, target_factors = (
            torch.where(silent, 0, factors)
            for factors in row_factors(
                *(at_target, origins + sums.log(), grad_losses, grad_lse, scale, smoothing),
                ctx.z_loss,
            )
        )

        grad_hidden = grad_table = grad_bias = None
        if ctx.needs_input_grad[0]:
            # On CUDA a target may be out of range: its row is NaN, so any table row will do.
            target_items = table[targets.clamp(0, table.shape[0] - 1)]
            grad_hidden = hidden_gradient(
                *(mean_embedding, target_items, mean_item, grad, softmax_factors, smoothing)
            )
            grad_hidden = grad_hidden.masked_fill_(silent[:, None], 0).to(hidden.dtype)
        wants_bias = bias is not None and ctx.needs_input_grad[2]
        if ctx.needs_input_grad[1] or wants_bias:
            shift = None
            each = grad * (-smoothing / table.shape[0])
            if smoothing:
                shift = (each[:, None] * hidden).masked_fill_(silent[:, None], 0).sum(0)
            grad_table, grad_bias = operator("_linear_cross_entropy_table_gradient")(
                *(hidden, table, bias, targets, origins, sums, softmax_factors, target_factors),
                *(shift, scale, ctx.in_arithmetic, wants_bias),
            )
            grad_table = grad_table if ctx.needs_input_grad[1] else None
            grad_bias = grad_bias + each.sum() if wants_bias else None
        return grad_hidden, grad_table, grad_bias, *[None] * 6
