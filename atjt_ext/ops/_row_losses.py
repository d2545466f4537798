"""Losses with one weight per row: registration, normalisers, autograd, the choice of a route.

:func:`register_row_loss` makes three operators of one kernel. ``_<name>`` computes the loss of each
row. ``_<name>_with_gradient`` also computes the gradient of ``sum(row_scale * losses)`` in the
logits, and ``_<name>_gradient_`` writes this gradient over them. ``row_scale`` contains the
weights and the reduction.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from ._dtypes import arithmetic
from ._library import contiguous, operator, refuse_second_derivative, register
from ._native import _C

Reduction = Literal["none", "sum", "mean", "weighted_mean"]
_Options = tuple[Any, ...]


def _rows_like(logits: Tensor) -> Tensor:
    return logits.new_empty(logits.shape[:1], dtype=arithmetic(logits.dtype))


def _logits_like(logits: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def register_row_loss(name: str, options: str) -> None:
    """Define the three operators of a loss.

    Args:
        name: of the loss, its operators and its kernel. The kernel writes ``losses`` and, unless
            None, ``grad_logits``, which may be the logits.
        options: their schema, e.g. ``int ignore_index, float label_smoothing``.
    """
    names = [option.split()[1] for option in options.split(", ")]

    def run(
        logits: Tensor, targets: Tensor, scale: Tensor | None, grad: Tensor | None, *values: Any
    ) -> Tensor:
        losses = _rows_like(logits)
        getattr(_C, name)(
            logits.contiguous(),
            targets.contiguous(),
            row_scale=contiguous(scale),
            losses=losses,
            grad_logits=grad,
            num_threads=torch.get_num_threads(),
            **dict(zip(names, values, strict=True)),
        )
        return losses

    def losses(logits: Tensor, targets: Tensor, *values: Any) -> Tensor:
        return run(logits, targets, None, None, *values)

    def with_gradient(
        logits: Tensor, targets: Tensor, row_scale: Tensor, *values: Any
    ) -> tuple[Tensor, Tensor]:
        grad_logits = _logits_like(logits)
        return run(logits, targets, row_scale, grad_logits, *values), grad_logits

    def gradient_in_place(logits: Tensor, targets: Tensor, row_scale: Tensor, *values: Any) -> None:
        run(logits, targets, row_scale, logits, *values)

    register(
        f"_{name}(Tensor logits, Tensor targets, {options}) -> Tensor",
        losses,
        lambda logits, *_: _rows_like(logits),
    )
    scaled = f"Tensor targets, Tensor row_scale, {options}"
    register(
        f"_{name}_with_gradient(Tensor logits, {scaled}) -> (Tensor, Tensor)",
        with_gradient,
        lambda logits, *_: (_rows_like(logits), _logits_like(logits)),
    )
    register(
        f"_{name}_gradient_(Tensor(a!) logits, {scaled}) -> ()",
        gradient_in_place,
        lambda *_: None,
    )


register(
    "_scale_gradient(Tensor(a!) gradient, Tensor factor) -> ()",
    lambda gradient, factor: _C.scale_gradient(
        gradient, factor, num_threads=torch.get_num_threads()
    ),
    lambda gradient, factor: None,
)


class RowLosses(torch.autograd.Function):
    """Losses ``[N]``; the backward pass reads the logits again and may overwrite them."""

    # Not *options: torch.compile then drops ctx if no input requires a gradient.
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, name: str, in_place: bool, options: _Options
    ) -> Tensor:
        losses: Tensor = operator(f"_{name}")(logits, targets, *options)
        ctx.save_for_backward(logits, targets)
        ctx.name, ctx.in_place, ctx.options = name, in_place, options
        return losses

    @staticmethod
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative(ctx.name)
        logits, targets = ctx.saved_tensors
        arguments = (logits, targets, grad_losses, *ctx.options)
        if ctx.in_place:
            operator(f"_{ctx.name}_gradient_")(*arguments)
            # Any other function that saved the logits, and a second pass here, now raises.
            torch.autograd.graph.increment_version(logits)
            grad_logits = logits.detach()
        else:
            grad_logits = operator(f"_{ctx.name}_with_gradient")(*arguments)[1]
        return grad_logits, None, None, None, None


class ReducedLoss(torch.autograd.Function):
    """``sum(row_scale * losses)``; the forward pass already writes the gradient, while a row of
    logits is in cache."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, row_scale: Tensor, name: str, options: _Options
    ) -> Tensor:
        losses: Tensor
        losses, ctx.grad_logits = operator(f"_{name}_with_gradient")(
            logits, targets, row_scale, *options
        )
        losses = at_weight(losses, row_scale)
        ctx.save_for_backward(logits, targets, row_scale, losses)
        ctx.name, ctx.options = name, options
        return (row_scale * losses).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative(ctx.name)
        logits, targets, row_scale, losses = ctx.saved_tensors
        # The buffer is returned once only: autograd may add other gradients into it. A second
        # backward pass over a retained graph computes the same bits again.
        grad_logits, ctx.grad_logits = ctx.grad_logits, None
        if grad_logits is None:
            grad_logits = operator(f"_{ctx.name}_with_gradient")(
                logits, targets, row_scale, *ctx.options
            )[1]
        operator("_scale_gradient")(grad_logits, grad)
        grad_scale = losses * grad if ctx.needs_input_grad[2] else None
        return grad_logits, None, grad_scale, None, None


