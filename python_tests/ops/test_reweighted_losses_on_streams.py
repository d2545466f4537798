"""The losses beside a GPU's own time: no waiting for it, and CUDA graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from atjt_ext import build_info
from atjt_ext.ops import Reduction, reweighted_binary_cross_entropy, reweighted_cross_entropy
from helpers.weighted_rows import REDUCTIONS, example

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def _gpu() -> None:
    if not (torch.cuda.is_available() and build_info()["gpu_usable"]):
        pytest.skip("needs a CUDA device and a build with CUDA kernels")


@pytest.fixture
def syncs_are_errors() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode(before)


def arguments(loss: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    logits, targets, weight = example(40, 3001, torch.device("cuda"), dtype=dtype)
    if loss is reweighted_binary_cross_entropy:
        targets = logits > 1
    return logits.to(dtype), targets, weight.float()


def step(
    loss: Any, leaf: Tensor, targets: Tensor, weight: Tensor, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Forward and backward pass."""
    value = loss(leaf * 1, targets, weight, label_smoothing=0.1, **options)
    return value.detach(), *torch.autograd.grad(value.sum(), (leaf, weight))


@pytest.mark.parametrize("inplace_gradient", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("loss", [reweighted_cross_entropy, reweighted_binary_cross_entropy])
def test_the_host_waits_for_nothing(
    request: pytest.FixtureRequest,
    loss: Any,
    reduction: Reduction,
    dtype: torch.dtype,
    inplace_gradient: bool,
) -> None:
    logits, targets, weight = arguments(loss, dtype)
    leaf, weight = logits.requires_grad_(), weight.requires_grad_()
    options: Any = {"reduction": reduction, "inplace_gradient": inplace_gradient}
    step(loss, leaf, targets, weight, **options)  # whatever a first call sets up
    request.getfixturevalue("syncs_are_errors")
    step(loss, leaf, targets, weight, **options)


@pytest.mark.parametrize("inplace_gradient", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("loss", [reweighted_cross_entropy, reweighted_binary_cross_entropy])
def test_a_replayed_cuda_graph_computes_anew(
    loss: Any, dtype: torch.dtype, inplace_gradient: bool
) -> None:
    logits, targets, weight = arguments(loss, dtype)
    leaf, leaf_weight = logits.clone().requires_grad_(), weight.clone().requires_grad_()
    options: Any = {"reduction": "weighted_mean", "inplace_gradient": inplace_gradient}
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # autograd and allocator have to have seen a stream that is not 0
        for _ in range(3):
            step(loss, leaf, targets, leaf_weight, **options)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(loss, leaf, targets, leaf_weight, **options)
    for factor in (1.0, 0.5):
        with torch.no_grad():
            leaf.copy_(logits * factor)
            leaf_weight.copy_(weight.flip(0) * factor)
        graph.replay()
        wanted = step(loss, leaf, targets, leaf_weight, **options)
        for got, exact in zip(captured, wanted, strict=True):
            assert torch.equal(got, exact)
