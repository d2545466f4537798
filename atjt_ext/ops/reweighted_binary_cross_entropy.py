"""Binary cross-entropy with one weight per example, for positive and negative logits.

Liu et al. (JCST 39(5) 2024, arXiv:2409.17402) let the weight of a sequence scale the losses of its
positive and its negative item alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from atjt_ext.ops import _row_losses as row_losses
from atjt_ext.ops._library import register
from atjt_ext.ops._row_losses import Reduction, logits_like, rows_like

from ._native import _C

_NAME = "reweighted_binary_cross_entropy"


def _native(
    logits: Tensor,
    targets: Tensor,
    row_scale: Tensor | None,
    grad_logits: Tensor | None,
    label_smoothing: float,
) -> Tensor:
    losses = rows_like(logits)
    _C.reweighted_binary_cross_entropy(
        logits.contiguous(),
        targets.contiguous(),
        row_scale=None if row_scale is None else row_scale.contiguous(),
        losses=losses,
        grad_logits=grad_logits,
        label_smoothing=label_smoothing,
        num_threads=torch.get_num_threads(),
    )
    return losses


def _losses(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    return _native(logits, targets, None, None, label_smoothing)


def _with_gradient(
    logits: Tensor, targets: Tensor, row_scale: Tensor, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    grad_logits = logits_like(logits)
    return _native(logits, targets, row_scale, grad_logits, label_smoothing), grad_logits


def _gradient_in_place(
    logits: Tensor, targets: Tensor, row_scale: Tensor, label_smoothing: float
) -> None:
    _native(logits, targets, row_scale, logits, label_smoothing)


register(
    f"_{_NAME}(Tensor logits, Tensor targets, float label_smoothing) -> Tensor",
    _losses,
    lambda logits, *_: rows_like(logits),
)
register(
    f"_{_NAME}_with_gradient(Tensor logits, Tensor targets, Tensor row_scale, "
    "float label_smoothing) -> (Tensor, Tensor)",
    _with_gradient,
    lambda logits, *_: (rows_like(logits), logits_like(logits)),
)
register(
    f"_{_NAME}_gradient_(Tensor(a!) logits, Tensor targets, Tensor row_scale, "
    "float label_smoothing) -> ()",
    _gradient_in_place,
    lambda *_: None,
)


def reweighted_binary_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    inplace_gradient: bool = False,
) -> Tensor:
    """Sigmoid cross-entropy of ``logits`` against ``targets``, each row scaled by its weight.

    With ``l_ic = max(x, 0) - x * y + log(1 + exp(-|x|))`` for ``x = logits[i, c]`` and
    ``y = targets[i, c]``, and weights ``w_i`` (all 1 if ``sample_weight`` is ``None``):

    * ``"none"``: ``w_i * l_ic``, in the shape of the logits
    * ``"sum"``: ``sum(w_i * l_ic)``
    * ``"mean"``: ``sum(w_i * l_ic) / (N * C)``; a small weight lowers the loss
    * ``"weighted_mean"``: ``sum(w_i * l_ic) / sum(w_i * C)``; only relative weights matter

    Without weights this is ``torch.nn.functional.binary_cross_entropy_with_logits``, but for two
    things. Where there is nothing to average (no elements, or weights that sum to 0), the loss and
    all gradients are 0, not NaN. And an infinite logit on the side of its target costs 0, not NaN.

    Differentiable in ``logits`` and ``sample_weight``, once. A NaN in a row of logits stays in that
    row. Losses and gradients are the same to the bit whenever, and by however many threads, they
    are computed.
    Memory and time: see :func:`atjt_ext.ops.reweighted_cross_entropy`.

    Args:
        logits: ``[N]`` or ``[N, C]``, float32, float64, bfloat16 or float16; the half types are
            computed in float32. Never written to, but for ``inplace_gradient``.
        targets: Bool or floating point, in the shape of the logits. Bool, and the dtype of the
            result, are read as they are; others are converted first. Values outside ``[0, 1]`` are
            not looked for, as in torch: the formula takes any.
        sample_weight: ``[N]``, floating point.
        label_smoothing: ``e`` in ``[0, 1]``: ``y`` becomes ``(1 - e) * y + e / 2``.
        reduction: One of the four above.
        inplace_gradient: Permits the backward pass to write the gradient over the logits, as
            in :func:`atjt_ext.ops.reweighted_cross_entropy`, which says what follows from it.

    Returns:
        The shape of the logits for ``"none"``, else a scalar; float64 for float64 logits, else
        float32.

    Raises:
        ValueError: A wrong shape, dtype, device or option; targets that require a gradient, as
            there is none in them; ``inplace_gradient`` for logits that are not contiguous, or that
            are (a view of) a leaf that wants a gradient.
        RuntimeError: A CUDA tensor, and no CUDA kernels in this build.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import reweighted_binary_cross_entropy
        >>> logits = torch.zeros(2, 2)  # per row: a positive and a negative item
        >>> targets = torch.tensor([[True, False], [True, False]])
        >>> weight = torch.tensor([1.0, 3.0])
        >>> loss = reweighted_binary_cross_entropy(logits, targets, weight, reduction="sum")
        >>> round(loss.item() / 8, 4)  # log 2
        0.6931
    """
    _check(logits, targets, sample_weight)
    row_losses.check_choice(reduction, label_smoothing)
    if inplace_gradient:
        row_losses.check_may_be_overwritten(logits)
    dtype = row_losses.arithmetic(logits.dtype)
    if targets.dtype != torch.bool:
        targets = targets.to(dtype)
    rows = logits.shape[0]
    weight = logits.new_ones(rows, dtype=dtype)
    if sample_weight is not None:
        weight = sample_weight.to(dtype)
    options = (float(label_smoothing),)
    if reduction == "none":
        per_element = weight if logits.dim() == 1 else weight[:, None].expand(logits.shape)
        return row_losses.weighted_losses(
            _NAME,
            logits.reshape(-1, 1),
            targets.reshape(-1, 1),
            per_element.reshape(-1),
            *options,
            in_place=inplace_gradient,
        ).view(logits.shape)
    row_scale = weight
    if reduction != "sum":
        classes = 1 if logits.dim() == 1 else logits.shape[1]
        total = weight.sum() if reduction == "weighted_mean" else weight.new_full((), rows)
        row_scale = row_losses.divided(weight, total * classes)
    matrix = (rows, 1) if logits.dim() == 1 else logits.shape
    return row_losses.reduced_loss(
        _NAME,
        logits.reshape(matrix),
        targets.reshape(matrix),
        row_scale,
        *options,
        in_place=inplace_gradient,
    )


def _check(logits: Tensor, targets: Tensor, sample_weight: Tensor | None) -> None:
    if logits.dim() not in (1, 2):
        raise ValueError(f"logits must be [N] or [N, C], got shape {tuple(logits.shape)}")
    row_losses.check_dtype("logits", logits)
    row_losses.check_targets(targets, logits.shape, logits.device)
    if targets.dtype != torch.bool and not targets.is_floating_point():
        raise ValueError(f"targets must be bool or floating point, got {targets.dtype}")
    if targets.requires_grad:
        raise ValueError("targets must not require a gradient, there is none in them; detach them")
    row_losses.check_sample_weight(sample_weight, logits.shape[:1], logits.device)
