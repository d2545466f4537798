"""The paper's protocol: the target against sampled negatives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from atjt_ext.evaluation.metrics import SAMPLED_METRICS
from atjt_ext.evaluation.sampled import has_negatives, sampled_evaluate
from helpers.tiny import LastItemModel, ScoreTable, random_evaluation_set, tiny_evaluation_set
from helpers.zoo import shaken


def _revealing(targets: list[int], *, num_items: int = 9, sign: float = 1.0) -> ScoreTable:
    """Scores the target ``sign`` and everything else 0."""
    scores = torch.zeros(len(targets), num_items)
    scores[torch.arange(len(targets)), torch.tensor(targets) - 1] = sign
    return ScoreTable(scores)


def test_negatives_are_never_the_target() -> None:
    """The model scores the target alone higher, so a target among the negatives would tie. Nearly
    every draw would be the target if it were not excluded."""
    targets = [3] * 20
    data = tiny_evaluation_set([[1]] * 20, targets)
    popularity = torch.ones(9)
    popularity[2] = 1e6
    assert sampled_evaluate(_revealing(targets), data, popularity) == {
        "AUC": 1.0,
        "HR@5": 1.0,
        "NDCG@5": 1.0,
        "paper_HR@5": 1.0,
        "paper_NDCG@5": pytest.approx(0.2738, abs=5e-5),  # the maximum
    }


def test_negatives_are_none_of_the_users_items() -> None:
    data = random_evaluation_set()
    model = ScoreTable(torch.zeros(25, 30))
    # Users' own items are by far the most popular ones.
    popularity = torch.bincount(data.histories.items, minlength=31)[1:] ** 2 + 1
    sampled_evaluate(model, data, popularity, num_negatives=200, max_length=3)
    for user, asked in enumerate(torch.cat(model.asked)):
        own = {*data.histories.items_of(user).tolist(), int(data.targets[user])}
        drawn = set(asked[1:].tolist())
        assert not own & drawn
        assert len(drawn) > 5


def test_users_are_drawn_for_alike_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data, popularity = random_evaluation_set(), torch.arange(1, 31)
    whole, single = (ScoreTable(torch.zeros(25, 30)) for _ in range(2))
    sampled_evaluate(whole, data, popularity)
    monkeypatch.setattr("atjt_ext.evaluation.sampled._MAX_CELLS", 1)
    sampled_evaluate(single, data, popularity)
    assert len(single.asked) == 25
    assert torch.equal(torch.cat(single.asked), torch.cat(whole.asked))


def test_the_worst_model_gets_nothing_and_a_constant_one_what_ties_are_worth() -> None:
    targets = [3, 4]
    data = tiny_evaluation_set([[1], [1]], targets)
    worst = sampled_evaluate(_revealing(targets, sign=-1.0), data, torch.ones(9))
    assert set(worst.values()) == {0.0}
    constant = sampled_evaluate(ScoreTable(torch.zeros(2, 9)), data, torch.ones(9))
    assert (constant["AUC"], constant["HR@5"], constant["NDCG@5"]) == (0.5, 0.0, 0.0)
    # The paper's code gives a constant model the best list, but no hit.
    assert constant["paper_NDCG@5"] == pytest.approx(0.2738, abs=5e-5)
    assert constant["paper_HR@5"] == 0.0


def test_sampled_metrics_by_hand() -> None:
    """Item 2 is the only negative, drawn five or four times: rank 6 is no hit, rank 5 is one."""
    data = tiny_evaluation_set([[1]], [1], num_items=3)
    popularity = torch.tensor([1.0, 1.0, 0.0])
    model = ScoreTable(torch.tensor([[0.0, 1.0, -1.0]]))
    assert sampled_evaluate(model, data, popularity, num_negatives=5)["HR@5"] == 0.0
    four = sampled_evaluate(model, data, popularity, num_negatives=4)
    assert four["HR@5"] == 1.0
    assert four["NDCG@5"] == pytest.approx(1 / np.log2(6))
    assert four["AUC"] == 0.0


def test_sampled_metrics_of_a_real_model_lie_between() -> None:
    data = random_evaluation_set()
    metrics = sampled_evaluate(
        shaken("sasrec", num_items=30), data, torch.ones(30), num_negatives=10, max_length=8
    )
    assert set(metrics) == {"AUC", "HR@5", "NDCG@5", "paper_HR@5", "paper_NDCG@5"}
    assert 0 < metrics["NDCG@5"] < metrics["HR@5"] < 1
    assert 0 < metrics["AUC"] < 1


def test_the_seed_alone_decides_the_negatives() -> None:
    data, popularity = random_evaluation_set(), torch.arange(1, 31)

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
    mass[[0, 3]] = 0.0  # the history and the target
    expected = mass / mass.sum() * drawn.numel()
    possible = expected > 0
    assert not counts[~possible].any()
    statistic = stats.chisquare(counts[possible].numpy(), expected[possible].numpy())
    assert statistic.pvalue > 0.001


@pytest.mark.parametrize(
    ("popularity", "message"),
    [
        (torch.ones(8), r"popularity must be \[9\], got \[8\]"),
        (torch.ones(9, 1), r"popularity must be \[9\], got \[9, 1\]"),
    ],
)
def test_popularity_that_does_not_fit_is_refused(popularity: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampled_evaluate(LastItemModel(), tiny_evaluation_set([[1]], [2]), popularity)


def test_users_who_have_every_item_are_left_out() -> None:
    """The metrics are those of the other users, on the same draws."""
    model, popularity = ScoreTable(torch.randn(4, 6)), torch.tensor([3, 2, 1, 1, 1, 0])
    # User 1 has all five items that can be drawn, user 3 in the history alone.
    histories = [[1, 2], [1, 2, 2, 3, 4], [2, 2, 2, 2, 2, 1], [1, 2, 3, 4, 5]]
    data = tiny_evaluation_set(histories, [3, 5, 4, 6], num_items=6)
    assert has_negatives(data, popularity).tolist() == [True, False, True, False]
    with pytest.warns(UserWarning, match="leave out 2 of 4 users, who have every item"):
        found = sampled_evaluate(model, data, popularity)
    asked = torch.cat(model.asked)
    others = data.select(torch.tensor([0, 2]))
    assert sampled_evaluate(model, others, popularity) == found
    assert torch.equal(torch.cat(model.asked)[2:], asked)


def test_without_any_negative_no_sampled_metric_is_known() -> None:
    data = tiny_evaluation_set([[1], [1, 2]], [2, 3], num_items=3)
    model = ScoreTable(torch.zeros(2, 3))
    for popularity in (torch.tensor([1, 1, 0]), torch.tensor([0, 1, 0])):
        with pytest.warns(UserWarning, match="leave out"):
            found = sampled_evaluate(model, data.select(torch.tensor([0])), popularity)
        assert found == dict.fromkeys(SAMPLED_METRICS)
    # By the power 0 an item can be drawn that nobody has.
    assert has_negatives(data, torch.tensor([1, 1, 0]), popularity_power=0).tolist() == [
        True,
        False,
    ]


def test_the_check_of_many_users_is_that_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    histories = [random.integers(1, 6, size=n).tolist() for n in random.integers(1, 12, size=60)]
    targets = random.integers(1, 6, size=60).tolist()
    data = tiny_evaluation_set(histories, targets, num_items=6)
    popularity = torch.tensor([1, 1, 1, 1, 0, 0])
    wanted = [
        not {1, 2, 3, 4} <= {*own, target} for own, target in zip(histories, targets, strict=True)
    ]
    assert has_negatives(data, popularity).tolist() == wanted
    assert 0 < sum(wanted) < 60
    monkeypatch.setattr("atjt_ext.evaluation.sampled._MAX_CELLS", 1)
    assert has_negatives(data, popularity).tolist() == wanted


def _as_the_papers_code(scores: list[float]) -> tuple[float, float]:
    """HR@5 and NDCG@5 of one user, step by step; the first of ``scores`` is the target's."""
    probability = [1 / (1 + math.exp(-score)) for score in scores]
    by_rank = sorted(range(len(scores)), key=lambda index: -probability[index])  # stable
    hit, gain, ideal = 0.0, 0.0, 0.0
    for rank, index in enumerate(by_rank[:5], start=1):
        ideal += 1 / math.log2(rank + 2)
        if index == 0:
            gain = 1 / math.log2(rank + 2)
            if probability[index] > 0.5:
                hit = 1.0
    return hit, gain / ideal


