"""Given weights: from the truth, from recognition, and from controls.

Each control permutes the weights of ``co_occurrence``: mean, spread and effect on the learning rate
are the same, only their assignment to interactions differs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..data import Batch, LeaveOneOut, Sequences, TrainingRows, leave_one_out
from ..data.batches import per_interaction
from ..data.weighed_histories import kept
from ..models.inference import inference
from ..models.protocols import weighs_last_target_only
from ..models.scoring import score_catalogue
from ..runs.build import base_model
from ..runs.config import RunConfig
from ..training.trainer import JointTrainer

__all__ = [
    "dealt_by",
    "given_weights",
    "of_whole",
    "pilot_losses",
    "with_weights",
    "without_noise",
]


def dealt_by(weights: Tensor, order: Tensor, *, seed: int) -> Tensor:
    """A permutation of ``weights [N]``: the smallest weight goes to the smallest ``order [N]``.

    Ties in ``order`` are broken at random.
    """
    random = torch.from_numpy(np.random.default_rng([seed, 2]).permutation(len(order)))
    ranked = random[order[random].sort(stable=True).indices]
    result = torch.empty_like(weights)
    result[ranked] = weights.sort().values
    return result


def given_weights(
    source: str, train: Sequences, recognised: Tensor | None, losses: Tensor | None, *, seed: int
) -> Tensor:
    """Weights ``[N]`` of the training interactions.

    Args:
        source: one of ``recipes.SOURCES`` except ``column``.
        train: training sequences.
        recognised: ``[N]``, weights of ``co_occurrence``; ``oracle`` needs none.
        losses: ``[N]``, for the source ``loss``.
        seed: decides the order of ties.

    Raises:
        ValueError: there is no such source, or its input is missing.
    """
    if source == "oracle":
        if train.is_noise is None:
            raise ValueError("oracle weights need sequences with is_noise")
        return (~train.is_noise).float()
    if recognised is None:
        raise ValueError(f"weights of {source!r} need the co_occurrence weights")
    if source == "co_occurrence":
        return recognised
    if source == "shuffled":
        order = torch.zeros(len(recognised))
    elif source == "popularity":
        order = torch.bincount(train.items, minlength=train.num_items + 1)[train.items]
    elif source != "loss":
        raise ValueError(f"no such source of weights: {source!r}")
    elif losses is None:
        raise ValueError("weights of 'loss' need the losses of a pilot run")
    else:
        order = -losses
    return dealt_by(recognised, order, seed=seed)


def of_whole(sequences: Sequences, weights: Tensor) -> Tensor:
    """``weights`` of the training interactions, followed by 1 for each user's two held-out ones."""
    result = torch.ones(sequences.num_interactions, dtype=weights.dtype)
    result[sequences.from_the_end > 2] = weights
    return result


def with_weights(sequences: Sequences, weights: Tensor, *, at_test: bool) -> LeaveOneOut:
    """The leave-one-out split with ``weights [N]`` on its training interactions.

    With ``at_test``, the weights also act on the histories before held-out items.
    """
    split = leave_one_out(replace(sequences, weights=weights))
    if at_test:
        return split
    plain = leave_one_out(sequences)
    return LeaveOneOut(split.train, plain.valid, plain.test)


def without_noise(
    sequences: Sequences, weights: Tensor, *, below: float, at_test: bool
) -> LeaveOneOut:
    """The leave-one-out split without the interactions whose ``weights [N]`` are below ``below``.

    Every user keeps the training interaction with the largest weight. The whole history still
    counts as seen. With ``at_test``, histories before held-out items lack the interactions, too.
    """
    split = leave_one_out(sequences)
    training, keep = sequences.from_the_end > 2, weights >= below
    keep[training] = kept(split.train, weights[training], below=below)
    train = split.train.where(keep[training])
    if not at_test:
        return LeaveOneOut(train, split.valid, split.test)
    read = sequences.without_last(1).where(keep[sequences.from_the_end > 1])
    return LeaveOneOut(train, replace(split.valid, read=train), replace(split.test, read=read))


def pilot_losses(
    config: RunConfig, split: LeaveOneOut, *, epochs: int, device: torch.device | str | None = None
) -> Tensor:
    """Softmax losses ``[N]`` of the training interactions after ``epochs`` with equal weights.

    The losses are in sample, as in loss-based denoising. An interaction that is no target gets the
    mean of its window: a user's first one, and all but a window's last one if the model predicts
    only the last item.
    """
    pilot = config.under(weighting="equal", epochs=epochs, patience=None)
    trainer = base_model(pilot, split.train, device=device)
    trainer.fit(split.train, progress=False)
    rows = TrainingRows(split.train.to(trainer.device), max_length=config.trainer.max_length)
    with inference(trainer.recommender):
        losses = per_interaction(rows, lambda batch: _losses(trainer, batch))
    return torch.where(losses.isnan(), losses.nanmean(), losses)


def _losses(trainer: JointTrainer, batch: Batch) -> Tensor:
    """``[B, W]`` losses of the items of a window as targets; other items get the mean of these."""
    recommender = trainer.recommender
    if weighs_last_target_only(recommender):
        logits = score_catalogue(recommender, batch)
        last = F.cross_entropy(logits, batch.targets[:, -1] - 1, reduction="none")
        return last[:, None].expand(batch.sequences.shape)
    valid = batch.is_target
    hidden, table = recommender.encode(batch.inputs)[valid], recommender.item_table()[1:]
    losses = torch.full(batch.sequences.shape, torch.nan, device=hidden.device)
    losses[:, 1:][valid] = torch.cat(
        [
            F.cross_entropy(part @ table.T, wanted, reduction="none")
            for part, wanted in zip(
                hidden.split(4096), (batch.targets[valid] - 1).split(4096), strict=True
            )
        ]
    )
    return torch.where(losses.isnan(), losses.nanmean(dim=1, keepdim=True), losses)
