"""Binary cross-entropy with one weight per example, for positive and negative logits.

As in Liu et al. (JCST 39(5) 2024, arXiv:2409.17402), the weight of a sequence scales the losses of
its positive and its negative item alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import _row_losses as row_losses
from ._checks import (
    check_device,
    check_dtype,
    check_label_smoothing,
    check_reduction,
    check_sample_weight,
    check_shape,
)
from ._dtypes import arithmetic
from ._row_losses import Reduction

_NAME = "reweighted_binary_cross_entropy"
row_losses.register_row_loss(_NAME, "float label_smoothing")


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

    Without weights this is ``torch.nn.functional.binary_cross_entropy_with_logits``, with two
    differences. Without anything to average (no elements, or weights that sum to 0) the loss and
    all gradients are 0 instead of NaN. An infinite logit on the side of its target has loss 0
    instead of NaN. Weights may have any sign and size, as in
    :func:`atjt_ext.ops.reweighted_cross_entropy`.

    Differentiable once, in ``logits`` and ``sample_weight``. A NaN in a row of logits stays in that
    row. Losses and gradients have the same bits in every run and with any number of threads.
    Memory and time: see :func:`atjt_ext.ops.reweighted_cross_entropy`.

    Args:
        logits: ``[N]`` or ``[N, C]``, float32, float64, bfloat16 or float16; the half types are
            computed in float32. Only ``inplace_gradient`` writes to them.
        targets: Bool or floating point, in the shape of the logits. Targets that are neither bool
            nor of the result's dtype are converted first. As in torch, values outside ``[0, 1]``
            are not refused: the formula takes any value.
        sample_weight: ``[N]``, floating point, finite.
        label_smoothing: ``e`` in ``[0, 1]``: ``y`` becomes ``(1 - e) * y + e / 2``.
        reduction: One of the four above.
        inplace_gradient: The backward pass may write the gradient over the logits; consequences
            as in :func:`atjt_ext.ops.reweighted_cross_entropy`.

    Returns:
        The shape of the logits for ``"none"``, else a scalar; float64 for float64 logits, else
        float32.

    Raises:
        ValueError: A wrong shape, dtype, device or option; targets with ``requires_grad``, which
            get no gradient; ``inplace_gradient`` for logits that are not contiguous, or that are (a
            view of) a leaf with ``requires_grad``.
        RuntimeError: A CUDA tensor in a build without CUDA kernels.

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
    if logits.dim() not in (1, 2):
        raise ValueError(f"logits must be [N] or [N, C], got shape {tuple(logits.shape)}")
    check_dtype("logits", logits)
    check_shape("targets", targets, *logits.shape)
    check_device("targets", targets, logits.device)
    if targets.dtype != torch.bool and not targets.is_floating_point():
        raise ValueError(f"targets must be bool or floating point, got {targets.dtype}")
    if targets.requires_grad:
        raise ValueError("targets must not require a gradient: none is computed; detach them")
    check_sample_weight(sample_weight, logits.shape[:1], logits.device)
    check_reduction(reduction)
    check_label_smoothing(label_smoothing)
    if inplace_gradient:
        row_losses.check_may_be_overwritten(logits)
    dtype = arithmetic(logits.dtype)
    if targets.dtype != torch.bool:
        targets = targets.to(dtype)
    rows = logits.shape[0]
    weight = logits.new_ones(rows, dtype=dtype)
    if sample_weight is not None:
        weight = sample_weight.to(dtype)
    smoothing = float(label_smoothing)
    if reduction == "none":
        per_element = weight if logits.dim() == 1 else weight[:, None].expand(logits.shape)
        return row_losses.weighted_losses(
            _NAME,
            logits.reshape(-1, 1),
            targets.reshape(-1, 1),
            per_element.reshape(-1),
            smoothing,
            in_place=inplace_gradient,
        ).view(logits.shape)
    row_scale = weight
    if reduction != "sum":
        classes = 1 if logits.dim() == 1 else logits.shape[1]
        if reduction == "weighted_mean":
            weight = row_losses.summable(weight, classes)
        total = weight.sum() if reduction == "weighted_mean" else weight.new_full((), rows)
        row_scale = row_losses.divided(weight, total * classes)
    matrix = (rows, 1) if logits.dim() == 1 else logits.shape
    return row_losses.reduced_loss(
        _NAME,
        logits.reshape(matrix),
        targets.reshape(matrix),
        row_scale,
        smoothing,
        in_place=inplace_gradient,
    )
