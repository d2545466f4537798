"""reweighted_cross_entropy: values, gradients, edges and refusals."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from atjt_ext import _C, build_info, reference
from atjt_ext.ops import Reduction, reweighted_cross_entropy

REDUCTIONS = get_args(Reduction)
AVERAGES = ["mean", "weighted_mean"]

# 1; around a vector of 16 and a warp; around a block of 256 threads; around the summation block of
# 1024; 26745 is MovieLens-20M with padding.
CLASSES = [1, 2, 15, 16, 17, 31, 33, 255, 257, 1023, 1025, 26_745]


def example(
    rows: int, classes: int, device: torch.device, *, scale: float = 3.0, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """float64 logits that are exact in float32, targets with every fourth row ignored, weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(rows, classes, generator=generator) * scale).double()
    targets = torch.randint(0, classes, (rows,), generator=generator)
    targets[1::4] = -100
    weight = torch.rand(rows, generator=generator).double()
    return logits.to(device), targets.to(device), weight.to(device)


def gradients(
    function: Any, logits: Tensor, targets: Tensor, weight: Tensor, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and the gradients in logits and weight of its sum."""
    logits, weight = logits.detach().requires_grad_(), weight.detach().requires_grad_()
    loss = function(logits, targets, weight, **options)
    grads = torch.autograd.grad(loss.sum(), (logits, weight), allow_unused=True)
    return loss.detach(), grads[0], grads[1]


def relative_error(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted).norm() / wanted.norm().clamp(min=1e-30))


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_float64_equals_the_reference(
    device: torch.device, classes: int, reduction: Reduction
) -> None:
    arguments = example(9, classes, device)
    got = gradients(reweighted_cross_entropy, *arguments, reduction=reduction)
    wanted = gradients(reference.reweighted_cross_entropy, *arguments, reduction=reduction)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 40.0])
@pytest.mark.parametrize("classes", [33, 26_745])
def test_float32_errs_no_more_than_torch(device: torch.device, classes: int, scale: float) -> None:
    logits, targets, weight = example(32, classes, device, scale=scale)
    options: dict[str, Any] = {"reduction": "weighted_mean"}
    truth = gradients(reference.reweighted_cross_entropy, logits, targets, weight, **options)
    single = (logits.float(), targets, weight.float())
    ours = gradients(reweighted_cross_entropy, *single, **options)
    torchs = gradients(reference.reweighted_cross_entropy, *single, **options)
    for got, peer, wanted in zip(ours, torchs, truth, strict=True):
        # Beyond torch's own error, a few units in the last place of float32.
        assert relative_error(got, wanted) <= relative_error(peer, wanted) + 5e-7


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    if not build_info()["gpu_usable"]:
        pytest.skip("no CUDA device, or atjt_ext was built without CUDA kernels")
    logits, targets, weight = example(32, 1000, torch.device("cuda"))
    half = logits.to(dtype)
    truth = gradients(reference.reweighted_cross_entropy, half.double(), targets, weight)
    loss, grad_logits, grad_weight = gradients(
        reweighted_cross_entropy, half, targets, weight.float()
    )
    assert loss.dtype == torch.float32
    assert grad_logits.dtype == dtype
    assert relative_error(loss, truth[0]) < 1e-6
    assert relative_error(grad_weight, truth[2]) < 1e-6
    assert relative_error(grad_logits, truth[1]) < torch.finfo(dtype).eps


@pytest.mark.parametrize("isa", build_info()["cpu_isas"])
def test_every_instruction_set_computes_the_same(isa: str) -> None:
    logits, targets, weight = example(9, 1500, torch.device("cpu"))
    try:
        _C.use_cpu_isa(isa)
    except ValueError:
        pytest.skip(f"this processor lacks {isa}")
    try:
        for dtype, limit in ((torch.float32, 5e-7), (torch.float64, 1e-14)):
            arguments = (logits.to(dtype), targets, weight.to(dtype))
            got = gradients(reweighted_cross_entropy, *arguments)
            wanted = gradients(reference.reweighted_cross_entropy, logits, targets, weight)
            for a, b in zip(got, wanted, strict=True):
                assert relative_error(a, b) < limit
    finally:
        _C.use_cpu_isa("auto")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradcheck_in_logits_and_weights(device: torch.device, reduction: Reduction) -> None:
    logits, targets, weight = example(6, 5, device)
    logits.requires_grad_()
    weight.requires_grad_()

    def loss(logits: Tensor, weight: Tensor) -> Tensor:
        return reweighted_cross_entropy(logits, targets, weight, reduction=reduction)

    assert torch.autograd.gradcheck(loss, (logits, weight))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_only_the_weights_may_want_a_gradient(device: torch.device, reduction: Reduction) -> None:
    logits, targets, weight = example(6, 5, device)
    weight.requires_grad_()
    loss = reweighted_cross_entropy(logits, targets, weight, reduction=reduction)
    loss.sum().backward()
    wanted = gradients(
        reference.reweighted_cross_entropy, logits, targets, weight, reduction=reduction
    )[2]
    torch.testing.assert_close(weight.grad, wanted)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_loss_is_the_same_without_gradients(device: torch.device, reduction: Reduction) -> None:
    logits, targets, weight = example(50, 77, device)
    logits, weight = logits.float(), weight.float()
    plain = reweighted_cross_entropy(logits, targets, weight, reduction=reduction)
    logits.requires_grad_()
    tracked = reweighted_cross_entropy(logits, targets, weight, reduction=reduction)
    with torch.no_grad():
        untracked = reweighted_cross_entropy(logits, targets, weight, reduction=reduction)
    assert torch.equal(plain, tracked)
    assert torch.equal(plain, untracked)
    assert not untracked.requires_grad


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_without_weights_it_is_torchs_cross_entropy(device: torch.device, reduction: Any) -> None:
    logits, targets, _ = example(20, 30, device)
    got = reweighted_cross_entropy(logits, targets, reduction=reduction)
    torch.testing.assert_close(got, F.cross_entropy(logits, targets, reduction=reduction))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_no_weights_are_weights_of_one_to_the_bit(
    device: torch.device, reduction: Reduction
) -> None:
    logits, targets, weight = example(20, 30, device)
    ones = torch.ones_like(weight)
    assert torch.equal(
        reweighted_cross_entropy(logits, targets, reduction=reduction),
        reweighted_cross_entropy(logits, targets, ones, reduction=reduction),
    )


def test_an_integer_weight_is_a_repeated_row(device: torch.device) -> None:
    logits, targets, _ = example(12, 9, device)
    weight = torch.arange(12, device=device) % 4
    got = reweighted_cross_entropy(logits, targets, weight.double(), reduction="weighted_mean")
    rows = torch.arange(12, device=device).repeat_interleave(weight)
    wanted = reweighted_cross_entropy(logits[rows], targets[rows], reduction="mean")
    torch.testing.assert_close(got, wanted)


def test_weighted_mean_knows_only_relative_weights(device: torch.device) -> None:
    logits, targets, weight = example(12, 9, device)
    loss, _, grad_weight = gradients(
        reweighted_cross_entropy, logits, targets, weight, reduction="weighted_mean"
    )
    scaled = reweighted_cross_entropy(logits, targets, 7 * weight, reduction="weighted_mean")
    torch.testing.assert_close(scaled, loss)
    torch.testing.assert_close((weight * grad_weight).sum(), torch.zeros_like(loss))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_rows_of_the_gradient_sum_to_zero(device: torch.device, reduction: Reduction) -> None:
    logits, targets, weight = example(12, 999, device)
    _, grad_logits, _ = gradients(
        reweighted_cross_entropy, logits, targets, weight, reduction=reduction
    )
    assert float(grad_logits.sum(dim=1).abs().max()) < 1e-14


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_rows_count_nowhere_whatever_they_hold(
    device: torch.device, reduction: Reduction
) -> None:
    logits, targets, weight = example(8, 6, device)
    ignored = targets == -100
    logits[ignored] = float("nan")
    weight[ignored] = float("nan")
    loss, grad_logits, grad_weight = gradients(
        reweighted_cross_entropy, logits, targets, weight, reduction=reduction
    )
    assert not grad_logits[ignored].any()
    assert not grad_weight[ignored].any()
    kept = gradients(
        reweighted_cross_entropy,
        logits[~ignored],
        targets[~ignored],
        weight[~ignored],
        reduction=reduction,
    )
    torch.testing.assert_close(loss if loss.dim() == 0 else loss[~ignored], kept[0])
    torch.testing.assert_close(grad_logits[~ignored], kept[1])
    torch.testing.assert_close(grad_weight[~ignored], kept[2])


def test_ignore_index_may_be_a_class(device: torch.device) -> None:
    logits, _, _ = example(4, 6, device)
    targets = torch.tensor([0, 3, 0, 5], device=device)
    got = reweighted_cross_entropy(logits, targets, ignore_index=0)
    torch.testing.assert_close(got, F.cross_entropy(logits, targets, ignore_index=0))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", ["no rows", "all ignored", "zero weights", "weights cancel"])
def test_nothing_to_average_gives_zero_loss_and_zero_gradients(
    device: torch.device, reduction: Reduction, case: str
) -> None:
    logits, targets, weight = example(0 if case == "no rows" else 4, 6, device)
    targets = targets.abs() % 6
    if case == "all ignored":
        targets = torch.full_like(targets, -100)
    if case == "zero weights":
        weight = torch.zeros_like(weight)
    if case == "weights cancel":
        if reduction != "weighted_mean":
            pytest.skip("sum(w) divides weighted_mean only")
        weight = torch.tensor([1.0, -1.0, 2.0, -2.0], device=device).double()
    loss, grad_logits, grad_weight = gradients(
        reweighted_cross_entropy, logits, targets, weight, reduction=reduction
    )
    assert not loss.any()
    assert not grad_logits.any()
    if case != "zero weights" or reduction == "weighted_mean":
        assert not grad_weight.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_broken_row_stays_in_its_row(
    device: torch.device, reduction: Reduction, value: float
) -> None:
    logits, targets, weight = example(5, 40, device)
    broken = logits.clone()
    broken[2, 7] = value
    got = gradients(reweighted_cross_entropy, broken, targets, weight, reduction=reduction)
    wanted = gradients(reweighted_cross_entropy, logits, targets, weight, reduction=reduction)
    others = torch.arange(5, device=device) != 2
    assert torch.equal(got[1][others], wanted[1][others])
    assert got[1][2].isnan().any()
    if reduction == "none":
        assert torch.equal(got[0][others], wanted[0][others])
    assert got[0].isnan().any()


def test_impossible_classes_have_no_probability(device: torch.device) -> None:
    logits, targets, _ = example(5, 40, device)
    impossible = torch.zeros(40, dtype=torch.bool, device=device)
    impossible[::3] = True
    targets = torch.where(targets % 3 == 0, targets + 1, targets).clamp(max=38)
    for dtype in (torch.float32, torch.float64):
        masked = logits.to(dtype).masked_fill(impossible, -float("inf")).requires_grad_()
        loss = reweighted_cross_entropy(masked, targets)
        loss.backward()
        assert masked.grad is not None
        assert loss.isfinite()
        assert not masked.grad[:, impossible].any()


def test_huge_logits_keep_the_small_loss_of_a_confident_row(device: torch.device) -> None:
    logits = torch.tensor([[1e4, 1e4 - 5.0, -1e4]], device=device)
    loss = reweighted_cross_entropy(logits, torch.tensor([0], device=device))
    torch.testing.assert_close(loss.item(), 0.006715348489118, rtol=1e-6, atol=0)


def test_first_and_last_class_are_classes(device: torch.device) -> None:
    logits, _, _ = example(2, 1000, device)
    targets = torch.tensor([0, 999], device=device)
    got = reweighted_cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(got, F.cross_entropy(logits, targets, reduction="none"))


def test_an_upstream_gradient_with_stride_zero_is_read_right(device: torch.device) -> None:
    logits, targets, weight = example(6, 5, device)
    logits.requires_grad_()
    reweighted_cross_entropy(logits, targets, weight, reduction="none").sum().backward()
    wanted = gradients(reweighted_cross_entropy, logits, targets, weight, reduction="sum")[1]
    torch.testing.assert_close(logits.grad, wanted)


@pytest.mark.parametrize("reduction", AVERAGES)
def test_an_upstream_gradient_scales_the_gradient(
    device: torch.device, reduction: Reduction
) -> None:
    logits, targets, weight = example(6, 5, device)
    once = gradients(reweighted_cross_entropy, logits, targets, weight, reduction=reduction)
    logits.requires_grad_()
    weight.requires_grad_()
    loss = reweighted_cross_entropy(logits, targets, weight, reduction=reduction)
    grads = torch.autograd.grad(-2.5 * loss, (logits, weight))
    torch.testing.assert_close(grads[0], -2.5 * once[1])
    torch.testing.assert_close(grads[1], -2.5 * once[2])


def test_a_second_backward_pass_gives_the_same_bits_in_a_new_tensor(device: torch.device) -> None:
    logits, targets, weight = example(6, 500, device)
    logits = logits.float().requires_grad_()
    loss = reweighted_cross_entropy(logits, targets, weight.float())
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    kept = first.clone()
    first.zero_()
    (second,) = torch.autograd.grad(loss, logits)
    assert torch.equal(second, kept)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, logits)


def test_logits_changed_before_the_backward_pass_are_noticed(device: torch.device) -> None:
    logits, targets, _ = example(6, 5, device)
    leaf = logits.clone().requires_grad_()
    scores = leaf * 1.0
    loss = reweighted_cross_entropy(scores, targets)
    scores.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_second_derivative_is_refused(device: torch.device, reduction: Reduction) -> None:
    logits, targets, weight = example(6, 5, device)
    logits.requires_grad_()
    loss = reweighted_cross_entropy(logits, targets, weight, reduction=reduction).sum()
    with pytest.raises(RuntimeError, match=r"differentiable once.*create_graph"):
        torch.autograd.grad(loss, logits, create_graph=True)


def test_inputs_are_not_written_and_may_have_any_strides(device: torch.device) -> None:
    logits, targets, weight = example(24, 40, device)
    before = [tensor.clone() for tensor in (logits, targets, weight)]
    views = (logits.t()[::2].t()[::2], targets[::2] % 20, weight[::2])
    got = gradients(reweighted_cross_entropy, *views)
    wanted = gradients(reweighted_cross_entropy, *(view.contiguous() for view in views))
    for a, b in zip(got, wanted, strict=True):
        assert torch.equal(a, b)
    for tensor, copy in zip((logits, targets, weight), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.usefixtures("num_threads")
def test_the_number_of_threads_changes_nothing() -> None:
    logits, targets, weight = example(64, 3000, torch.device("cpu"))
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(gradients(reweighted_cross_entropy, logits, targets, weight))
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize("target", [-1, 30, 2**40])
def test_a_target_out_of_range_is_refused_on_the_cpu(target: int) -> None:
    logits, targets, _ = example(10, 30, torch.device("cpu"))
    targets[6] = target
    with pytest.raises(IndexError, match=rf"\[0, 30\).*got {target} in row 6"):
        reweighted_cross_entropy(logits, targets)


@pytest.mark.cuda
def test_a_target_out_of_range_makes_its_row_nan_on_cuda() -> None:
    if not build_info()["gpu_usable"]:
        pytest.skip("no CUDA device, or atjt_ext was built without CUDA kernels")
    logits, targets, weight = example(10, 30, torch.device("cuda"))
    targets[6] = 30
    loss, grad_logits, _ = gradients(
        reweighted_cross_entropy, logits, targets, weight, reduction="none"
    )
    assert loss.isnan().nonzero().tolist() == [[6]]
    assert grad_logits.isnan().any(dim=1).nonzero().tolist() == [[6]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reduction": "avg"}, "reduction must be one of"),
        ({"logits": torch.zeros(4)}, r"logits must be \[N, V\], got shape \(4,\)"),
        ({"logits": torch.zeros(4, 3).half()}, "got torch.float16"),
        ({"targets": torch.zeros(3).long()}, r"targets must be \[4\], got shape \(3,\)"),
        ({"targets": torch.zeros(4).int()}, "targets must be int64, got torch.int32"),
        ({"sample_weight": torch.zeros(4, 1)}, r"sample_weight must be \[4\]"),
        ({"sample_weight": torch.zeros(4).long()}, "sample_weight must be floating point"),
        ({"targets": torch.zeros(4, device="meta").long()}, "targets must be on cpu"),
        ({"sample_weight": torch.zeros(4, device="meta")}, "sample_weight must be on cpu"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"logits": torch.zeros(4, 3), "targets": torch.zeros(4).long()}
    with pytest.raises(ValueError, match=message):
        reweighted_cross_entropy(**right | change)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_a_large_offset_of_the_logits_costs_the_gradient_nothing(
    device: torch.device, reduction: Reduction, offset: float
) -> None:
    torch.manual_seed(0)
    logits = (3 * torch.randn(8, 100) + offset).to(device).requires_grad_()
    targets = torch.randint(100, (8,), device=device)
    exact = logits.detach().double().requires_grad_()
    reweighted_cross_entropy(logits, targets, reduction=reduction).sum().backward()
    torch.nn.functional.cross_entropy(exact, targets, reduction="sum").backward()
    assert logits.grad is not None
    assert exact.grad is not None
    assert float((logits.grad - exact.grad).abs().max()) < 1e-6


def test_the_operators_are_registered_correctly(device: torch.device) -> None:
    logits, targets, weight = example(6, 5, device)
    logits, weight = logits.float(), weight.float()
    ops = torch.ops.atjt_ext
    torch.library.opcheck(ops._cross_entropy_forward.default, (logits, targets, -100))
    torch.library.opcheck(
        ops._cross_entropy_forward_with_gradient.default, (logits, targets, weight, -100)
    )


# torch.compile imports parts of torch that torch itself has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_it_compiles_without_a_graph_break(device: torch.device, reduction: Reduction) -> None:
    arguments = example(6, 50, device)
    compiled = torch.compile(reweighted_cross_entropy, fullgraph=True)
    got = gradients(compiled, *arguments, reduction=reduction)
    wanted = gradients(reweighted_cross_entropy, *arguments, reduction=reduction)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)
