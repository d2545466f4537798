"""Cross-entropy with one weight per example: an example that looks like noise teaches less.

The paper's recommendation loss is ``sum_i w_i * l_i / sum_i w_i`` (Liu et al., JCST 39(5) 2024,
arXiv:2409.17402).
"""

from __future__ import annotations

from torch import Tensor

from . import _row_losses as row_losses
from ._checks import (
    check_dtype,
    check_integers,
    check_label_smoothing,
    check_reduction,
    check_sample_weight,
    check_shape,
)
from ._dtypes import arithmetic
from ._row_losses import Reduction

_NAME = "reweighted_cross_entropy"
row_losses.register_row_loss(_NAME, "int ignore_index, float label_smoothing")


def reweighted_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    sample_weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    inplace_gradient: bool = False,
) -> Tensor:
    """Softmax cross-entropy of ``logits`` against ``targets``, each example scaled by its weight.

    With ``l_i = log sum_v exp(logits[i, v]) - logits[i, targets[i]]``, weights ``w_i`` (all 1 if
    ``sample_weight`` is ``None``) and sums over the rows whose target is not ``ignore_index``:

    * ``"none"``: ``w_i * l_i`` per row, 0 in ignored rows
    * ``"sum"``: ``sum(w * l)``
    * ``"mean"``: ``sum(w * l) / number of rows``; a small weight lowers the loss
    * ``"weighted_mean"``: ``sum(w * l) / sum(w)``, the paper's; only relative weights matter

    Without weights this is ``torch.nn.functional.cross_entropy``, with one difference: without
    anything to average (no rows, all rows ignored, or weights that sum to 0) the loss and all
    gradients are 0 instead of NaN. Note that torch's ``weight`` is per class; ``sample_weight`` is
    per example.

    Weights may be any finite numbers. Under ``"weighted_mean"`` their sum may exceed the range of
    the dtype. Negative weights are not refused, as in torch, and the formulas hold: training raises
    the loss of such a row, and ``"weighted_mean"`` has no bound if positive and negative weights
    nearly cancel.

    Differentiable once, in ``logits`` and ``sample_weight``. A NaN or infinity in a row of logits
    stays in the loss and gradient of that row. It reaches a scalar result unless the row's weight
    is 0. Losses of rows and gradients have the same bits in every run and with any number of
    threads.

    Memory: for a scalar result the forward pass already writes the gradient of the logits, while
    they are in cache; the peak is twice the size of the logits. For ``"none"``, for float16 (a
    rounded float16 gradient must not be scaled), under ``torch.compile`` and under activation
    checkpointing, the backward pass computes the gradient from the logits.

    Args:
        logits: ``[N, V]``, float32, float64, bfloat16 or float16; the half types are computed in
            float32. Only ``inplace_gradient`` writes to them.
        targets: ``[N]`` int64, in ``[0, V)`` or ``ignore_index``.
        sample_weight: ``[N]``, floating point, finite.
        ignore_index: Rows with this target have loss and gradient 0 and do not count.
        label_smoothing: ``e`` in ``[0, 1]``: ``l_i`` becomes ``(1 - e) * l_i`` plus ``e`` times
            the mean loss over all classes as targets, as in torch.
        reduction: One of the four above.
        inplace_gradient: The backward pass may write the gradient over the logits, which saves a
            second tensor of their size. Any later backward pass that needs the logits raises an
            error: that of another operation, of another loss of the same logits, or a second one
            over a retained graph. Parts of one tensor (``split``, ``unbind``) cannot be
            overwritten. Without effect under ``torch.compile``, which plans memory itself, and
            under hooks for saved tensors (activation checkpointing), where an overwritten tensor
            would go unnoticed.

    Returns:
        ``[N]`` for ``"none"``, else a scalar; float64 for float64 logits, else float32.

    Raises:
        ValueError: A wrong shape, dtype, device or option; ``inplace_gradient`` for logits that are
            not contiguous, or that are (a view of) a leaf with ``requires_grad``.
        IndexError: A target out of range, on the CPU. On CUDA a check would stall the device; loss
            and gradient of the row become NaN there.
        RuntimeError: A CUDA tensor in a build without CUDA kernels.

    Example:
        >>> import torch
        >>> from atjt_ext.ops import reweighted_cross_entropy
        >>> logits = torch.zeros(2, 4, requires_grad=True)
        >>> weight = torch.tensor([1.0, 3.0])
        >>> loss = reweighted_cross_entropy(logits, torch.tensor([0, 1]), weight, reduction="sum")
        >>> round(loss.item() / 4, 4)  # log 4
        1.3863
    """
    check_shape("logits", logits, "N", "V")
    check_dtype("logits", logits)
    check_shape("targets", targets, len(logits))
    check_integers("targets", targets, logits.device)
    check_sample_weight(sample_weight, logits.shape[:1], logits.device)
    check_reduction(reduction)
    check_label_smoothing(label_smoothing)
    if inplace_gradient:
        row_losses.check_may_be_overwritten(logits)
    kept = targets != ignore_index
    weight = row_losses.weights_where(kept, sample_weight, arithmetic(logits.dtype))
    options = (ignore_index, float(label_smoothing))
    if reduction == "none":
        return row_losses.weighted_losses(
            _NAME, logits, targets, weight, *options, in_place=inplace_gradient
        )
    row_scale = row_losses.scales(weight, kept, reduction)
    return row_losses.reduced_loss(
        _NAME, logits, targets, row_scale, *options, in_place=inplace_gradient
    )
