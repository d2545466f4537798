"""Cross-entropy with one weight per example: where the noise model speaks to the recommender.

An example that looks like noise gets a small weight and teaches less (Liu et al., JCST 39(5) 2024,
arXiv:2409.17402: the recommendation loss is ``sum_i w_i * l_i / sum_i w_i``).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from atjt_ext import _C
from atjt_ext.ops._library import register

Reduction = Literal["none", "sum", "mean", "weighted_mean"]


def _arithmetic(dtype: torch.dtype) -> torch.dtype:
    """What losses and weights of logits with this dtype are computed in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _rows_like(logits: Tensor) -> Tensor:
    return logits.new_empty(logits.shape[:1], dtype=_arithmetic(logits.dtype))


def _logits_like(logits: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _forward(logits: Tensor, targets: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    losses, lse = _rows_like(logits), _rows_like(logits)
    _C.cross_entropy_forward(
        logits.contiguous(),
        targets.contiguous(),
        row_scale=None,
        losses=losses,
        lse=lse,
        grad_logits=None,
        ignore_index=ignore_index,
        num_threads=torch.get_num_threads(),
    )
    return losses, lse


def _forward_with_gradient(
    logits: Tensor, targets: Tensor, row_scale: Tensor, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor]:
    losses, lse, grad_logits = _rows_like(logits), _rows_like(logits), _logits_like(logits)
    _C.cross_entropy_forward(
        logits.contiguous(),
        targets.contiguous(),
        row_scale=row_scale.contiguous(),
        losses=losses,
        lse=lse,
        grad_logits=grad_logits,
        ignore_index=ignore_index,
        num_threads=torch.get_num_threads(),
    )
    return losses, lse, grad_logits


register(
    "_cross_entropy_forward(Tensor logits, Tensor targets, int ignore_index) -> (Tensor, Tensor)",
    _forward,
    lambda logits, targets, ignore_index: (_rows_like(logits), _rows_like(logits)),
)
register(
    "_cross_entropy_forward_with_gradient(Tensor logits, Tensor targets, Tensor row_scale, "
    "int ignore_index) -> (Tensor, Tensor, Tensor)",
    _forward_with_gradient,
    lambda logits, targets, row_scale, ignore_index: (
        _rows_like(logits),
        _rows_like(logits),
        _logits_like(logits),
    ),
)


def _refuse_second_derivative() -> None:
    # Not once_differentiable: its gradient would just count as a constant in a larger loss.
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        raise RuntimeError(
            "reweighted_cross_entropy is differentiable once, and create_graph=True asks for more"
        )


class _Losses(torch.autograd.Function):
    """``[N]`` losses; the backward pass computes the softmax again."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
        losses: Tensor
        losses, _ = torch.ops.atjt_ext._cross_entropy_forward(logits, targets, ignore_index)
        ctx.save_for_backward(logits, targets)
        ctx.ignore_index = ignore_index
        return losses

    @staticmethod
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor, None, None]:
        _refuse_second_derivative()
        logits, targets = ctx.saved_tensors
        # Not from the lse: beside a large maximum it is too coarse for exp(logits - lse).
        _, _, grad_logits = torch.ops.atjt_ext._cross_entropy_forward_with_gradient(
            logits, targets, grad_losses, ctx.ignore_index
        )
        return grad_logits, None, None


class _ReducedLoss(torch.autograd.Function):
    """``sum(row_scale * losses)``; the gradient is written while a row of logits is in cache."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, row_scale: Tensor, ignore_index: int
    ) -> Tensor:
        losses: Tensor
        losses, _, grad_logits = torch.ops.atjt_ext._cross_entropy_forward_with_gradient(
            logits, targets, row_scale, ignore_index
        )
        ctx.save_for_backward(logits, targets, row_scale, losses)
        ctx.ignore_index = ignore_index
        ctx.grad_logits = grad_logits
        return (row_scale * losses).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor | None, None]:
        _refuse_second_derivative()
        logits, targets, row_scale, losses = ctx.saved_tensors
        # The buffer is handed out once, as autograd may add other gradients into it. A second
        # backward pass over a retained graph computes it again, to the same bits.
        grad_logits, ctx.grad_logits = ctx.grad_logits, None
        if grad_logits is None:
            grad_logits = torch.ops.atjt_ext._cross_entropy_forward_with_gradient(
                logits, targets, row_scale, ctx.ignore_index
            )[2]
        if grad.device.type != "cpu" or grad.item() != 1:  # reading a CUDA scalar would stall
            grad_logits.mul_(grad)
        return grad_logits, None, losses * grad if ctx.needs_input_grad[2] else None, None


