"""Full ranking: the rank of every user's target in the whole catalogue, and the best items."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..data import Batch, EvaluationBatch, EvaluationSet
from ..models.inference import inference
from ..models.protocols import Recommender, SequenceRecommender
from ..models.scoring import encode_last, require_input_weight, require_recommender, score_catalogue
from ..ops.target_ranks import has_kernels, target_ranks
from ..ops.top_k import largest
from ..ops.top_k import top_k as top_k_of_catalogue
from .metrics import RANKING_KS, ranking_metrics

# Users at once. Only models that score all items at once are limited by scores: 64 MiB of floats.
_MAX_USERS = 2**10
_MAX_SCORES = 2**24


def require_usable(recommender: Recommender, data: EvaluationSet, weigh_inputs: bool) -> None:
    """Raises ValueError if ``data`` has no users, or another catalogue than ``recommender``;
    TypeError for ``weigh_inputs`` if the recommender takes no input weights."""
    require_recommender(recommender)
    if not len(data):
        raise ValueError("data must hold at least one user, got none")
    if recommender.num_items != data.histories.num_items:
        raise ValueError(
            f"the recommender has {recommender.num_items} items, "
            f"the evaluation set has {data.histories.num_items}"
        )
    if weigh_inputs:
        require_input_weight(recommender)


def _users_with_scores(num_items: int) -> int:
    return max(1, min(_MAX_USERS, _MAX_SCORES // num_items))


def _by_length(data: EvaluationSet, max_length: int) -> tuple[EvaluationSet, Tensor]:
    """``data`` with short histories first, which spares the model padding, and its order."""
    order = data.order_of_length(max_length)
    return data.select(order), order.cpu()


def _restored(parts: Iterable[Tensor], order: Tensor) -> Tensor:
    """The rows of ``parts``, which are in ``order``, as they were before; on the CPU."""
    rows = torch.cat(list(parts)).cpu()
    restored = torch.empty_like(rows)
    restored[order] = rows
    return restored


def _states_and_items(
    recommender: SequenceRecommender, batch: EvaluationBatch, items: Tensor, weigh_inputs: bool
) -> tuple[Tensor, Tensor]:
    """Hidden states ``[B, D]`` after each history, and ``items`` in the same dtype."""
    weights = batch.weights if weigh_inputs else None
    hidden = encode_last(recommender, batch.inputs, weights)
    # The dtypes may differ under autocast.
    dtype = torch.promote_types(hidden.dtype, items.dtype)
    return hidden.to(dtype), items.to(dtype)


def _seen_columns(batch: EvaluationBatch, exclude_seen: bool) -> dict[str, Tensor]:
    if not exclude_seen:
        return {}
    return {"exclude_rows": batch.seen_rows, "exclude_items": batch.seen_items - 1}


def as_batch(batch: EvaluationBatch, weigh_inputs: bool = False) -> Batch:
    """Histories and targets in the form of a training batch, which pointwise recommenders read.

    With ``weigh_inputs`` the batch has the histories' weights; the target's weight is 1.
    """
    weights = None
    if weigh_inputs and batch.weights is not None:
        weights = torch.cat([batch.weights, torch.ones_like(batch.weights[:, :1])], dim=1)
    return Batch(
        rows=torch.full_like(batch.users, -1),
        users=batch.users,
        sequences=torch.cat([batch.inputs, batch.targets[:, None]], dim=1),
        weights=weights,
    )


def full_ranks(
    recommender: Recommender,
    data: EvaluationSet,
    *,
    max_length: int = 50,
    exclude_seen: bool = True,
    weigh_inputs: bool = False,
) -> Tensor:
    """The rank of every user's target among all items: ``[U]`` int64 on the CPU, 1 is best.

    Ties and NaN scores count against the target. A sequence recommender's scores are never stored
    (:func:`atjt_ext.ops.target_ranks`), unless there is no kernel for its device, dtype or width.

    Args:
        max_length: the model reads at most this many items of a history.
        exclude_seen: items of the whole history, read or not, do not compete with the target.
        weigh_inputs: the histories' ``weights``, if any, weight the model's inputs.

    Raises:
        ValueError: no users, or different catalogues of recommender and data.
        TypeError: ``weigh_inputs`` with a recommender that takes no input weights.
    """
    require_usable(recommender, data, weigh_inputs)
    data, order = _by_length(data, max_length)
    with inference(recommender):
        if isinstance(recommender, SequenceRecommender):
            items = recommender.item_table()[1:]
            if has_kernels(items):
                ranks = [
                    target_ranks(
                        *_states_and_items(recommender, batch, items, weigh_inputs),
                        batch.targets - 1,
                        **_seen_columns(batch, exclude_seen),
                    )
                    for batch in data.batches(_MAX_USERS, max_length)
                ]
                return _restored(ranks, order)
        ranks = [
            _ranks_from_scores(recommender, batch, exclude_seen, weigh_inputs)
            for batch in data.batches(_users_with_scores(recommender.num_items), max_length)
        ]
    return _restored(ranks, order)


def _ranks_from_scores(
    recommender: Recommender, batch: EvaluationBatch, exclude_seen: bool, weigh_inputs: bool
) -> Tensor:
    scores = score_catalogue(recommender, as_batch(batch, weigh_inputs))
    target_columns = batch.targets[:, None] - 1
    target_scores = scores.gather(1, target_columns)
    if exclude_seen:
        scores[batch.seen_rows, batch.seen_items - 1] = -torch.inf
        # A target that the user has seen before still competes.
        scores.scatter_(1, target_columns, target_scores)
    # "Not less" counts ties and NaN against the target; the target itself makes the rank 1-based.
    return (~(scores < target_scores)).sum(dim=1)


def evaluate(
    recommender: Recommender,
    data: EvaluationSet,
    *,
    max_length: int = 50,
    ks: tuple[int, ...] = RANKING_KS,
    exclude_seen: bool = True,
    weigh_inputs: bool = False,
) -> dict[str, float]:
    """HR, NDCG and MRR at ``ks`` from full ranking; arguments and errors as :func:`full_ranks`."""
    options = {"exclude_seen": exclude_seen, "weigh_inputs": weigh_inputs}
    return ranking_metrics(full_ranks(recommender, data, max_length=max_length, **options), ks)


def top_items(
    recommender: Recommender,
    data: EvaluationSet,
    *,
    k: int = 10,
    max_length: int = 50,
    exclude_seen: bool = True,
    weigh_inputs: bool = False,
) -> tuple[Tensor, Tensor]:
    """The k best items after each history, best first, as :func:`atjt_ext.ops.top_k` ranks them.

    Items with equal scores are in the order of their codes. A user with fewer than k unseen items
    gets seen items at the end, with a score of ``-inf``. ``data.targets`` have no effect.

    Returns:
        Item codes ``[U, k]`` int64 and scores ``[U, k]``, on the CPU.

    Raises:
        ValueError, TypeError: as :func:`full_ranks`; ``k`` is not in ``1..num_items``.
    """
    require_usable(recommender, data, weigh_inputs)
    if not 1 <= k <= recommender.num_items:
        raise ValueError(f"k must be in 1..{recommender.num_items} (number of items), got {k}")
    data, order = _by_length(data, max_length)
    with inference(recommender):
        if isinstance(recommender, SequenceRecommender):
            items = recommender.item_table()[1:]
            best = [
                top_k_of_catalogue(
                    *_states_and_items(recommender, batch, items, weigh_inputs),
                    k,
                    **_seen_columns(batch, exclude_seen),
                )
                for batch in data.batches(_MAX_USERS, max_length)
            ]
        else:
            best = [
                _top_k_from_scores(recommender, batch, k, exclude_seen, weigh_inputs)
                for batch in data.batches(_users_with_scores(recommender.num_items), max_length)
            ]
    scores, columns = zip(*best, strict=True)
    return _restored(columns, order) + 1, _restored(scores, order)


def _top_k_from_scores(
    recommender: Recommender, batch: EvaluationBatch, k: int, exclude_seen: bool, weigh_inputs: bool
) -> tuple[Tensor, Tensor]:
    scores = score_catalogue(recommender, as_batch(batch, weigh_inputs))
    if exclude_seen:
        scores[batch.seen_rows, batch.seen_items - 1] = -torch.inf
    return largest(scores, k)
