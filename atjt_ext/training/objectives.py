"""The recommender's weighted loss, for both kinds of recommender and both kinds of loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import Batch
from ..models._packing import take
from ..models.dropout import DropoutKey
from ..models.precision import in_autocast_dtype, widened
from ..models.protocols import (
    AuxiliaryLoss,
    Recommender,
    SequenceRecommender,
    predicts_last_position_only,
)
from ..models.scoring import encode, takes
from ..ops import (
    linear_reweighted_cross_entropy,
    reweighted_cross_entropy,
    sampled_binary_cross_entropy,
)
from ..ops._row_losses import summable
from ..ops.target_ranks import has_kernels
from .config import JointTrainerConfig
from .step_weights import adaptive_denoising

__all__ = [
    "auxiliary_loss",
    "compiled",
    "recommender_loss",
    "softmax_route",
    "weighted_mean",
]

_Softmax = Literal["auto", "logits", "linear"]
_Route = Literal["logits", "linear"]
_Adapt = Callable[[Tensor], Tensor] | None

# From this number of logits [N, V] on, the softmax is computed without them: on the CPU it is then
# as fast or faster (measured with AVX2). Its products are those of the logits, but a tile of rows
# must be packed, so wide tables gain later. On a GPU the logits and their gradient then take
# gigabytes (not measured).
_LINEAR_FROM_LOGITS = {"cpu": 2**21, "cuda": 2**28}
_LINEAR_FROM_LOGITS_WIDE = {"cpu": 2**22, "cuda": 2**28}
_WIDE = 129


def softmax_route(
    recommender: Recommender, config: JointTrainerConfig, num_targets: float
) -> _Route | None:
    """How ``config.loss`` computes the softmax over the catalogue; None for a loss without softmax.

    ``linear`` goes from hidden states and item table to the loss without logits. ``auto`` chooses
    ``linear`` for sequence recommenders whose logits would be many, if there are kernels for their
    table.

    Args:
        recommender: see :mod:`atjt_ext.models.protocols`.
        config: ``loss`` and ``softmax``.
        num_targets: targets in a batch, of which each has a logit for every item.

    Raises:
        ValueError: ``linear`` for a pointwise recommender, which has no item table.
    """
    if config.loss != "cross_entropy":
        return None
    if not isinstance(recommender, SequenceRecommender):
        if config.softmax == "linear":
            raise ValueError(
                "softmax='linear' needs a recommender with encode and item_table, "
                f"got {type(recommender).__name__} with score"
            )
        return "logits"
    with torch.no_grad():
        return _route_for(recommender.item_table(), config.softmax, num_targets)


def _route_for(table: Tensor, softmax: _Softmax, num_targets: float) -> _Route:
    if softmax != "auto":
        return softmax
    is_wide = table.shape[1] >= _WIDE
    least = (_LINEAR_FROM_LOGITS_WIDE if is_wide else _LINEAR_FROM_LOGITS).get(table.device.type)
    many = least is not None and num_targets * (table.shape[0] - 1) >= least
    return "linear" if many and has_kernels(table) else "logits"


def recommender_loss(
    recommender: Recommender,
    batch: Batch,
    sample_weight: Tensor,
    config: JointTrainerConfig,
    *,
    input_weight: Tensor | None = None,
    dropout_key: DropoutKey | None = None,
    epochs_done: float = 0.0,
) -> Tensor:
    """``sum_i w_i * loss_i / sum_i w_i`` over the targets of a batch (arXiv:2409.17402).

    A sequence recommender predicts every item that has a predecessor. A pointwise recommender, or
    one with ``last_position_only``, predicts the last item.

    Args:
        recommender: see :mod:`atjt_ext.models.protocols`.
        batch: training windows.
        sample_weight: ``[B]``, one weight per sequence, or ``[B, W]``, one per position of
            ``batch.sequences``; a target takes the weight of its own position.
        config: the options of the loss: ``loss``, ``softmax``, ``num_negatives``,
            ``adaptive_denoising`` and its numbers.
        input_weight: ``[B, W - 1]``, weights of ``batch.inputs``; None reads all inputs in full.
        dropout_key: decides the dropout masks of a recommender that takes it.
        epochs_done: epochs trained before this step, a fraction within an epoch; see
            :func:`atjt_ext.training.step_weights.adaptive_denoising`.

    Returns:
        Scalar; 0 where all weights are 0.
    """
    adapt = adaptive_denoising(config, epochs_done)
    if not isinstance(recommender, SequenceRecommender):
        route = softmax_route(recommender, config, len(batch))
        targets = batch.targets[:, -1]
        weights = sample_weight if sample_weight.dim() == 1 else sample_weight[:, -1]
        if route is not None:
            everything = torch.arange(1, recommender.num_items + 1, device=targets.device)
            logits = recommender.score(batch, everything.expand(len(batch), -1))
            softmax = partial(reweighted_cross_entropy, logits, targets - 1)
            return _weighted(softmax, weights, adapt)
        candidates = _with_negatives(targets, recommender.num_items, config.num_negatives)
        return _binary_loss(recommender.score(batch, candidates), weights, adapt)

    # Only valid positions reach the loss: most of the grid is padding.
    valid = batch.is_target
    if predicts_last_position_only(recommender):
        valid = valid.clone()
        valid[:, :-1] = False
    rows, columns = valid.nonzero().unbind(1)
    places = rows * valid.shape[1] + columns
    states = encode(recommender, batch.inputs, input_weight, dropout_key)
    hidden = take(states.flatten(0, 1), places)
    targets = batch.targets[rows, columns]
    per_row = sample_weight.dim() == 1
    weights = sample_weight[rows] if per_row else sample_weight[:, 1:][rows, columns]
    table = recommender.item_table()
    takes_softmax = config.loss == "cross_entropy"
    if takes_softmax and _route_for(table, config.softmax, len(targets)) == "linear":
        # Class v is item v + 1: padding is no class.
        states, items = in_autocast_dtype(hidden, table[1:])
        linear = partial(linear_reweighted_cross_entropy, states, items, targets - 1)
        return _weighted(linear, weights, adapt)
    if takes_softmax:
        softmax = partial(reweighted_cross_entropy, hidden @ table[1:].T, targets - 1)
        return _weighted(softmax, weights, adapt)
    candidates = _with_negatives(targets, recommender.num_items, config.num_negatives)
    states, items = in_autocast_dtype(hidden, table)
    sampled = partial(sampled_binary_cross_entropy, states, items, targets, candidates[:, 1:])
    return _weighted(sampled, weights, adapt)


def auxiliary_loss(
    recommender: Recommender, batch: Batch, dropout_key: DropoutKey | None = None
) -> Tensor:
    """The recommender's own additional loss; 0 if it has none."""
    if isinstance(recommender, AuxiliaryLoss):
        loss: Callable[..., Tensor] = recommender.auxiliary_loss
        keyed = dropout_key is not None and takes(loss, "dropout_key")
        return loss(batch, dropout_key=dropout_key) if keyed else loss(batch)
    return batch.sequences.new_zeros((), dtype=torch.float)


