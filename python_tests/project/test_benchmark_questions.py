"""What the benchmarks ask, and that their checks see a wrong result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("matplotlib")

import linear_peers
import suite
import timing
from atjt_ext.ops import target_ranks
from bench_reweighted_cross_entropy import CrossEntropy, on_copied_logits
from loss_question import largest_error
from question import EAGER, OURS, Contender, Question, Result, WrongResultError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = suite.questions("cpu", small=True)
EVERY_QUESTION = pytest.mark.parametrize("question", SMALL, ids=str)


def _named(op: str, what: str) -> Question:
    return next(q for q in SMALL if str(q).startswith(op) and what in str(q))


def _answer(question: Question, name: str = EAGER) -> Result:
    contender = question.contenders()[name]
    assert isinstance(contender, Contender)
    return contender.run()


# ---- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", suite.DEVICES)
def test_every_question_is_ours_to_answer_and_has_another_contender(device: str) -> None:
    questions = suite.questions(device)
    assert len({str(question) for question in questions}) == len(questions)
    for question in questions:
        contenders = question.contenders()
        assert next(iter(contenders)) == OURS
        assert isinstance(contenders[OURS], Contender)
        assert isinstance(contenders[EAGER], Contender)
        assert question.device == device
        assert question.bytes_moved > 0
        assert "logits" not in vars(question)  # nothing large until it is asked
        assert "sequences" not in vars(question)


@EVERY_QUESTION
def test_right_results_pass(question: Question) -> None:
    for name in (OURS, EAGER):
        error = question.check(name, _answer(question, name))
        integers = str(question).startswith(("random_replacement", "target_ranks"))
        assert (error is None) == integers


@pytest.mark.parametrize("what", ["forward + backward", "forward"])
def test_liger_says_why_it_stays_out(what: str) -> None:
    question = _named("reweighted_cross_entropy", what)
    reason = question.contenders()["Liger"]
    assert isinstance(reason, str)
    assert reason.startswith("liger-kernel ")


def test_bytes_are_counted_once_each_way() -> None:
    share = _named("random_replacement", "int32, 20% of every row")
    assert share.bytes_moved == 64 * 50 * (4 + 4 + 1)
    assert _named("reweighted_cross_entropy", "forward + backward").bytes_moved == 2 * 16 * 50 * 4
    (forward,) = (q for q in SMALL if str(q).endswith("cross_entropy [16, 50] bfloat16, forward"))
    assert forward.bytes_moved == 16 * 50 * 2
    unseen = _named("random_replacement", "unseen")
    assert unseen.bytes_moved == 64 * 50 * (3 * (8 + 8) + 1)


# ---- checks see wrong results -------------------------------------------------------------------


def _changed(output: int, change: Callable[[Tensor], object]) -> Callable[[Result], Result]:
    def apply(result: Result) -> Result:
        outputs = [tensor.detach().clone() for tensor in result]
        change(outputs[output])
        return tuple(outputs)

    return apply


def _smallest(tensor: Tensor) -> Tensor:
    flat = tensor.view(-1)
    return flat[flat.abs().argmin() :][:1]


@pytest.mark.parametrize(
    ("change", "output"),
    [
        (_changed(0, lambda loss: loss.mul_(1.001)), "loss"),
        (_changed(0, lambda loss: loss.fill_(torch.nan)), "loss"),
        (_changed(1, lambda grad: _smallest(grad).mul_(1.001)), "the gradient of the logits"),
        (_changed(1, lambda grad: _smallest(grad).zero_()), "the gradient of the logits"),
        (_changed(1, lambda grad: grad[3, 7].fill_(torch.nan)), "the gradient of the logits"),
        (_changed(1, lambda grad: grad.copy_(grad.roll(1, 0))), "the gradient of the logits"),
        (_changed(2, lambda grad: grad.neg_()), "the gradient of the weights"),
        (_changed(2, lambda grad: grad[5].add_(grad.abs().max() / 100)), "of the weights"),
    ],
)
def test_a_wrong_loss_or_gradient_is_seen(change: Callable[[Result], Result], output: str) -> None:
    question = _named("reweighted_cross_entropy", "float32, forward + backward")
    with pytest.raises(WrongResultError, match=f"torch eager: the relative error of .*{output}"):
        question.check(EAGER, change(_answer(question)))


def test_losses_without_weights_are_seen() -> None:
    question: Any = CrossEntropy(16, 50, torch.float32, gradients=False)
    (losses,) = _answer(question)
    with pytest.raises(WrongResultError, match="the relative error of losses"):
        question.check(EAGER, (losses / question.weight,))


def test_ours_is_held_to_more_than_peers_in_bfloat16() -> None:
    question: Any = CrossEntropy(16, 50, torch.bfloat16, gradients=False)
    losses, _ = question.exact
    wrong = (1.02 * question.weight * losses,)
    assert question.check(EAGER, wrong) == pytest.approx(0.02)
    with pytest.raises(WrongResultError, match=r"more than 0\.0039"):
        question.check(OURS, wrong)


@pytest.mark.parametrize(
    ("output", "name"),
    [(0, "loss"), (1, "the gradient of the logits"), (2, "the gradient of the weights")],
)
def test_wrong_binary_losses_are_seen(output: int, name: str) -> None:
    question = _named("reweighted_binary_cross_entropy", "float32, forward + backward")
    wrong = _changed(output, lambda tensor: tensor.view(-1)[-1:].add_(1e-3 * tensor.abs().max()))
    with pytest.raises(WrongResultError, match=f"the relative error of {name}"):
        question.check(EAGER, wrong(_answer(question)))


@pytest.mark.parametrize(
    ("output", "name"),
    [
        (0, "the loss"),
        (1, "the gradient of the hidden states"),
        (2, "the gradient of the table"),
        (3, "the gradient of the weights"),
    ],
)
@pytest.mark.parametrize("what", ["float32", "80% ignored"])
def test_wrong_results_without_logits_are_seen(output: int, name: str, what: str) -> None:
    question = _named("linear_reweighted_cross_entropy", what)
    wrong = _changed(output, lambda tensor: tensor.view(-1)[-1:].add_(1e-4 * tensor.norm()))
    with pytest.raises(WrongResultError, match=f"the relative error of {name} is"):
        question.check(EAGER, wrong(_answer(question)))


def test_without_logits_ours_is_held_to_more_than_peers_in_bfloat16() -> None:
    question = _named("linear_reweighted_cross_entropy", "bfloat16")
    wrong = _changed(2, lambda gradient: gradient.mul_(1.02))(_answer(question, OURS))
    assert question.check(EAGER, wrong) == pytest.approx(0.02, rel=0.1)
    with pytest.raises(WrongResultError, match=r"more than 0\.004"):
        question.check(OURS, wrong)


def test_the_tuned_peer_is_the_fastest_of_those_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"none": float("inf"), "slow": 2.0, "fast": 1.0}
    asked = []

    def choice(name: str) -> linear_peers.Losses:
        def losses(*_: Tensor) -> Tensor:
            asked.append(name)
            return torch.zeros(())

        losses.__name__ = name
        return losses

    monkeypatch.setattr(linear_peers, "_seconds", lambda losses, *_: seconds[losses.__name__])
    fastest = linear_peers._Fastest([choice(name) for name in seconds])
    for _ in range(2):
        fastest(*torch.zeros(3))
    assert asked == ["fast", "fast"]


@pytest.mark.parametrize("output", range(4))
@pytest.mark.parametrize("op", ["sampled_binary_cross_entropy", "sampled_cross_entropy"])
def test_wrong_sampled_losses_are_seen(op: str, output: int) -> None:
    question = _named(op, "float32")
    wrong = _changed(output, lambda tensor: tensor.view(-1)[-1:].add_(1e-3 * tensor.abs().max()))
    names = ("loss", "the gradient of hidden", "the gradient of the table", "of weights")
    with pytest.raises(WrongResultError, match=f"the relative error of .*{names[output]}"):
        question.check(EAGER, wrong(_answer(question)))


def test_an_item_that_the_row_holds_is_seen() -> None:
    question: Any = _named("random_replacement", "unseen")
    noisy, replaced, *rest = (tensor.clone() for tensor in _answer(question, OURS))
    row, position = replaced.nonzero()[0]
    others = question.sequences[row][question.sequences[row] != question.sequences[row, position]]
    noisy[row, position] = others[0]
    with pytest.raises(WrongResultError, match="nothing that the row holds"):
        question.check(OURS, (noisy, replaced, *rest))


def test_a_feature_of_another_item_is_seen() -> None:
    question: Any = _named("random_replacement", "unseen")
    *rest, city = (tensor.clone() for tensor in _answer(question, OURS))
    city[2, 3] += 1
    with pytest.raises(WrongResultError, match="features of the new items"):
        question.check(OURS, (*rest, city))


def test_uniform_items_are_told_from_popular_ones() -> None:
    question: Any = _named("random_replacement", "unseen")
    noisy, replaced, labels, *_ = (tensor.clone() for tensor in _answer(question, OURS))
    originals = question.sequences[replaced]
    drawn = torch.randint_like(originals, 1, question.num_items)
    noisy[replaced] = drawn + (drawn >= originals)
    with pytest.raises(WrongResultError, match="every item as often"):
        question.check(OURS, (noisy, replaced, labels))


def test_a_peer_that_overwrites_its_logits_gets_its_own() -> None:
    question = CrossEntropy(16, 50, torch.float32)

    class Overwriting(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
            losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
            gradient = logits.softmax(1).scatter_add_(
                1, targets[:, None], torch.full((16, 1), -1.0)
            )
            ctx.save_for_backward(logits.data.copy_(gradient))
            return losses

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
            return ctx.saved_tensors[0] * grad[:, None], None

    peer = on_copied_logits(question, question.weighted(Overwriting.apply))
    before = question.logits.detach().clone()
    for _ in range(2):
        _, _, result = timing.CpuClock().measure(peer)
        question.check("Liger", result)
    assert torch.equal(question.logits, before)


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("name", [OURS, EAGER])
def test_a_wrong_rank_is_seen(name: str, by: int) -> None:
    question = _named("target_ranks", "float32")
    wrong = _changed(0, lambda ranks: ranks[3:4].add_(by))
    with pytest.raises(WrongResultError, match=f"{name}: the rank of row 3 is"):
        question.check(name, wrong(_answer(question)))


def test_ranks_among_seen_items_are_seen() -> None:
    question: Any = _named("target_ranks", "float32")
    ranks = target_ranks(question.hidden, question.table, question.targets)
    with pytest.raises(WrongResultError, match="the rank of row"):
        question.check(OURS, (ranks,))


def _unmark(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    row, position = replaced.nonzero()[0]
    replaced[row, position] = False


def _keep_one(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    row, position = replaced.nonzero()[0]
    noisy[row, position] = QUESTION.sequences[row, position]
    replaced[row, position] = False


def _mislabel(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    labels[0] = not labels[0]


def _restore_row(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    row = int(labels.nonzero()[0])
    noisy[row], replaced[row], labels[row] = QUESTION.sequences[row], False, False


def _outside(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    noisy[tuple(replaced.nonzero()[0])] = QUESTION.num_items + 1


def _first_positions(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    """The same number of positions, but always the first ones."""
    count = int(replaced.sum(dim=1).max())
    noisy.copy_(QUESTION.sequences)
    replaced.zero_()[:, :count] = True
    noisy[replaced] = noisy[replaced] % QUESTION.num_items + 1


def _upper_half(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    """Items of the upper half of the catalogue only."""
    half = QUESTION.num_items // 2
    items = half + 1 + noisy[replaced] % half
    items += items == QUESTION.sequences[replaced]
    noisy[replaced] = items.clamp(max=QUESTION.num_items)


QUESTION: Any = _named("random_replacement", "int64, 20% of every row")


@pytest.mark.parametrize(
    ("break_it", "promise"),
    [
        (_unmark, "marks what changed"),
        (_keep_one, "the right number of items"),
        (_mislabel, "labels the rows"),
        (_restore_row, "the right number of rows"),
        (_outside, "items of the catalogue"),
        (_first_positions, "all positions alike"),
        (_upper_half, "every item as often"),
    ],
)
def test_a_broken_promise_of_the_sampler_is_seen(
    break_it: Callable[[Tensor, Tensor, Tensor], None], promise: str
) -> None:
    noisy, replaced, labels = (tensor.clone() for tensor in _answer(QUESTION, OURS)[:3])
    break_it(noisy, replaced, labels)
    with pytest.raises(WrongResultError, match=promise):
        QUESTION.check(OURS, (noisy, replaced, labels))


def test_errors_are_relative_to_each_number_or_to_the_largest() -> None:
    wanted = torch.tensor([1.0, 100.0])
    assert largest_error(torch.tensor([1.5, 100.0]), wanted) == 0.5
    assert largest_error(torch.tensor([1.5, 100.0]), wanted, of_largest=True) == pytest.approx(
        0.005
    )
