"""What the losses with one weight per row share: normalisers, autograd, the choice of a route.

An operator ``_<name>`` computes the loss of each row, ``_<name>_with_gradient`` also the gradient
in the logits of ``sum(row_scale * losses)``. Weights and reductions are all in ``row_scale``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from atjt_ext.ops._library import register

from ._native import _C

Reduction = Literal["none", "sum", "mean", "weighted_mean"]

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def arithmetic(dtype: torch.dtype) -> torch.dtype:
    """What losses and weights of logits with this dtype are computed in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def rows_like(logits: Tensor) -> Tensor:
    return logits.new_empty(logits.shape[:1], dtype=arithmetic(logits.dtype))


def logits_like(logits: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _scale_gradient(gradient: Tensor, factor: Tensor) -> None:
    _C.scale_gradient(gradient, factor, num_threads=torch.get_num_threads())


register(
    "_scale_gradient(Tensor(a!) gradient, Tensor factor) -> ()",
    _scale_gradient,
    lambda gradient, factor: None,
)


def operator(name: str) -> Callable[..., Any]:
    operator: Callable[..., Any] = getattr(torch.ops.atjt_ext, name)
    return operator


def refuse_second_derivative(name: str) -> None:
    # Not once_differentiable: its gradient would just count as a constant in a larger loss.
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        raise RuntimeError(f"{name} is differentiable once, and create_graph=True asks for more")


class RowLosses(torch.autograd.Function):
    """``[N]`` losses; the backward pass reads the logits again, and may write over them."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, name: str, in_place: bool, *options: Any
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
            # Whoever else saved the logits, this function in a second pass included, now fails.
            torch.autograd.graph.increment_version(logits)
            grad_logits = logits.detach()
        else:
            grad_logits = operator(f"_{ctx.name}_with_gradient")(*arguments)[1]
        return grad_logits, *[None] * (3 + len(ctx.options))


class ReducedLoss(torch.autograd.Function):
    """``sum(row_scale * losses)``; the gradient is written while a row of logits is in cache."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, row_scale: Tensor, name: str, *options: Any
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
        # The buffer is handed out once, as autograd may add other gradients into it. A second
        # backward pass over a retained graph computes it again, to the same bits.
        grad_logits, ctx.grad_logits = ctx.grad_logits, None
        if grad_logits is None:
            grad_logits = operator(f"_{ctx.name}_with_gradient")(
                logits, targets, row_scale, *ctx.options
            )[1]
        operator("_scale_gradient")(grad_logits, grad)
        grad_scale = losses * grad if ctx.needs_input_grad[2] else None
        return grad_logits, None, grad_scale, *[None] * (1 + len(ctx.options))


# Private to torch, which has no other way to ask; absent from older versions.
_default_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)


def _saves_are_hooked(if_unknown: bool) -> bool:
    """Whether saved tensors take another way now: activation checkpointing, ``save_on_cpu``."""
    return if_unknown if _default_hooks is None else _default_hooks(True) is not None


def at_weight(losses: Tensor, row_scale: Tensor) -> Tensor:
    """``losses``, but 0 where one that is not finite has weight 0: such a row counts nowhere."""
    return torch.where((row_scale == 0) & ~torch.isfinite(losses), 0, losses)


def weights_where(kept: Tensor, sample_weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """``sample_weight`` (without: 1) where ``kept``, else 0."""
    weight = kept.to(dtype)
    if sample_weight is not None:
        # where, not a product: an ignored row may carry any weight, NaN included.
        weight = torch.where(kept, sample_weight.to(dtype), 0)
    return weight


def scales(weight: Tensor, kept: Tensor, reduction: str) -> Tensor:
    """By what each loss is multiplied, to be summed up (or, for ``"none"``, not)."""
    if reduction in ("none", "sum"):
        return weight
    return divided(weight, weight.sum() if reduction == "weighted_mean" else kept.sum().to(weight))


def divided(weight: Tensor, total: Tensor) -> Tensor:
    """``weight / total``, and 0 where there is nothing to average."""
    is_zero = total == 0
    # Divide by 1 where total is 0: dividing by 0 would make the gradient NaN even if unused.
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
    # Under hooks autograd does not check whether saved tensors were overwritten since.
    in_place = (
        in_place and not torch.compiler.is_compiling() and not _saves_are_hooked(if_unknown=True)
    )
    losses: Tensor = RowLosses.apply(logits, targets, name, in_place, *options)  # type: ignore[no-untyped-call]
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
    # A gradient of float16 has to know its factor from the start: one that is scaled up afterwards,
    # against underflow, has underflowed already.
    writes_ahead = wants_gradient and not in_place and logits.dtype != torch.float16
    if not writes_ahead or torch.compiler.is_compiling() or _saves_are_hooked(if_unknown=False):
        return weighted_losses(name, logits, targets, row_scale, *options, in_place=in_place).sum()
    loss: Tensor = ReducedLoss.apply(logits, targets, row_scale, name, *options)  # type: ignore[no-untyped-call]
    return loss


def check_choice(reduction: str, label_smoothing: float) -> None:
    reductions = ("none", "sum", "mean", "weighted_mean")
    if reduction not in reductions:
        raise ValueError(f"reduction must be one of {reductions}, got {reduction!r}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be in [0, 1], got {label_smoothing}")


def check_temperature(temperature: float | Tensor, dtype: torch.dtype) -> None:
    if isinstance(temperature, Tensor):
        raise TypeError(
            "temperature must be a number, got a tensor; for one that is learned divide hidden "
            "(and bias) by it"
        )
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be finite and above 0, got {temperature}")
    least = torch.finfo(arithmetic(dtype)).tiny
    if temperature < least:  # its reciprocal would be infinite
        raise ValueError(f"temperature must be at least {least}, got {temperature}")


def autocast_dtype(hidden: Tensor) -> torch.dtype | None:
    """What torch casts the operands of a linear layer to now; None where it casts none."""
    kind = hidden.device.type
    if hidden.dtype == torch.float64 or not torch.amp.is_autocast_available(kind):
        return None
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


def check_dtype(name: str, tensor: Tensor) -> None:
    if tensor.dtype not in DTYPES:
        names = ", ".join(str(dtype) for dtype in DTYPES)
        raise ValueError(f"{name} must be one of {names}, got {tensor.dtype}")


def check_targets(targets: Tensor, shape: torch.Size, device: torch.device) -> None:
    if targets.shape != shape:
        raise ValueError(f"targets must be {list(shape)}, got shape {tuple(targets.shape)}")
    if targets.device != device:
        raise ValueError(f"targets must be on {device}, got {targets.device}")


def check_sample_weight(
    sample_weight: Tensor | None, shape: torch.Size, device: torch.device
) -> None:
    if sample_weight is None:
        return
    if sample_weight.shape != shape:
        got = tuple(sample_weight.shape)
        raise ValueError(f"sample_weight must be {list(shape)}, got shape {got}")
    if not sample_weight.is_floating_point():
        raise ValueError(f"sample_weight must be floating point, got {sample_weight.dtype}")
    if sample_weight.device != device:
        raise ValueError(f"sample_weight must be on {device}, got {sample_weight.device}")


def check_may_be_overwritten(logits: Tensor) -> None:
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
            "give it the output of a model"
        )
