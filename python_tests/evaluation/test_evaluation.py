"""Full ranking, the best items, and their scores."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from atjt_ext import SASRec
from atjt_ext.data import Batch, EvaluationSet
from atjt_ext.evaluation import ranking as evaluation
from atjt_ext.evaluation.ranking import evaluate, full_ranks, top_items
from atjt_ext.evaluation.sampled import sampled_evaluate
from atjt_ext.models import scoring
from helpers.tiny import (
    LastItemModel,
    ScoreTable,
    random_evaluation_set,
    tiny_batch,
    tiny_evaluation_set,
)


def _model(num_items: int = 30) -> SASRec:
    torch.manual_seed(0)
    model = SASRec(num_items, max_length=8, embedding_dim=8, dropout=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def _brute_force_scores(model: SASRec, data: EvaluationSet, user: int, max_length: int) -> list:
    """Scores of items 1, 2, ..., from one unpadded history."""
    history = data.histories.items_of(user)[-max_length:]
    state = model.eval().encode(history[None])[0, -1]
    return (model.item_table()[1:] @ state).tolist()


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("max_length", [3, 8])
def test_full_ranks_are_those_of_brute_force(exclude_seen: bool, max_length: int) -> None:
    data, model = random_evaluation_set(), _model()
    wanted = []
    for user, target in enumerate(data.targets.tolist()):
        scores = _brute_force_scores(model, data, user, max_length)
        seen = set(data.histories.items_of(user).tolist()) if exclude_seen else set()
        competitors = [s for v, s in enumerate(scores, 1) if v != target and v not in seen]
        wanted.append(1 + sum(score >= scores[target - 1] for score in competitors))
    ranks = full_ranks(model, data, max_length=max_length, exclude_seen=exclude_seen)
    assert ranks.tolist() == wanted
    assert ranks.dtype == torch.int64


def test_five_users_with_ties_by_hand() -> None:
    data = tiny_evaluation_set([[1], [1], [1], [1], [2]], [2, 2, 2, 3, 2], num_items=4)
    scores = [
        [9.0, 3.0, 2.0, 1.0],  # the best unseen item
        [9.0, 3.0, 3.0, 1.0],  # ties with one
        [3.0, 3.0, 3.0, 3.0],  # ties with all: last of the three unseen
        [0.0, 3.0, 2.0, 1.0],  # second
        [9.0, 8.0, 7.0, 6.0],  # itself seen: competes with the unseen
    ]
    model = ScoreTable(torch.tensor(scores))
    assert full_ranks(model, data).tolist() == [1, 2, 3, 2, 2]
    assert full_ranks(model, data, exclude_seen=False).tolist() == [2, 3, 4, 2, 2]
    metrics = evaluate(model, data, ks=(1, 2))
    assert metrics["HR@1"] == pytest.approx(1 / 5)
    assert metrics["HR@2"] == pytest.approx(4 / 5)
    assert metrics["MRR@2"] == pytest.approx((1 + 3 / 2) / 5)
    assert evaluate(model, data, ks=(1,), exclude_seen=False)["HR@1"] == 0.0


def test_the_whole_history_is_excluded_not_only_what_the_model_reads() -> None:
    data = tiny_evaluation_set([[1, 2, 3, 3]], [4], num_items=4)
    model = ScoreTable(torch.tensor([[9.0, 8.0, 7.0, 1.0]]))
    assert full_ranks(model, data, max_length=1).tolist() == [1]
    assert top_items(model, data, k=1, max_length=1)[0].tolist() == [[4]]


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_nan_scores_get_the_worst_rank(exclude_seen: bool) -> None:
    data = tiny_evaluation_set([[1], [1]], [2, 2], num_items=5)
    scores = torch.zeros(2, 5)
    scores[0, 1] = torch.nan  # the target's own
    scores[1] = torch.nan  # everything
    assert full_ranks(ScoreTable(scores), data, exclude_seen=exclude_seen).tolist() == [5, 5]


def test_a_competitor_with_nan_counts_against_the_target() -> None:
    data = tiny_evaluation_set([[1]], [2], num_items=4)
    model = ScoreTable(torch.tensor([[0.0, 5.0, torch.nan, 1.0]]))
    assert full_ranks(model, data).tolist() == [2]


def test_users_need_not_be_all_users_or_in_order() -> None:
    data, model = random_evaluation_set(), _model()
    whole = full_ranks(model, data, max_length=8)
    rows = torch.tensor([20, 3, 11])
    assert torch.equal(full_ranks(model, data.select(rows), max_length=8), whole[rows])


def test_batching_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = random_evaluation_set(), _model()
    ranks, (items, _) = full_ranks(model, data, max_length=8), top_items(model, data, max_length=8)
    monkeypatch.setattr(evaluation, "_MAX_USERS", 3)
    sizes = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda s: sizes.append(len(s)) or encode(s))
    assert torch.equal(full_ranks(model, data, max_length=8), ranks)
    assert sizes == [3] * 8 + [1]
    assert torch.equal(top_items(model, data, max_length=8)[0], items)


def test_users_with_histories_of_like_length_are_read_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "_MAX_USERS", 5)
    model, shapes = LastItemModel(30), []
    encode = model.encode

    def recorded(sequences: Tensor) -> Tensor:
        shapes.append([*(sequences != 0).sum(dim=1).tolist(), sequences.shape[1]])
        return encode(sequences)

    monkeypatch.setattr(model, "encode", recorded)
    data = random_evaluation_set()
    for found in (full_ranks, top_items):
        shapes.clear()
        found(model, data, max_length=8)  # type: ignore[operator]
        lengths = [length for *rows, _ in shapes for length in rows]
        assert lengths == sorted(data.histories.lengths.clamp(max=8).tolist())
        assert all(rows[-1] == width for *rows, width in shapes)


def test_of_a_pointwise_model_so_many_users_that_their_scores_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = random_evaluation_set()
    model = ScoreTable(torch.randn(25, 30, generator=torch.Generator().manual_seed(0)))
    ranks, (items, best) = full_ranks(model, data), top_items(model, data)
    for scores_at_once, users in ((3 * 30 + 1, [3] * 8 + [1]), (1, [1] * 25)):
        monkeypatch.setattr(evaluation, "_MAX_SCORES", scores_at_once)
        model.asked.clear()
        assert torch.equal(full_ranks(model, data), ranks)
        assert [len(candidates) for candidates in model.asked] == users
        assert torch.equal(top_items(model, data)[0], items)
        assert torch.equal(top_items(model, data)[1], best)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_where_there_is_no_kernel_ranks_are_the_same(
    exclude_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = random_evaluation_set(), _model()
    with_kernels = full_ranks(model, data, max_length=8, exclude_seen=exclude_seen)
    monkeypatch.setattr(evaluation, "has_kernels", lambda items: False)
    monkeypatch.setattr(evaluation, "target_ranks", None)
    monkeypatch.setattr(evaluation, "_MAX_SCORES", 3 * 30)
    without = full_ranks(model, data, max_length=8, exclude_seen=exclude_seen)
    assert torch.equal(with_kernels, without)


def test_scores_of_a_sequence_model_are_never_all_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "score_catalogue", None)
    data, model = random_evaluation_set(), _model()
    full_ranks(model, data, max_length=8)
    top_items(model, data, max_length=8)


@pytest.mark.parametrize("k", [5, 30])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_the_best_items_are_those_of_brute_force(exclude_seen: bool, k: int) -> None:
    data, model = random_evaluation_set(), _model()
    items, scores = top_items(model, data, k=k, max_length=8, exclude_seen=exclude_seen)
    for user in range(len(data)):
        seen = set(data.histories.items_of(user).tolist()) if exclude_seen else set()
        wanted = torch.tensor(_brute_force_scores(model, data, user, 8))
        wanted[[v - 1 for v in seen]] = -torch.inf
        order = wanted.argsort(descending=True, stable=True)[:k]
        assert items[user].tolist() == (order + 1).tolist()
        torch.testing.assert_close(scores[user], wanted[order])


def test_the_best_items_that_tie_stand_in_their_order() -> None:
    scores = torch.tensor([[2.0, 1.0, 3.0, 2.0, 2.0, 3.0, 0.0, 2.0]])
    data = tiny_evaluation_set([[1]], [2], num_items=8)
    assert top_items(ScoreTable(scores), data, k=4)[0].tolist() == [[3, 6, 4, 5]]
    model = LastItemModel(8, embedding_dim=2)
    with torch.no_grad():
        model.states.copy_(torch.tensor([1.0, 0.0]))
        model.table[1:, 0] = scores[0]
    assert top_items(model, data, k=4)[0].tolist() == [[3, 6, 4, 5]]
    assert full_ranks(model, data).tolist() == [6]


def test_states_and_items_may_differ_in_precision() -> None:
    class Half(LastItemModel):
        def encode(self, sequences: Tensor) -> Tensor:
            return super().encode(sequences).bfloat16()

    data = tiny_evaluation_set([[1], [2, 3]], [2, 4])
    rounded = LastItemModel()
    with torch.no_grad():
        rounded.states.copy_(rounded.states.bfloat16())
    assert torch.equal(full_ranks(Half(), data), full_ranks(rounded, data))
    assert torch.equal(top_items(Half(), data, k=3)[1], top_items(rounded, data, k=3)[1])


def test_pointwise_models_are_asked_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(25, 30, generator=torch.Generator().manual_seed(0))
    data = random_evaluation_set()
    whole = full_ranks(ScoreTable(scores), data)
    monkeypatch.setattr(scoring, "_CANDIDATE_TILE", 7)
    model = ScoreTable(scores.clone())
    assert torch.equal(full_ranks(model, data), whole)
    assert [candidates.shape[1] for candidates in model.asked] == [7, 7, 7, 7, 2]
    assert torch.equal(model.scores, scores)  # seen items are masked in a copy


def test_candidates_get_the_scores_they_have_in_the_catalogue() -> None:
    batch = tiny_batch([1, 2, 3], [4, 5], [6, 6, 7, 8])
    candidates = torch.tensor([[9, 1], [2, 2], [5, 7]])
    model = LastItemModel()
    # One state per history, from before the target: items 2, 4 and 7.
    wanted = model.states[[2, 4, 7]] @ model.table[1:].T
    torch.testing.assert_close(scoring.score_catalogue(model, batch), wanted)
    torch.testing.assert_close(
        scoring.score_candidates(model, batch, candidates), wanted.gather(1, candidates - 1)
    )
    table = ScoreTable(torch.randn(3, 9, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(scoring.score_catalogue(table, batch), table.scores)
    assert torch.equal(
        scoring.score_candidates(table, batch, candidates), table.scores.gather(1, candidates - 1)
    )


def test_the_target_is_not_shown_to_the_model() -> None:
    class Peeking(ScoreTable):
        def score(self, batch: Batch, candidates: Tensor) -> Tensor:
            self.inputs = batch.inputs
            return super().score(batch, candidates)

    model = Peeking(torch.zeros(2, 9))
    full_ranks(model, tiny_evaluation_set([[1, 2, 3], [4]], [8, 9]))
    assert model.inputs.tolist() == [[0, 0, 4], [1, 2, 3]]


@pytest.mark.parametrize("training", [True, False])
def test_models_are_evaluated_in_evaluation_mode_and_put_back(training: bool) -> None:
    model, data = LastItemModel().train(training), tiny_evaluation_set([[1]], [2])
    full_ranks(model, data)
    top_items(model, data, k=1)
    sampled_evaluate(model, data, torch.ones(9))
    assert model.modes == [False] * 3
    assert model.training is training


def test_the_training_mode_comes_back_after_an_error() -> None:
    class Failing(LastItemModel):
        def encode(self, sequences: Tensor) -> Tensor:
            raise ZeroDivisionError

    model = Failing().train()
    with pytest.raises(ZeroDivisionError):
        full_ranks(model, tiny_evaluation_set([[1]], [2]))
    assert model.training


def test_no_gradients_are_kept() -> None:
    _, scores = top_items(LastItemModel(), tiny_evaluation_set([[1]], [2]), k=1)
    assert not scores.requires_grad


def test_a_recommender_need_not_be_a_module() -> None:
    class Plain:
        num_items = 9

        def score(self, batch: Batch, candidates: Tensor) -> Tensor:
            return -candidates.float()

    assert full_ranks(Plain(), tiny_evaluation_set([[1]], [3])).tolist() == [2]


def test_another_catalogue_is_refused() -> None:
    data = tiny_evaluation_set([[1]], [2], num_items=8)
    message = "the recommender has 9 items, the evaluation set has 8"
    for measure in (full_ranks, top_items, partial(sampled_evaluate, popularity=torch.ones(9))):
        with pytest.raises(ValueError, match=message):
            measure(LastItemModel(), data)


def test_what_is_no_recommender_is_refused_by_name() -> None:
    model = nn.Linear(2, 2)
    model.num_items = 9  # type: ignore[assignment]
    with pytest.raises(TypeError, match="Linear has neither"):
        full_ranks(model, tiny_evaluation_set([[1]], [2]))  # type: ignore[arg-type]


def test_targets_have_no_effect_on_the_best_items() -> None:
    model = ScoreTable(torch.arange(9.0).repeat(2, 1))
    first = top_items(model, tiny_evaluation_set([[1, 9], [2]], [3, 3]), k=2)
    second = top_items(model, tiny_evaluation_set([[1, 9], [2]], [9, 1]), k=2)
    assert first[0].tolist() == [[8, 7], [9, 8]]
    assert first[1].tolist() == [[7.0, 6.0], [8.0, 7.0]]
    assert torch.equal(first[0], second[0])


@pytest.mark.parametrize("k", [0, 10])
def test_k_outside_the_catalogue_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=rf"k must be in 1\.\.9 \(number of items\), got {k}"):
        top_items(LastItemModel(), tiny_evaluation_set([[1]], [2]), k=k)