def reweighted_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Tensor:
    """Softmax cross-entropy of ``logits`` against ``targets``, each example scaled by its weight.

    With ``l_i = log sum_v exp(logits[i, v]) - logits[i, targets[i]]``, weights ``w_i`` (all 1 if
    ``sample_weight`` is ``None``) and sums over the rows whose target is not ``ignore_index``:

    * ``"none"``: ``w_i * l_i`` per row, 0 in ignored rows
    * ``"sum"``: ``sum(w * l)``
    * ``"mean"``: ``sum(w * l) / number of rows``; a small weight lowers the loss
    * ``"weighted_mean"``: ``sum(w * l) / sum(w)``, the paper's; only relative weights matter

    Without weights this is ``torch.nn.functional.cross_entropy``, but for one thing: where there is
    nothing to average (no rows, all rows ignored, or weights that sum to 0), the loss and all
    gradients are 0, not NaN. Note that torch's ``weight`` is per class; ``sample_weight`` is per
    example.

    Differentiable in ``logits`` and ``sample_weight``, once. Unless ``reduction`` is ``"none"`` or
    the call is traced by ``torch.compile``, the forward pass already writes the gradient of the
    logits, so peak memory is that of the logits twice over. A NaN or infinity in a row of logits
    stays in that row, in losses and gradients alike.

    Args:
        logits: ``[N, V]``, float32 or float64; on CUDA also float16 and bfloat16, computed in
            float32. Never written to.
        targets: ``[N]`` int64, in ``[0, V)`` or ``ignore_index``.
        sample_weight: ``[N]``, floating point.
        ignore_index: Rows with this target count nowhere.
        reduction: One of the four above.

    Returns:
        ``[N]`` for ``"none"``, else a scalar; float64 for float64 logits, else float32.

    Raises:
        ValueError: A wrong shape, dtype, device or reduction.
        IndexError: On the CPU, a target out of range. On CUDA, where looking would stall the
            device, loss and gradient of that row become NaN.
        RuntimeError: A CUDA tensor, and no CUDA kernels in this build.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import reweighted_cross_entropy
        >>> logits = torch.zeros(2, 4, requires_grad=True)
        >>> weight = torch.tensor([1.0, 3.0])
        >>> loss = reweighted_cross_entropy(logits, torch.tensor([0, 1]), weight, reduction="sum")
        >>> round(loss.item() / 4, 4)  # log 4
        1.3863
    """
    _check(logits, targets, sample_weight, reduction)
    dtype = _arithmetic(logits.dtype)
    kept = targets != ignore_index
    weight = kept.to(dtype)
    if sample_weight is not None:
        # where, not a product: an ignored row may carry any weight, NaN included.
        weight = torch.where(kept, sample_weight.to(dtype), 0)
    losses: Tensor
    if reduction == "none":
        losses = _Losses.apply(logits, targets, ignore_index)  # type: ignore[no-untyped-call]
        return losses * weight
    row_scale = weight
    if reduction != "sum":
        total = weight.sum() if reduction == "weighted_mean" else kept.sum().to(dtype)
        is_zero = total == 0
        # Divide by 1 where total is 0: dividing by 0 would make the gradient NaN even if unused.
        row_scale = torch.where(is_zero, 0, weight / torch.where(is_zero, 1, total))
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and logits.requires_grad):
        losses = _Losses.apply(logits, targets, ignore_index)  # type: ignore[no-untyped-call]
        return (row_scale * losses).sum()
    loss: Tensor = _ReducedLoss.apply(logits, targets, row_scale, ignore_index)  # type: ignore[no-untyped-call]
    return loss


def _check(
    logits: Tensor, targets: Tensor, sample_weight: Tensor | None, reduction: Reduction
) -> None:
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be one of {get_args(Reduction)}, got {reduction!r}")
    if logits.dim() != 2:
        raise ValueError(f"logits must be [N, V], got shape {tuple(logits.shape)}")
    if targets.shape != logits.shape[:1]:
        raise ValueError(f"targets must be [{logits.shape[0]}], got shape {tuple(targets.shape)}")
    if targets.dtype != torch.int64:
        raise ValueError(f"targets must be int64, got {targets.dtype}")
    if targets.device != logits.device:
        raise ValueError(f"targets must be on {logits.device}, got {targets.device}")
    supported = {torch.float32, torch.float64}
    if logits.device.type == "cuda":
        supported |= {torch.float16, torch.bfloat16}
    if logits.dtype not in supported:
        names = ", ".join(sorted(str(dtype) for dtype in supported))
        raise ValueError(f"logits on {logits.device.type} must be {names}, got {logits.dtype}")
    if sample_weight is None:
        return
    if sample_weight.shape != targets.shape:
        raise ValueError(
            f"sample_weight must be [{logits.shape[0]}], got shape {tuple(sample_weight.shape)}"
        )
    if not sample_weight.is_floating_point():
        raise ValueError(f"sample_weight must be floating point, got {sample_weight.dtype}")
    if sample_weight.device != logits.device:
        raise ValueError(f"sample_weight must be on {logits.device}, got {sample_weight.device}")
