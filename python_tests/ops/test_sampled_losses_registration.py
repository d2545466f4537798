"""Losses over sampled negatives: memory, sparse gradients, torch.compile, modules, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import emulator
from atjt_ext import SampledBinaryCrossEntropyLoss, SampledCrossEntropyLoss
from atjt_ext.ops import sampled_binary_cross_entropy, sampled_cross_entropy
from helpers.operators import COMPILES, Operators, assert_all_close, assert_all_equal, compiled
from helpers.sampled_rows import (
    BOTH,
    DEFINITIONS,
    ITEMS,
    SHARED,
    embeddings,
    example,
    gradients,
    items_of,
)

# ---- memory, sparse gradients, compile ----------------------------------------------------------


@BOTH
def test_nothing_of_the_size_of_the_embeddings_is_made(device: torch.device, ours: Any) -> None:
    rows, items, width, k = 50, 60, 64, 40
    hidden, table = (t.float() for t in embeddings(rows, items, width, device))
    arguments = (
        hidden, table, items_of((rows,), items, device), items_of((rows, k), items, device),
        torch.ones(rows, device=device),
    )  # fmt: skip
    sizes = []
    for function in (ours, DEFINITIONS[ours]):
        with Operators() as operators:
            gradients(function, arguments)
        sizes.append(operators.elements)
    assert sizes[0] <= max(rows, items, k + 1) * width
    assert sizes[1] == rows * k * width


@SHARED
@BOTH
def test_the_sparse_gradient_is_the_dense_one(
    device: torch.device, ours: Any, shared: bool
) -> None:
    arguments = example(device, shared=shared)
    dense = gradients(ours, arguments)
    sparse = gradients(ours, arguments, sparse_gradient=True)
    assert sparse[2].is_sparse
    assert_all_close((*sparse[:2], sparse[2].to_dense(), sparse[3]), dense)


@COMPILES
@SHARED
@BOTH
def test_they_compile_without_a_graph_break(device: torch.device, ours: Any, shared: bool) -> None:
    arguments = example(device, shared=shared)
    traced = compiled(ours)
    assert_all_close(gradients(traced, arguments), gradients(ours, arguments))


@BOTH
def test_the_same_bits_every_time(device: torch.device, ours: Any) -> None:
    arguments = example(device, rows=60)
    arguments = (arguments[0].float(), arguments[1].float(), *arguments[2:])
    wanted = gradients(ours, arguments)
    for _ in range(3):
        assert_all_equal(gradients(ours, arguments), wanted)


# ---- modules, refusals --------------------------------------------------------------------------


def test_modules_hand_their_options_on(device: torch.device) -> None:
    arguments = example(device)
    options: dict[str, Any] = {
        "mask_accidental_hits": False, "temperature": 0.7, "ignore_index": 3, "reduction": "sum",
        "sparse_gradient": True,
    }  # fmt: skip
    arguments = (*arguments[:2], *(t.clamp(min=0) for t in arguments[2:4]), arguments[4])
    softmax = SampledCrossEntropyLoss(**options)(*arguments, negative_log_probs=-1.5)
    wanted = sampled_cross_entropy(*arguments, negative_log_probs=-1.5, **options)
    assert torch.equal(softmax, wanted)
    binary = SampledBinaryCrossEntropyLoss(beta=0.4, **options)(*arguments)
    assert torch.equal(binary, sampled_binary_cross_entropy(*arguments, beta=0.4, **options))
    default = SampledCrossEntropyLoss()(*arguments)
    assert torch.equal(default, sampled_cross_entropy(*arguments, reduction="weighted_mean"))
    assert "beta=0.4, mask_accidental_hits=False, temperature=0.7" in repr(
        SampledBinaryCrossEntropyLoss(beta=0.4, **options)
    )
    assert "t=0.75, num_items=50" in repr(SampledBinaryCrossEntropyLoss(t=0.75, num_items=50))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "avg"}, "reduction must be none, sum, mean or weighted_mean, got 'avg'"),
        ({"temperature": 0.0}, "temperature must be finite and above 0, got 0.0"),
        ({"beta": -1.0}, "beta must be positive and finite, got -1.0"),
        ({"t": 0.5}, "t and num_items go together, got t=0.5, num_items=None"),
        ({"t": 1.5, "num_items": 9}, r"t must be in \[0, 1\], got 1.5"),
        ({"t": 0.5, "num_items": 9, "beta": 0.5}, "at most one of beta and t may be given"),
    ],
)
def test_wrong_options_of_a_module_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SampledBinaryCrossEntropyLoss(**options)


@BOTH
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": torch.zeros(4)}, r"hidden must be \[N, D\]"),
        ({"item_embeddings": torch.zeros(5, 2)}, r"item_embeddings must be \[V, 3\]"),
        ({"targets": torch.zeros(3).long()}, r"targets must be \[4\], got shape \(3,\)"),
        ({"targets": torch.zeros(4).int()}, "targets must be int64, got torch.int32"),
        ({"negatives": torch.zeros(3, 2).long()}, r"negatives must be \[4, k\], or \[k\] for all"),
        ({"negatives": torch.zeros(4, 2).int()}, "negatives must be int64, got torch.int32"),
        ({"negatives": torch.zeros(2, device="meta").long()}, "negatives must be on cpu"),
        ({"sample_weight": torch.zeros(4, 1)}, r"sample_weight must be \[4\]"),
        ({"temperature": float("nan")}, "temperature must be finite and above 0, got nan"),
        ({"reduction": "avg"}, "reduction must be none, sum"),
    ],
)
def test_wrong_arguments_are_refused(ours: Any, change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {
        "hidden": torch.zeros(4, 3),
        "item_embeddings": torch.zeros(5, 3),
        "targets": torch.zeros(4).long(),
        "negatives": torch.ones(4, 2).long(),
    }
    with pytest.raises(ValueError, match=message):
        ours(**right | change)


@pytest.mark.parametrize(
    ("log_probs", "message"),
    [
        (torch.zeros(3), r"negative_log_probs must be \[20, 7\] like negatives, or \[7\], got"),
        (torch.zeros(7).long(), "negative_log_probs must be floating point, got torch.int64"),
        (torch.zeros(7, device="meta"), "negative_log_probs must be on cpu, got meta"),
    ],
)
def test_wrong_log_probabilities_are_refused(log_probs: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampled_cross_entropy(*example(torch.device("cpu")), negative_log_probs=log_probs)


@pytest.mark.parametrize("which", ["targets", "negatives"])
@BOTH
def test_an_item_out_of_range(device: torch.device, ours: Any, which: str) -> None:
    hidden, table, targets, negatives, _ = example(device)
    (targets if which == "targets" else negatives)[2, ...] = ITEMS
    if emulator.runs_cuda_kernels(device):
        losses = ours(hidden, table, targets, negatives, reduction="none")
        assert losses.isnan().nonzero().tolist() == [[2]]
    else:
        with pytest.raises(IndexError, match=rf"must be in \[0, {ITEMS}\) .* in row 2"):
            ours(hidden, table, targets, negatives)
