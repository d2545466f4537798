"""Cross-entropy with one weight per example: where the noise model speaks to the recommender.

An example that looks like noise gets a small weight and teaches less (Liu et al., JCST 39(5) 2024,
arXiv:2409.17402: the recommendation loss is ``sum_i w_i * l_i / sum_i w_i``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from atjt_ext.ops import _row_losses as row_losses
from atjt_ext.ops._library import register
from atjt_ext.ops._row_losses import Reduction, logits_like, rows_like

from ._native import _C

_NAME = "reweighted_cross_entropy"


def _native(
    logits: Tensor,
    targets: Tensor,
    row_scale: Tensor | None,
    grad_logits: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
) -> Tensor:
    losses = rows_like(logits)
    _C.reweighted_cross_entropy(
        logits.contiguous(),
        targets.contiguous(),
        row_scale=None if row_scale is None else row_scale.contiguous(),
        losses=losses,
        grad_logits=grad_logits,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        num_threads=torch.get_num_threads(),
    )
    return losses


def _losses(logits: Tensor, targets: Tensor, ignore_index: int, label_smoothing: float) -> Tensor:
    return _native(logits, targets, None, None, ignore_index, label_smoothing)


def _with_gradient(
    logits: Tensor, targets: Tensor, row_scale: Tensor, ignore_index: int, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    grad_logits = logits_like(logits)
    losses = _native(logits, targets, row_scale, grad_logits, ignore_index, label_smoothing)
    return losses, grad_logits


def _gradient_in_place(
    logits: Tensor, targets: Tensor, row_scale: Tensor, ignore_index: int, label_smoothing: float
) -> None:
    _native(logits, targets, row_scale, logits, ignore_index, label_smoothing)


register(
    f"_{_NAME}(Tensor logits, Tensor targets, int ignore_index, float label_smoothing) -> Tensor",
    _losses,
    lambda logits, *_: rows_like(logits),
)
register(
    f"_{_NAME}_with_gradient(Tensor logits, Tensor targets, Tensor row_scale, int ignore_index, "
    "float label_smoothing) -> (Tensor, Tensor)",
    _with_gradient,
    lambda logits, *_: (rows_like(logits), logits_like(logits)),
)
register(
    f"_{_NAME}_gradient_(Tensor(a!) logits, Tensor targets, Tensor row_scale, int ignore_index, "
    "float label_smoothing) -> ()",
    _gradient_in_place,
    lambda *_: None,
)


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

    Without weights this is ``torch.nn.functional.cross_entropy``, but for one thing: where there is
    nothing to average (no rows, all rows ignored, or weights that sum to 0), the loss and all
    gradients are 0, not NaN. Note that torch's ``weight`` is per class; ``sample_weight`` is per
    example.

    Differentiable in ``logits`` and ``sample_weight``, once. A NaN or infinity in a row of logits
    stays in that row's loss and gradient; a scalar result it spoils, unless the weight of the row
    is 0. Losses of rows and gradients are the same
    to the bit whenever, and by however many threads, they are computed.

    Memory: with a scalar result the forward pass already writes the gradient of the logits, while
    they are in cache, so the peak is that of the logits twice over. With ``"none"``, with float16
    (whose gradient must not be scaled after it was rounded), under ``torch.compile`` and under
    activation checkpointing the backward pass computes it instead, from the logits.

    Args:
        logits: ``[N, V]``, float32, float64, bfloat16 or float16; the half types are computed in
            float32. Never written to, but for ``inplace_gradient``.
        targets: ``[N]`` int64, in ``[0, V)`` or ``ignore_index``.
        sample_weight: ``[N]``, floating point.
        ignore_index: Rows with this target count nowhere.
        label_smoothing: ``e`` in ``[0, 1]``: ``l_i`` becomes ``(1 - e) * l_i`` plus ``e`` times
            the mean of the losses that each class would have as the target, as torch defines it.
        reduction: One of the four above.
        inplace_gradient: Permits the backward pass to write the gradient over the logits, so that
            there is no second tensor of their size, ever. They hold it afterwards: an operation
            that needs them in its own backward pass, another loss of the same logits and a second
            pass over a retained graph included, fails if it comes later. Parts of one tensor
            (``split``, ``unbind``) cannot be overwritten. No use is made of it by
            ``torch.compile``, which plans memory itself, nor under hooks for saved tensors
            (activation checkpointing), where nobody would notice that they are gone.

    Returns:
        ``[N]`` for ``"none"``, else a scalar; float64 for float64 logits, else float32.

    Raises:
        ValueError: A wrong shape, dtype, device or option; ``inplace_gradient`` for logits that are
            not contiguous, or that are (a view of) a leaf that wants a gradient: their values would
            be lost.
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
    _check(logits, targets, sample_weight)
    row_losses.check_choice(reduction, label_smoothing)
    if inplace_gradient:
        row_losses.check_may_be_overwritten(logits)
    kept = targets != ignore_index
    weight = row_losses.weights_where(kept, sample_weight, row_losses.arithmetic(logits.dtype))
    options = (ignore_index, float(label_smoothing))
    if reduction == "none":
        return row_losses.weighted_losses(
            _NAME, logits, targets, weight, *options, in_place=inplace_gradient
        )
    row_scale = row_losses.scales(weight, kept, reduction)
    return row_losses.reduced_loss(
        _NAME, logits, targets, row_scale, *options, in_place=inplace_gradient
    )


def _check(logits: Tensor, targets: Tensor, sample_weight: Tensor | None) -> None:
    if logits.dim() != 2:
        raise ValueError(f"logits must be [N, V], got shape {tuple(logits.shape)}")
    row_losses.check_dtype("logits", logits)
    row_losses.check_targets(targets, logits.shape[:1], logits.device)
    if targets.dtype != torch.int64:
        raise ValueError(f"targets must be int64, got {targets.dtype}")
    row_losses.check_sample_weight(sample_weight, logits.shape[:1], logits.device)
