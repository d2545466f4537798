"""Full ranking, the sampled protocol, top-k lists, and the scores under them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atjt_ext import SASRec, evaluation, scoring
from atjt_ext.data import Batch, EvaluationSet
from atjt_ext.evaluation import evaluate, full_ranks, sampled_evaluate, top_k
from tiny import LastItemModel, ScoreTable, tiny_batch, tiny_evaluation_set


def _random_set(*, num_items: int = 30, num_users: int = 25) -> EvaluationSet:
    """Long histories over few items: items repeat, and many targets are seen items."""
    random = np.random.default_rng(0)
    histories = [
        random.integers(1, num_items + 1, random.integers(1, 20)).tolist() for _ in range(num_users)
    ]
    targets = random.integers(1, num_items + 1, num_users).tolist()
    assert any(t in h for t, h in zip(targets, histories, strict=True))
    assert any(t not in h for t, h in zip(targets, histories, strict=True))
    return tiny_evaluation_set(histories, targets, num_items=num_items)


def _model(num_items: int = 30) -> SASRec:
    torch.manual_seed(0)
    model = SASRec(num_items, max_length=8, embedding_dim=8, dropout=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def _brute_force_scores(model: SASRec, data: EvaluationSet, user: int, max_length: int) -> list:
    """Of items 1, 2, ..., from one unpadded history."""
    history = data.histories.items_of(user)[-max_length:]
    state = model.eval().encode(history[None])[0, -1]
    return (model.item_table()[1:] @ state).tolist()


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("max_length", [3, 8])
def test_full_ranks_are_those_of_brute_force(exclude_seen: bool, max_length: int) -> None:
    data, model = _random_set(), _model()
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
    assert top_k(model, data, k=1, max_length=1)[0].tolist() == [[4]]


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
    data, model = _random_set(), _model()
    whole = full_ranks(model, data, max_length=8)
    rows = torch.tensor([20, 3, 11])
    assert torch.equal(full_ranks(model, data.select(rows), max_length=8), whole[rows])


def test_batching_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = _random_set(), _model()
    ranks, (items, _) = full_ranks(model, data, max_length=8), top_k(model, data, max_length=8)
    monkeypatch.setattr(evaluation, "_MAX_USERS", 3)
    sizes = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda s: sizes.append(len(s)) or encode(s))
    assert torch.equal(full_ranks(model, data, max_length=8), ranks)
    assert sizes == [3] * 8 + [1]
    assert torch.equal(top_k(model, data, max_length=8)[0], items)


def test_of_a_pointwise_model_so_many_users_that_their_scores_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = _random_set()
    model = ScoreTable(torch.randn(25, 30, generator=torch.Generator().manual_seed(0)))
    ranks, (items, best) = full_ranks(model, data), top_k(model, data)
    for scores_at_once, users in ((3 * 30 + 1, [3] * 8 + [1]), (1, [1] * 25)):
        monkeypatch.setattr(evaluation, "_MAX_SCORES", scores_at_once)
        model.asked.clear()
        assert torch.equal(full_ranks(model, data), ranks)
        assert [len(candidates) for candidates in model.asked] == users
        assert torch.equal(top_k(model, data)[0], items)
        assert torch.equal(top_k(model, data)[1], best)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_where_there_is_no_kernel_ranks_are_the_same(
    exclude_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = _random_set(), _model()
    with_kernels = full_ranks(model, data, max_length=8, exclude_seen=exclude_seen)
    monkeypatch.setattr(evaluation, "has_kernels", lambda items: False)
    monkeypatch.setattr(evaluation, "target_ranks", None)
    monkeypatch.setattr(evaluation, "_MAX_SCORES", 3 * 30)
    without = full_ranks(model, data, max_length=8, exclude_seen=exclude_seen)
    assert torch.equal(with_kernels, without)


def test_scores_of_a_sequence_model_are_never_all_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "score_catalogue", None)
    data, model = _random_set(), _model()
    full_ranks(model, data, max_length=8)
    top_k(model, data, max_length=8)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_the_best_items_are_those_of_brute_force(exclude_seen: bool) -> None:
    data, model = _random_set(), _model()
    items, scores = top_k(model, data, k=30, max_length=8, exclude_seen=exclude_seen)
    for user in range(len(data)):
        seen = set(data.histories.items_of(user).tolist()) if exclude_seen else set()
        wanted = torch.tensor(_brute_force_scores(model, data, user, 8))
        wanted[[v - 1 for v in seen]] = -torch.inf
        order = wanted.argsort(descending=True, stable=True)
        assert items[user].tolist() == (order + 1).tolist()
        torch.testing.assert_close(scores[user], wanted[order])


def test_the_best_items_that_tie_stand_in_their_order() -> None:
    scores = torch.tensor([[2.0, 1.0, 3.0, 2.0, 2.0, 3.0, 0.0, 2.0]])
    data = tiny_evaluation_set([[1]], [2], num_items=8)
    assert top_k(ScoreTable(scores), data, k=4)[0].tolist() == [[3, 6, 4, 5]]
    model = LastItemModel(8, embedding_dim=2)
    with torch.no_grad():
        model.states.copy_(torch.tensor([1.0, 0.0]))
        model.table[1:, 0] = scores[0]
    assert top_k(model, data, k=4)[0].tolist() == [[3, 6, 4, 5]]
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
    assert torch.equal(top_k(Half(), data, k=3)[1], top_k(rounded, data, k=3)[1])


def test_pointwise_models_are_asked_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(25, 30, generator=torch.Generator().manual_seed(0))
    data = _random_set()
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
        scoring.score_candidates(table, batch, candidates),
        table.scores.gather(1, candidates - 1),
    )


def test_the_target_is_not_shown_to_the_model() -> None:
    class Peeking(ScoreTable):
        def score(self, batch: Batch, candidates: Tensor) -> Tensor:
            self.inputs = batch.inputs
            return super().score(batch, candidates)

    model = Peeking(torch.zeros(2, 9))
    full_ranks(model, tiny_evaluation_set([[1, 2, 3], [4]], [8, 9]))
    assert model.inputs.tolist() == [[1, 2, 3], [0, 0, 4]]


@pytest.mark.parametrize("training", [True, False])
def test_models_are_evaluated_in_evaluation_mode_and_put_back(training: bool) -> None:
    model, data = LastItemModel().train(training), tiny_evaluation_set([[1]], [2])
    full_ranks(model, data)
    top_k(model, data, k=1)
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
    _, scores = top_k(LastItemModel(), tiny_evaluation_set([[1]], [2]), k=1)
    assert not scores.requires_grad


def test_a_recommender_need_not_be_a_module() -> None:
    class Plain:
        num_items = 9

        def score(self, batch: Batch, candidates: Tensor) -> Tensor:
            return -candidates.float()

    assert full_ranks(Plain(), tiny_evaluation_set([[1]], [3])).tolist() == [2]


def test_another_catalogue_is_refused() -> None:
    data = tiny_evaluation_set([[1]], [2], num_items=8)
    message = "the recommender knows 9 items, the evaluation set has 8"
    with pytest.raises(ValueError, match=message):
        full_ranks(LastItemModel(), data)
    with pytest.raises(ValueError, match=message):
        top_k(LastItemModel(), data)
    with pytest.raises(ValueError, match=message):
        sampled_evaluate(LastItemModel(), data, torch.ones(9))


def test_what_is_no_recommender_is_refused_by_name() -> None:
    model = nn.Linear(2, 2)
    model.num_items = 9  # type: ignore[assignment]
    with pytest.raises(TypeError, match="Linear has neither"):
        full_ranks(model, tiny_evaluation_set([[1]], [2]))  # type: ignore[arg-type]


# ---- sampled ranking ----------------------------------------------------------------------------


def _revealing(targets: list[int], *, num_items: int = 9, sign: float = 1.0) -> ScoreTable:
    """Scores the target ``sign`` and everything else 0."""
    scores = torch.zeros(len(targets), num_items)
    scores[torch.arange(len(targets)), torch.tensor(targets) - 1] = sign
    return ScoreTable(scores)


def test_negatives_are_never_the_target() -> None:
    """The model tells the target from everything else, so a negative that is the target would
    tie; and nearly every draw would be one if nothing kept it out."""
    targets = [3] * 20
    data = tiny_evaluation_set([[1]] * 20, targets)
    popularity = torch.ones(9)
    popularity[2] = 1e6
    assert sampled_evaluate(_revealing(targets), data, popularity) == {
        "AUC": 1.0,
        "HR@5": 1.0,
        "NDCG@5": 1.0,
    }


def test_the_worst_model_gets_nothing_and_a_constant_one_no_hits() -> None:
    targets = [3, 4]
    data = tiny_evaluation_set([[1], [1]], targets)
    worst = sampled_evaluate(_revealing(targets, sign=-1.0), data, torch.ones(9))
    assert worst == {"AUC": 0.0, "HR@5": 0.0, "NDCG@5": 0.0}
    constant = sampled_evaluate(ScoreTable(torch.zeros(2, 9)), data, torch.ones(9))
    assert constant == {"AUC": 0.5, "HR@5": 0.0, "NDCG@5": 0.0}


def test_sampled_metrics_by_hand() -> None:
    """Only item 2 ever is a negative, five or four times: rank 6 misses HR@5, rank 5 does not."""
    data = tiny_evaluation_set([[1]], [1], num_items=3)
    popularity = torch.tensor([1.0, 1.0, 0.0])
    model = ScoreTable(torch.tensor([[0.0, 1.0, -1.0]]))
    assert sampled_evaluate(model, data, popularity, num_negatives=5)["HR@5"] == 0.0
    four = sampled_evaluate(model, data, popularity, num_negatives=4)
    assert four["HR@5"] == 1.0
    assert four["NDCG@5"] == pytest.approx(1 / np.log2(6))
    assert four["AUC"] == 0.0


def test_sampled_metrics_of_a_real_model_lie_between() -> None:
    data = _random_set()
    metrics = sampled_evaluate(_model(), data, torch.ones(30), num_negatives=10, max_length=8)
    assert set(metrics) == {"AUC", "HR@5", "NDCG@5"}
    assert 0 < metrics["NDCG@5"] < metrics["HR@5"] < 1
    assert 0 < metrics["AUC"] < 1


def test_the_seed_alone_decides_the_negatives() -> None:
    data, popularity = _random_set(), torch.arange(1, 31)

    def asked(seed: int) -> Tensor:
        model = ScoreTable(torch.zeros(25, 30))
        sampled_evaluate(model, data, popularity, seed=seed)
        return torch.cat(model.asked)

    first = asked(0)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert torch.equal(asked(0), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(asked(1), first)
    assert first.shape == (25, 64)
    assert torch.equal(first[:, 0], data.targets)


@pytest.mark.parametrize("power", [0.75, 0.0])
def test_negatives_follow_the_power_of_popularity(power: float) -> None:
    popularity = torch.tensor([0, 1, 4, 16, 64, 256])
    model = ScoreTable(torch.zeros(50, 6))
    data = tiny_evaluation_set([[1]] * 50, [4] * 50, num_items=6)
    options = {} if power == 0.75 else {"popularity_power": power}
    sampled_evaluate(model, data, popularity, num_negatives=400, **options)  # type: ignore[arg-type]
    drawn = torch.cat(model.asked)[:, 1:]
    counts = torch.bincount(drawn.flatten(), minlength=7)[1:].double()
    mass = popularity.double() ** power  # 0 ** 0 is 1
    mass[3] = 0.0  # the target
    expected = mass / mass.sum() * drawn.numel()
    possible = expected > 0
    assert not counts[~possible].any()
    chi_square = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert float(chi_square) < 18.5  # P(more) = 0.001 at 4 degrees of freedom


@pytest.mark.parametrize(
    ("popularity", "message"),
    [
        (torch.ones(8), r"popularity must be \[9\], got \[8\]"),
        (torch.ones(9, 1), r"popularity must be \[9\], got \[9, 1\]"),
        (torch.eye(9)[0], "popularity must be positive for at least two items"),
    ],
)
def test_popularity_that_does_not_fit_is_refused(popularity: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampled_evaluate(LastItemModel(), tiny_evaluation_set([[1]], [2]), popularity)


# ---- top-k --------------------------------------------------------------------------------------


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_top_k_is_that_of_brute_force(exclude_seen: bool) -> None:
    data, model = _random_set(), _model()
    items, scores = top_k(model, data, k=5, max_length=8, exclude_seen=exclude_seen)
    for user in range(25):
        wanted = _brute_force_scores(model, data, user, 8)
        seen = set(data.histories.items_of(user).tolist()) if exclude_seen else set()
        order = sorted(
            (v for v in range(1, 31) if v not in seen), key=lambda v: wanted[v - 1], reverse=True
        )
        assert items[user].tolist() == order[:5]
        assert scores[user].tolist() == pytest.approx([wanted[v - 1] for v in order[:5]], abs=1e-5)


def test_top_k_does_not_look_at_targets() -> None:
    model = ScoreTable(torch.arange(9.0).repeat(2, 1))
    first = top_k(model, tiny_evaluation_set([[1, 9], [2]], [3, 3]), k=2)
    second = top_k(model, tiny_evaluation_set([[1, 9], [2]], [9, 1]), k=2)
    assert first[0].tolist() == [[8, 7], [9, 8]]
    assert first[1].tolist() == [[7.0, 6.0], [8.0, 7.0]]
    assert torch.equal(first[0], second[0])


@pytest.mark.parametrize("k", [0, 10])
def test_k_outside_the_catalogue_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=rf"k must be in 1\.\.9 \(the items\), got {k}"):
        top_k(LastItemModel(), tiny_evaluation_set([[1]], [2]), k=k)
