"""The benchmarks' questions are well formed, and their checks refuse wrong results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import linear_peers
import suite
import timing
from atjt_ext.ops import target_ranks
from bench_reweighted_cross_entropy import CrossEntropy, on_copied_logits
from loss_question import largest_error
from question import EAGER, OURS, Contender, Question, Result, WrongResultError

SMALL = suite.questions("cpu", small=True)


def _named(op: str, what: str) -> Any:
    return next(q for q in SMALL if str(q).startswith(op) and what in str(q))


def _answer(question: Question, name: str = EAGER) -> Result:
    contender = question.contenders()[name]
    assert isinstance(contender, Contender)
    return contender.run()


# ---- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", suite.DEVICES)
def test_every_question_has_ours_and_another_contender(device: str) -> None:
    questions = suite.questions(device)
    assert len({str(question) for question in questions}) == len(questions)
    for question in questions:
        contenders = question.contenders()
        assert next(iter(contenders)) == OURS
        assert isinstance(contenders[OURS], Contender)
        assert isinstance(contenders[EAGER], Contender)
        assert question.device == device
        assert question.bytes_moved > 0
        # Nothing large is made before the first run.
        assert not {"arguments", "sequences", "hidden", "table"} & set(vars(question))


@pytest.mark.parametrize("question", SMALL, ids=str)
def test_right_results_pass(question: Question) -> None:
    for name in (OURS, EAGER):
        error = question.check(name, _answer(question, name))
        integers = question.op in ("random_replacement", "target_ranks")
        assert (error is None) == integers


@pytest.mark.parametrize("what", ["forward + backward", "forward"])
def test_liger_is_left_out_with_a_reason(what: str) -> None:
    reason = _named("reweighted_cross_entropy", what).contenders()["Liger"]
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


# ---- wrong losses and gradients -----------------------------------------------------------------


def _changed(result: Result, output: int, change: Callable[[Tensor], object]) -> Result:
    outputs = [tensor.detach().clone() for tensor in result]
    change(outputs[output])
    return tuple(outputs)


def _smallest(tensor: Tensor) -> Tensor:
    flat = tensor.view(-1)
    return flat[flat.abs().argmin() :][:1]


@pytest.mark.parametrize(
    ("output", "change", "name"),
    [
        (0, lambda loss: loss.mul_(1.001), "the loss"),
        (0, lambda loss: loss.fill_(torch.nan), "the loss"),
        (1, lambda grad: _smallest(grad).mul_(1.001), "the gradient of the logits"),
        (1, lambda grad: _smallest(grad).zero_(), "the gradient of the logits"),
        (1, lambda grad: grad[3, 7].fill_(torch.nan), "the gradient of the logits"),
        (1, lambda grad: grad.copy_(grad.roll(1, 0)), "the gradient of the logits"),
        (2, lambda grad: grad.neg_(), "the gradient of the weights"),
        (2, lambda grad: grad[5].add_(grad.abs().max() / 100), "the gradient of the weights"),
    ],
)
def test_a_wrong_cross_entropy_is_refused(
    output: int, change: Callable[[Tensor], object], name: str
) -> None:
    question = _named("reweighted_cross_entropy", "float32, forward + backward")
    with pytest.raises(WrongResultError, match=f"torch eager: the relative error of {name}"):
        question.check(EAGER, _changed(_answer(question), output, change))


LOGITS = ("the loss", "the gradient of the logits", "the gradient of the weights")
TABLE = ("the loss", *(f"the gradient of the {x}" for x in ("hidden states", "table", "weights")))


@pytest.mark.parametrize(
    ("op", "what", "names"),
    [
        ("reweighted_binary_cross_entropy", "float32, forward + backward", LOGITS),
        ("linear_reweighted_cross_entropy", "float32", TABLE),
        ("linear_reweighted_cross_entropy", "80% ignored", TABLE),
        ("sampled_binary_cross_entropy", "float32", TABLE),
        ("sampled_cross_entropy", "float32", TABLE),
    ],
)
def test_a_wrong_output_of_another_loss_is_refused_by_name(
    op: str, what: str, names: tuple[str, ...]
) -> None:
    question = _named(op, what)

    def shift(tensor: Tensor) -> None:
        of_norm = op.startswith("linear")
        size = 1e-4 * tensor.norm() if of_norm else 1e-3 * tensor.abs().max()
        tensor.view(-1)[-1:].add_(size)

    for output, name in enumerate(names):
        with pytest.raises(WrongResultError, match=f"the relative error of {name} is"):
            question.check(EAGER, _changed(_answer(question), output, shift))


def test_losses_without_weights_are_refused() -> None:
    question = CrossEntropy(16, 50, gradients=False)
    (losses,) = _answer(question)
    with pytest.raises(WrongResultError, match="the relative error of losses"):
        question.check(EAGER, (losses / question.arguments[2],))


def test_in_bfloat16_ours_may_err_less_than_peers() -> None:
    question: Any = CrossEntropy(16, 50, dtype=torch.bfloat16, gradients=False)
    wrong = (1.02 * question.arguments[2] * question.exact[0],)
    assert question.check(EAGER, wrong) == pytest.approx(0.02)
    with pytest.raises(WrongResultError, match=r"more than 0\.0039"):
        question.check(OURS, wrong)
    question = _named("linear_reweighted_cross_entropy", "bfloat16")
    wrong = _changed(_answer(question, OURS), 2, lambda gradient: gradient.mul_(1.02))
    assert question.check(EAGER, wrong) == pytest.approx(0.02, rel=0.1)
    with pytest.raises(WrongResultError, match=r"more than 0\.004"):
        question.check(OURS, wrong)


def test_errors_are_relative_to_each_number_or_to_the_largest() -> None:
    got, wanted = torch.tensor([1.5, 100.0]), torch.tensor([1.0, 100.0])
    assert largest_error(got, wanted) == 0.5
    assert largest_error(got, wanted, of_largest=True) == pytest.approx(0.005)


# ---- peers --------------------------------------------------------------------------------------


def test_the_tuned_peer_uses_the_fastest_choice_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_peer_that_overwrites_its_logits_gets_a_copy() -> None:
    question = CrossEntropy(16, 50)

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
    before = question.arguments[0].detach().clone()
    for _ in range(2):
        _, _, result = timing.CpuClock().measure(peer)
        question.check("Liger", result)
    assert torch.equal(question.arguments[0], before)


# ---- wrong ranks --------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("name", [OURS, EAGER])
def test_a_wrong_rank_is_refused(name: str, by: int) -> None:
    question = _named("target_ranks", "float32")
    wrong = _changed(_answer(question), 0, lambda ranks: ranks[3:4].add_(by))
    with pytest.raises(WrongResultError, match=f"{name}: the rank of row 3 is"):
        question.check(name, wrong)


def test_ranks_among_seen_items_are_refused() -> None:
    question = _named("target_ranks", "float32")
    ranks = target_ranks(question.hidden, question.table, question.targets)
    with pytest.raises(WrongResultError, match="the rank of row"):
        question.check(OURS, (ranks,))


# ---- wrong dropout ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "change", "message"),
    [
        (0, lambda values: values[3:].zero_(), "different masks"),
        (1, lambda gradient: gradient.copy_(gradient.roll(1)), "different masks"),
        (0, lambda values: values.mul_(1.001), "the relative error of the values is 0.001"),
        (1, lambda gradient: gradient.mul_(0.5), "the relative error of the gradient is 0.5"),
    ],
)
def test_a_wrong_dropout_is_refused(
    output: int, change: Callable[[Tensor], object], message: str
) -> None:
    question = _named("keyed_dropout", "float32")
    with pytest.raises(WrongResultError, match=message):
        question.check(EAGER, _changed(_answer(question), output, change))


def test_dropout_of_a_wrong_share_is_refused() -> None:
    question = _named("keyed_dropout", "float32")
    result = tuple(tensor.clone() for tensor in _answer(question))
    for tensor in result:
        tensor[: question.tokens // 4] = 0
    with pytest.raises(WrongResultError, match=r"0\.3\d+ of the numbers are kept, not 0\.5"):
        question.check(EAGER, result)


# ---- broken promises of random replacement ------------------------------------------------------

SHARE = _named("random_replacement", "int64, 20% of every row")
UNSEEN = _named("random_replacement", "unseen")


def _unmark(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    replaced[tuple(replaced.nonzero()[0])] = False


def _keep_one(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    at = tuple(replaced.nonzero()[0])
    noisy[at], replaced[at] = SHARE.sequences[at], False


def _mislabel(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    labels[0] = not labels[0]


def _restore_row(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    row = int(labels.nonzero()[0])
    noisy[row], replaced[row], labels[row] = SHARE.sequences[row], False, False


def _outside(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    noisy[tuple(replaced.nonzero()[0])] = SHARE.num_items + 1


def _first_positions(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    """The same number of positions, but always the first ones."""
    count = int(replaced.sum(dim=1).max())
    noisy.copy_(SHARE.sequences)
    replaced.zero_()[:, :count] = True
    noisy[replaced] = noisy[replaced] % SHARE.num_items + 1


def _upper_half(noisy: Tensor, replaced: Tensor, labels: Tensor) -> None:
    """Items of the upper half of the catalogue only."""
    half = SHARE.num_items // 2
    items = half + 1 + noisy[replaced] % half
    items += items == SHARE.sequences[replaced]
    noisy[replaced] = items.clamp(max=SHARE.num_items)


def _from_the_row(noisy: Tensor, replaced: Tensor, *_: Tensor) -> None:
    row, position = replaced.nonzero()[0]
    history = UNSEEN.sequences[row]
    noisy[row, position] = history[history != history[position]][0]


def _another_city(*outputs: Tensor) -> None:
    outputs[-1][2, 3] += 1


def _uniform(noisy: Tensor, replaced: Tensor, *_: Tensor) -> None:
    """Uniform instead of popular items."""
    originals = UNSEEN.sequences[replaced]
    drawn = torch.randint_like(originals, 1, UNSEEN.num_items)
    noisy[replaced] = drawn + (drawn >= originals)


@pytest.mark.parametrize(
    ("question", "break_it", "promise"),
    [
        (SHARE, _unmark, "marks what changed"),
        (SHARE, _keep_one, "the right number of items"),
        (SHARE, _mislabel, "labels the rows"),
        (SHARE, _restore_row, "the right number of rows"),
        (SHARE, _outside, "items of the catalogue"),
        (SHARE, _first_positions, "all positions alike"),
        (SHARE, _upper_half, "every item as often"),
        (UNSEEN, _from_the_row, "nothing that the row holds"),
        (UNSEEN, _another_city, "features of the new items"),
        (UNSEEN, _uniform, "every item as often"),
    ],
)
def test_a_broken_promise_of_random_replacement_is_refused(
    question: Question, break_it: Callable[..., None], promise: str
) -> None:
    outputs = tuple(tensor.clone() for tensor in _answer(question, OURS))
    break_it(*(outputs if question is UNSEEN else outputs[:3]))
    with pytest.raises(WrongResultError, match=promise):
        question.check(OURS, outputs)
