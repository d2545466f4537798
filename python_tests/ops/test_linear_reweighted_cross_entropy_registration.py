"""linear_reweighted_cross_entropy: operators, tracing, fake tensors, refused arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import emulator
from atjt_ext import LinearReweightedCrossEntropyLoss
from atjt_ext.ops import Reduction
from atjt_ext.ops import linear_reweighted_cross_entropy as linear_loss
from atjt_ext.ops._linear_losses import _allow_tf32
from helpers.linear_rows import example, finest, ours, results
from helpers.operators import (
    COMPILES,
    arithmetic,
    assert_all_close,
    assert_all_equal,
    compiled,
    skip_without_kernel,
)
from helpers.weighted_rows import DTYPES, REDUCTIONS


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_operators_are_registered_correctly(
    device: torch.device, dtype: torch.dtype, with_bias: bool
) -> None:
    skip_without_kernel(device, dtype)
    hidden, table, targets, weight, given = example(6, 5, 3, device).to(dtype)
    bias = given if with_bias else None
    ops = torch.ops.atjt_ext
    for mean_embedding in (False, True):
        arguments = (hidden, table, bias, targets, -100, 0.5, mean_embedding)
        torch.library.opcheck(ops._linear_cross_entropy.default, arguments)
        found = ops._linear_cross_entropy(*arguments)
    _, origins, sums, mean = found
    factors = torch.where(targets == -100, 0, weight)
    for in_arithmetic in (False, True):
        logits = (hidden, table, bias, targets, origins, sums)
        torch.library.opcheck(
            ops._linear_cross_entropy_table_gradient.default,
            (*logits, factors, factors, mean[0], 0.5, in_arithmetic, with_bias),
        )


@COMPILES
@pytest.mark.parametrize(
    ("backend", "reduction"),
    [("inductor", "weighted_mean"), *(("aot_eager", reduction) for reduction in REDUCTIONS)],
)
def test_it_compiles_without_a_graph_break(
    device: torch.device, reduction: Reduction, backend: str
) -> None:
    rows = example(6, 50, 3, device).to(finest(device))
    traced = compiled(linear_loss, backend)
    for options in ({}, {"label_smoothing": 0.1, "z_loss": 0.01, "temperature": 0.5}):
        wanted = ours(rows, reduction=reduction, **options)
        assert_all_close(results(traced, rows, reduction=reduction, **options), wanted)


@COMPILES
def test_it_compiles_under_autocast_and_without_gradients(device: torch.device) -> None:
    hidden, table, targets, weight, _ = example(6, 50, 3, device).to(torch.float32)
    traced = compiled(linear_loss)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        got = traced(hidden, table, targets, weight)
        wanted = linear_loss(hidden, table, targets, weight)
    torch.testing.assert_close(got, wanted)
    assert not torch.equal(got, linear_loss(hidden, table, targets, weight))


@COMPILES
def test_the_module_compiles_for_any_number_of_rows(device: torch.device) -> None:
    criterion = LinearReweightedCrossEntropyLoss(label_smoothing=0.1)
    traced = compiled(criterion, dynamic=True)
    for rows in (3, 7, 12):
        hidden, table, targets, weight, bias = example(rows, 50, 3, device).to(torch.float32)
        arguments = (hidden.requires_grad_(), table, targets, weight, bias)
        (got,) = torch.autograd.grad(traced(*arguments), hidden)
        (wanted,) = torch.autograd.grad(criterion(*arguments), hidden)
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_fake_tensors_go_through_both_passes(reduction: Reduction, dtype: torch.dtype) -> None:
    single = arithmetic(dtype)
    with FakeTensorMode():
        hidden = torch.randn(6, 3).to(dtype).requires_grad_()
        table = torch.randn(50, 3).to(single).requires_grad_()
        weight, bias = torch.rand(6).requires_grad_(), torch.rand(50).requires_grad_()
        loss, lse = linear_loss(
            *(hidden, table, torch.zeros(6).long(), weight),
            bias=bias,
            reduction=reduction,
            label_smoothing=0.1,
            return_lse=True,
        )
        assert loss.shape == ((6,) if reduction == "none" else ())
        assert (loss.dtype, lse.dtype) == (single, single)
        (loss.sum() + lse.sum()).backward()
        for leaf in (hidden, table, weight, bias):
            assert leaf.grad is not None
            assert (leaf.grad.shape, leaf.grad.dtype) == (leaf.shape, leaf.dtype)


@pytest.mark.cuda
@pytest.mark.usefixtures("cuda_kernels")
def test_a_step_is_captured_in_a_cuda_graph() -> None:
    device = torch.device("cuda")
    hidden, table, targets, weight, _ = example(40, 300, 16, device).to(torch.float32)
    hidden.requires_grad_()
    table.requires_grad_()

    def step() -> tuple[torch.Tensor, ...]:
        loss = linear_loss(hidden, table, targets, weight, label_smoothing=0.1)
        return (loss.detach(), *torch.autograd.grad(loss, (hidden, table)))

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    # Another number of rows counts now; the graph must not have recorded the number.
    targets.copy_(torch.where(torch.arange(40, device=device) % 3 == 0, -100, 7))
    graph.replay()
    assert_all_equal(captured, step())


def test_tf32_is_allowed_where_torch_allows_it() -> None:
    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, "fp32_precision"):  # before torch 2.9
        for allowed in (True, False):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(matmul, "allow_tf32", allowed)
                assert _allow_tf32() is allowed
        return
    before = matmul.fp32_precision
    try:
        for precision, allowed in (("tf32", True), ("ieee", False), ("none", False)):
            matmul.fp32_precision = precision
            assert _allow_tf32() is allowed
        matmul.fp32_precision = "none"
        matmul.allow_tf32 = True
        assert _allow_tf32() is True
        matmul.allow_tf32 = False
        assert _allow_tf32() is False
    finally:
        matmul.fp32_precision = before


RIGHT: dict[str, Any] = {
    "hidden": torch.zeros(4, 3),
    "item_embeddings": torch.zeros(5, 3),
    "targets": torch.zeros(4).long(),
}
META = torch.device("meta")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reduction": "avg"}, "reduction must be none, sum"),
        ({"label_smoothing": -0.1}, r"label_smoothing must be in \[0, 1\], got -0.1"),
        ({"temperature": 0.0}, "temperature must be finite and above 0, got 0.0"),
        ({"temperature": float("inf")}, "temperature must be finite and above 0, got inf"),
        ({"temperature": float("nan")}, "temperature must be finite and above 0, got nan"),
        ({"temperature": 1e-39}, "temperature must be at least 1.17.*, got 1e-39"),
        ({"z_loss": -1.0}, "z_loss must be finite and at least 0, got -1.0"),
        ({"z_loss": float("nan")}, "z_loss must be finite and at least 0, got nan"),
        ({"hidden": torch.zeros(4, 3).int()}, "hidden must be one of .*, got torch.int32"),
        ({"hidden": torch.zeros(())}, r"hidden must be \[..., D\] with D >= 1, got shape \(\)"),
        ({"hidden": torch.zeros(4, 0)}, r"hidden must be \[..., D\] with D >= 1"),
        (
            {"item_embeddings": torch.zeros(5, 4)},
            r"item_embeddings must be \[V, 3\], as wide as hidden",
        ),
        ({"item_embeddings": torch.zeros(3)}, r"item_embeddings must be .*got shape \(3,\)"),
        ({"item_embeddings": torch.zeros(0, 3)}, r"item_embeddings must be .*got shape \(0, 3\)"),
        ({"item_embeddings": torch.zeros(5, 3).int()}, "item_embeddings must be one of"),
        (
            {"item_embeddings": torch.zeros(5, 3).half()},
            "item_embeddings must be torch.float32 like hidden.*got torch.float16",
        ),
        (
            {"hidden": torch.zeros(4, 3).half(), "item_embeddings": torch.zeros(5, 3).bfloat16()},
            "item_embeddings must be torch.float16 like hidden.*got torch.bfloat16",
        ),
        ({"item_embeddings": torch.zeros(5, 3, device=META)}, "item_embeddings must be on cpu"),
        ({"targets": torch.zeros(3).long()}, r"targets must be \[4\], got shape \(3,\)"),
        ({"targets": torch.zeros(4).int()}, "targets must be int64, got torch.int32"),
        ({"targets": torch.zeros(4, device=META).long()}, "targets must be on cpu"),
        ({"sample_weight": torch.zeros(4, 1)}, r"sample_weight must be \[4\]"),
        ({"sample_weight": torch.zeros(4).long()}, "sample_weight must be floating point"),
        ({"sample_weight": torch.zeros(4, device=META)}, "sample_weight must be on cpu"),
        ({"bias": torch.zeros(4)}, r"bias must be \[5\], got shape \(4,\)"),
        ({"bias": torch.zeros(5).long()}, "bias must be floating point, got torch.int64"),
        ({"bias": torch.zeros(5, device=META)}, "bias must be on cpu, got meta"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    linear_loss(**RIGHT)
    with pytest.raises(ValueError, match=message):
        linear_loss(**RIGHT | change)


@pytest.mark.emulator
def test_what_the_gpu_cannot_do_is_refused_by_name() -> None:
    with emulator.emulated_cuda():
        with pytest.raises(ValueError, match=r"width of hidden must be in \[1, 256\], got 257"):
            linear_loss(torch.zeros(2, 257), torch.zeros(3, 257), torch.zeros(2).long())
        with pytest.raises(ValueError, match="on CUDA, got float64"):
            linear_loss(
                torch.zeros(2, 3).double(), torch.zeros(3, 3).double(), torch.zeros(2).long()
            )
