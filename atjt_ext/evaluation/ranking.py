"""RECOMMEND, measured: full ranking and top-k lists."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import Batch, EvaluationBatch, EvaluationSet
from ..models.inference import inference
from ..models.protocols import Recommender, SequenceRecommender
from ..models.scoring import encode, require_input_weight, require_recommender, score_catalogue
from ..ops.target_ranks import has_kernels, target_ranks
from ..ops.top_k import largest
from ..ops.top_k import top_k as top_k_of_catalogue
from .metrics import ranking_metrics

__all__ = ["as_batch", "evaluate", "full_ranks", "require_same_catalogue", "top_k"]

# Of sequence recommenders scores are never held; of others 2**24 at once, 64 MiB of floats.
_MAX_USERS = 2**10
_MAX_SCORES = 2**24


def require_same_catalogue(recommender: Recommender, data: EvaluationSet) -> None:
    """Raises ValueError where there is nobody to measure, or another catalogue than the model's."""
    require_recommender(recommender)
    if not len(data):
        raise ValueError("data must hold at least one user, got none")
    if recommender.num_items != data.histories.num_items:
        raise ValueError(
            f"the recommender knows {recommender.num_items} items, "
            f"the evaluation set has {data.histories.num_items}"
        )


def _users_with_scores(num_items: int) -> int:
    return max(1, min(_MAX_USERS, _MAX_SCORES // num_items))


def _states_and_items(
    recommender: SequenceRecommender, batch: EvaluationBatch, items: Tensor, weigh_inputs: bool
) -> tuple[Tensor, Tensor]:
    """``[B, D]`` states after each history, and ``items`` in the same dtype."""
    weights = batch.weights if weigh_inputs else None
    hidden = encode(recommender, batch.inputs, weights)[:, -1]
    # Under autocast they may differ.
    dtype = torch.promote_types(hidden.dtype, items.dtype)
    return hidden.to(dtype), items.to(dtype)


def _seen_columns(batch: EvaluationBatch, exclude_seen: bool) -> dict[str, Tensor]:
    if not exclude_seen:
        return {}
    return {"exclude_rows": batch.seen_rows, "exclude_items": batch.seen_items - 1}


def as_batch(batch: EvaluationBatch, weigh_inputs: bool = False) -> Batch:
    """Histories and targets in the form of training batches, as pointwise recommenders read them.

    ``weigh_inputs`` takes the histories' weights along; the target's is one.
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

    Ties, and scores that are NaN, count against the target. Seen items (the whole history, not only
    the part that the model reads) are no competitors when ``exclude_seen``. With ``weigh_inputs``
    the model reads the histories under their ``weights``, where they have any.

    Of a sequence recommender no scores are held (:func:`atjt_ext.ops.target_ranks`), unless there
    is no kernel for its device, dtype or width. Otherwise all scores of some users are.

    Raises:
        ValueError: no users, or recommender and data disagree about the catalogue. TypeError:
        ``weigh_inputs`` and the recommender takes no input weights.
    """
    require_same_catalogue(recommender, data)
    if weigh_inputs:
        require_input_weight(recommender)
    with inference(recommender):
        if isinstance(recommender, SequenceRecommender):
            items = recommender.item_table()[1:]
            if has_kernels(items):
                ranks = [
                    target_ranks(
                        *_states_and_items(recommender, batch, items, weigh_inputs),
                        batch.targets - 1,
                        **_seen_columns(batch, exclude_seen),
                    ).cpu()
                    for batch in data.batches(_MAX_USERS, max_length)
                ]
                return torch.cat(ranks)
        ranks = [
            _ranks_from_scores(recommender, batch, exclude_seen, weigh_inputs).cpu()
            for batch in data.batches(_users_with_scores(recommender.num_items), max_length)
        ]
    return torch.cat(ranks)


def _ranks_from_scores(
    recommender: Recommender, batch: EvaluationBatch, exclude_seen: bool, weigh_inputs: bool
) -> Tensor:
    scores = score_catalogue(recommender, as_batch(batch, weigh_inputs))
    target_columns = batch.targets[:, None] - 1
    target_scores = scores.gather(1, target_columns)
    if exclude_seen:
        scores[batch.seen_rows, batch.seen_items - 1] = -torch.inf
        # A user may come back to a seen item; then it competes as target.
        scores.scatter_(1, target_columns, target_scores)
    # Not "better than": ties and NaN must not flatter. The target counts itself once.
    return (~(scores < target_scores)).sum(dim=1)


def evaluate(
    recommender: Recommender,
    data: EvaluationSet,
    *,
    max_length: int = 50,
    ks: tuple[int, ...] = (5, 10, 20),
    exclude_seen: bool = True,
    weigh_inputs: bool = False,
) -> dict[str, float]:
    """Full-ranking HR, NDCG and MRR at ``ks``: every user's target against the whole catalogue."""
    ranks = full_ranks(
        recommender,
        data,
        max_length=max_length,
        exclude_seen=exclude_seen,
        weigh_inputs=weigh_inputs,
    )
    return ranking_metrics(ranks, ks)


def top_k(
    recommender: Recommender,
    data: EvaluationSet,
    *,
    k: int = 10,
    max_length: int = 50,
    exclude_seen: bool = True,
    weigh_inputs: bool = False,
) -> tuple[Tensor, Tensor]:
    """The k best items after each history: item codes ``[U, k]`` int64 and scores ``[U, k]``, best
    first.

    ``data.targets`` are not looked at. Items that tie stand in the order of their codes. Where
    fewer than k items are unseen, seen ones fill the list with a score of ``-inf``. Of a sequence
    recommender never all scores are held (:func:`atjt_ext.ops.top_k`).

    Raises:
        ValueError: ``k`` is not in ``1..num_items``.
    """
    require_same_catalogue(recommender, data)
    if not 1 <= k <= recommender.num_items:
        raise ValueError(f"k must be in 1..{recommender.num_items} (the items), got {k}")
    if weigh_inputs:
        require_input_weight(recommender)
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
    return torch.cat(columns).cpu() + 1, torch.cat(scores).cpu()


def _top_k_from_scores(
    recommender: Recommender,
    batch: EvaluationBatch,
    k: int,
    exclude_seen: bool,
    weigh_inputs: bool,
) -> tuple[Tensor, Tensor]:
    scores = score_catalogue(recommender, as_batch(batch, weigh_inputs))
    if exclude_seen:
        scores[batch.seen_rows, batch.seen_items - 1] = -torch.inf
    return largest(scores, k)