def test_the_papers_metrics_follow_its_code_step_by_step() -> None:
    num_items, num_users = 8, 200
    random = torch.Generator().manual_seed(0)
    # Few values, so that many tie; some targets rank high with a probability below one half.
    scores = torch.randint(-2, 3, (num_users, num_items), generator=random).float()
    targets = torch.randint(1, num_items + 1, (num_users,), generator=random).tolist()
    model = ScoreTable(scores)
    data = tiny_evaluation_set([[1]] * num_users, targets, num_items=num_items)
    found = sampled_evaluate(model, data, torch.ones(num_items), num_negatives=12)
    asked = scores.gather(1, torch.cat(model.asked) - 1)
    wanted = np.mean([_as_the_papers_code(row) for row in asked.tolist()], axis=0)
    assert (found["paper_HR@5"], found["paper_NDCG@5"]) == pytest.approx(tuple(wanted))
    assert 0 < found["paper_HR@5"] < 1
    assert found["paper_HR@5"] != found["HR@5"]


def test_histories_are_read_under_their_weights_if_asked_to() -> None:
    data = random_evaluation_set()
    weights = torch.rand(
        data.histories.num_interactions, generator=torch.Generator().manual_seed(0)
    )
    weighed = replace(data, histories=replace(data.histories, weights=weights))
    model, popularity = shaken("sasrec", num_items=30), torch.ones(30)

    def found(of: object, weigh: bool) -> dict[str, float]:
        return sampled_evaluate(model, of, popularity, max_length=8, weigh_inputs=weigh)  # type: ignore[arg-type]

    assert found(data, True) == found(weighed, False) == found(data, False)
    assert found(weighed, True) != found(data, True)
    with pytest.raises(TypeError, match="weights on inputs need a recommender"):
        sampled_evaluate(ScoreTable(torch.zeros(25, 30)), data, popularity, weigh_inputs=True)