def _weighted(loss: Callable[..., Tensor], weights: Tensor, adapt: _Adapt) -> Tensor:
    """The weighted mean of an op's loss; ``loss`` takes ``sample_weight`` and ``reduction``."""
    if adapt is None:
        return loss(sample_weight=weights, reduction="weighted_mean")
    losses = loss(reduction="none")
    return weighted_mean(losses, weights * adapt(losses))


def _with_negatives(targets: Tensor, num_items: int, num_negatives: int) -> Tensor:
    """``[N, 1 + num_negatives]``: the target, then uniform other items."""
    if num_items < 2:
        raise ValueError("binary_cross_entropy needs at least two items to draw a negative from")
    drawn = torch.randint(1, num_items, (len(targets), num_negatives), device=targets.device)
    return torch.cat([targets[:, None], drawn + (drawn >= targets[:, None])], dim=1)


def _binary_loss(logits: Tensor, weights: Tensor, adapt: _Adapt) -> Tensor:
    """Column 0 is the positive, the others are negatives; one weight per row, as in the paper."""
    logits = widened(logits)
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1.0
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
    return weighted_mean(losses, weights if adapt is None else weights * adapt(losses))


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """``sum(w * l) / sum(w)``, both of one shape; 0 if all weights are 0."""
    weights = summable(weights)
    total = weights.sum()
    nothing_counts = total == 0
    # A loss of weight 0 may be infinite.
    losses = torch.where((weights == 0) & ~losses.isfinite(), 0.0, losses)
    # The outer where makes the weights' gradient 0 too, the inner one keeps 0 / 0 out of it.
    mean = (weights * losses).sum() / torch.where(nothing_counts, 1.0, total)
    return torch.where(nothing_counts, 0.0, mean)


def compiled(recommender: Recommender) -> Recommender:
    """The same recommender with ``encode`` or ``score`` compiled: same parameters, another object.

    The given recommender stays as it is, for evaluation, checkpoints and its owner. Shapes are
    dynamic: the width of a batch and its number of valid positions vary from step to step.

    Where a size depends on the data (``sequences[sequences != 0]``) the graph breaks, and torch
    warns. Torch's ``capture_dynamic_output_shape_ops`` avoids the break for SASRec, but with torch
    2.13 neither DIN nor GRU4Rec then runs.
    """
    view = SimpleNamespace(num_items=recommender.num_items)
    if isinstance(recommender, SequenceRecommender):
        view.encode = torch.compile(recommender.encode, dynamic=True)
        view.item_table = recommender.item_table
        view.last_position_only = predicts_last_position_only(recommender)
    else:
        view.score = torch.compile(recommender.score, dynamic=True)
    return cast(Recommender, view)