# Private to torch and absent from older versions; there is no public function for it.
_default_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)


def saves_are_hooked(if_unknown: bool) -> bool:
    """Whether hooks replace saved tensors now: activation checkpointing, ``save_on_cpu``."""
    return if_unknown if _default_hooks is None else _default_hooks(True) is not None


def at_weight(losses: Tensor, row_scale: Tensor) -> Tensor:
    """``losses`` with 0 for a row of weight 0 whose loss is not finite."""
    return torch.where((row_scale == 0) & ~torch.isfinite(losses), 0, losses)


def weights_where(kept: Tensor, sample_weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """``sample_weight`` (None: 1) where ``kept``, else 0."""
    weight = kept.to(dtype)
    if sample_weight is not None:
        # No product: an ignored row may have any weight, even NaN.
        weight = torch.where(kept, sample_weight.to(dtype), 0)
    return weight


def scales(weight: Tensor, kept: Tensor, reduction: str) -> Tensor:
    """Factor of each loss, so that the sum of the products is the reduced loss."""
    if reduction in ("none", "sum"):
        return weight
    if reduction == "mean":
        return divided(weight, kept.sum().to(weight))
    weight = summable(weight)
    return divided(weight, weight.sum())


def summable(weight: Tensor, times: int = 1) -> Tensor:
    """``weight``, or a power of two of it if ``times`` its sum is beyond the dtype.

    For quotients of a weight and the sum, which stay the same: a power of two rounds no weight that
    matters beside the largest one.
    """
    total = weight.detach().sum() * times
    least = 2.0 ** -(math.frexp(torch.finfo(weight.dtype).max)[1] // 2)
    in_range = total - total == 0  # neither infinite nor NaN; the host does not wait for it
    return weight * torch.where(in_range, torch.ones_like(total), least)


def divided(weight: Tensor, total: Tensor) -> Tensor:
    """``weight / total``, or 0 if ``total`` is 0."""
    is_zero = total == 0
    # Dividing by 0 would make the gradient NaN, although ``where`` does not select it.
    return torch.where(is_zero, 0, weight / torch.where(is_zero, 1, total))


def weighted_losses(
    name: str,
    logits: Tensor,
    targets: Tensor,
    row_weight: Tensor,
    *options: Any,
    in_place: bool = False,
) -> Tensor:
    """``row_weight * losses``, ``[N]``."""
    # Under hooks autograd does not notice that a saved tensor was overwritten.
    in_place = (
        in_place and not torch.compiler.is_compiling() and not saves_are_hooked(if_unknown=True)
    )
    losses: Tensor = RowLosses.apply(logits, targets, name, in_place, options)  # type: ignore[no-untyped-call]
    return at_weight(losses, row_weight) * row_weight


def reduced_loss(
    name: str,
    logits: Tensor,
    targets: Tensor,
    row_scale: Tensor,
    *options: Any,
    in_place: bool = False,
) -> Tensor:
    """``sum(row_scale * losses)``."""
    wants_gradient = torch.is_grad_enabled() and logits.requires_grad
    # A float16 gradient needs its factor before it is rounded: scaling it up afterwards cannot undo
    # an underflow.
    writes_ahead = wants_gradient and not in_place and logits.dtype != torch.float16
    if not writes_ahead or torch.compiler.is_compiling() or saves_are_hooked(if_unknown=False):
        return weighted_losses(name, logits, targets, row_scale, *options, in_place=in_place).sum()
    loss: Tensor = ReducedLoss.apply(logits, targets, row_scale, name, options)  # type: ignore[no-untyped-call]
    return loss


def check_may_be_overwritten(logits: Tensor) -> None:
    """Raises ValueError unless ``inplace_gradient`` can take these logits."""
    if not logits.is_contiguous():
        raise ValueError(
            "inplace_gradient needs contiguous logits, "
            f"got strides {logits.stride()} for shape {tuple(logits.shape)}"
        )
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and logits.requires_grad):
        return
    owner = logits if logits._base is None else logits._base
    if owner.is_leaf and owner.requires_grad:
        raise ValueError(
            "inplace_gradient would overwrite the values of a leaf that requires a gradient; "
            "the logits must be the output of a model"
        )
