"""No number reaches memory unchecked: what the functions of ``_C`` and the operators refuse.

``python_tests/fuzz/test_native_calls.py`` tries other numbers, also under sanitizers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import emulator
from atjt_ext import _C
from atjt_ext.ops import _row_losses, reweighted_cross_entropy
from helpers.native_calls import MAKERS, right_call

WITH_THREADS = [f for f in MAKERS if "num_threads" in MAKERS[f](np.random.default_rng(0))]
BEYOND = [-1, 6, 2**40, -(2**63), 2**63 - 1]


def arguments(function: str, **changes: Any) -> dict[str, Any]:
    """Of the first right call that has rows."""
    for seed in range(100):
        call = right_call(function, np.random.default_rng(seed)).arguments
        sizes = [one.numel() for one in call.values() if isinstance(one, torch.Tensor)]
        if all(sizes):
            return call | changes
    raise AssertionError(f"no call of {function} has elements everywhere")


@pytest.mark.parametrize("number", [0, -1, -(2**63)])
@pytest.mark.parametrize("function", WITH_THREADS)
def test_a_number_of_threads_below_one_is_refused(function: str, number: int) -> None:
    with pytest.raises(ValueError, match=f"num_threads must be at least 1, got {number}"):
        getattr(_C, function)(**arguments(function, num_threads=number))


@pytest.mark.parametrize("function", WITH_THREADS)
def test_any_number_of_threads_can_be_asked_for(function: str) -> None:
    getattr(_C, function)(**arguments(function, num_threads=2**63 - 1))


NO_AMOUNT = dict.fromkeys(
    [
        *("sequence_fraction", "sequence_probability"),
        *("num_replacements", "replace_ratio", "replace_probability"),
    ]
)


@pytest.mark.parametrize("number", [3.0, 1 + 1e-9, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["sequence_fraction", "sequence_probability", "replace_ratio", "replace_probability"]
)
def test_a_share_outside_of_0_to_1_is_refused(
    device: torch.device, name: str, number: float
) -> None:
    amounts = NO_AMOUNT | {"replace_ratio": 0.5} | {name: number}
    if name == "replace_probability":
        amounts["replace_ratio"] = None
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\], got"):
        _row_losses._C.random_replacement(**arguments("random_replacement", **amounts))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_replacements": -1}, "num_replacements must be at least 0, got -1"),
        ({"num_replacements": 1, "replace_ratio": 0.5}, "exactly one of num_replacements"),
        ({}, "exactly one of num_replacements"),
        (
            {"replace_ratio": 0.5, "sequence_fraction": 1.0, "sequence_probability": 1.0},
            "at most one of sequence_fraction and sequence_probability",
        ),
        ({"replace_ratio": 0.5, "padding_idx": 1}, "padding_idx must not be an item in 1.."),
        ({"replace_ratio": 0.5, "step": 2**32}, r"step must be in \[0, 4294967295\]"),
        ({"replace_ratio": 0.5, "num_targets": -1}, "num_targets must be at least 0, got -1"),
        ({"replace_ratio": 0.5, "num_items": 2**31}, "num_items must be in"),
    ],
)
def test_other_numbers_of_random_replacement(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _C.random_replacement(**arguments("random_replacement", **NO_AMOUNT | changes))


def test_the_only_item_cannot_be_replaced() -> None:
    # Item 2 would be drawn, and its feature read behind the table.
    changes = {
        "num_items": 1, "alias_table": None, "features": [], "feature_tables": [],
        "features_out": [], "replace_ratio": 1.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="num_items must be at least 2"):
        _C.random_replacement(**arguments("random_replacement", **NO_AMOUNT | changes))


def test_a_padding_beyond_the_dtype_is_refused() -> None:
    changes = {"replace_ratio": 0.5, "padding_idx": 2**40}
    call = arguments("random_replacement", **NO_AMOUNT | changes)
    for name in ("sequences", "out"):
        call[name] = call[name].int()
    with pytest.raises(ValueError, match=r"padding_idx must be in \[-2147483648, 2147483647\]"):
        _C.random_replacement(**call)


def table_gradient(order: list[int], slots: list[int], **changes: Any) -> torch.Tensor:
    grad_table = torch.zeros(3, 4)
    call = {
        "hidden": torch.ones(3, 4), "grad_scores": torch.ones(3, 2),
        "order": torch.tensor(order), "slots": torch.tensor(slots), "grad_table": grad_table,
        "parts": torch.zeros(2, 4), "num_threads": 1,
    }  # fmt: skip
    _row_losses._C.candidate_table_gradient(**call | changes)
    return grad_table


@pytest.mark.parametrize("pair", BEYOND)
def test_pairs_that_do_not_exist(device: torch.device, pair: int) -> None:
    order, slots = [0, pair, 5], [0, 0, 1]
    if emulator.runs_cuda_kernels(device):  # left out: a check would stall the device
        assert table_gradient(order, slots)[:2].tolist() == [[1.0] * 4] * 2
        return
    with pytest.raises(IndexError, match=rf"order must be in \[0, 6\), got {pair} at 1"):
        table_gradient(order, slots)


def test_slots_that_descend_are_refused() -> None:
    with pytest.raises(ValueError, match="slots must be ascending, got 0 after 1 at 2"):
        table_gradient([0, 1, 2], [0, 1, 0])


def test_pairs_without_scores_are_refused(device: torch.device) -> None:
    with pytest.raises(ValueError, match="order must be empty like grad_scores, got 1 pairs"):
        table_gradient([0], [0], grad_scores=torch.zeros(3, 0))


@pytest.mark.parametrize("pairs", [-1, 2**63 - 1])
def test_a_number_of_pairs_that_overflows_is_refused(pairs: int) -> None:
    with pytest.raises(ValueError, match="pairs must be in"):
        _C.candidate_parts(pairs)


@pytest.mark.parametrize("counted", [-1, 7, 2**40])
def test_more_rows_than_there_are_cannot_count(counted: int) -> None:
    hidden, table, targets = torch.ones(6, 4), torch.ones(5, 4), torch.zeros(6).long()
    outputs = {name: torch.zeros(6) for name in ("losses", "origins", "sums")}
    with pytest.raises(ValueError, match=rf"rows_counted must be in \[0, 6\], got {counted}"):
        _C.linear_cross_entropy(
            hidden, table, targets, bias=None, rows_counted=torch.tensor(counted), scale=1.0,
            allow_tf32=False, mean_embedding=None, workspace=None, num_threads=1, **outputs,
        )  # fmt: skip


@pytest.mark.parametrize("classes", [0, -1, 2**31, 2**63 - 1])
def test_a_workspace_for_an_impossible_catalogue_is_refused(classes: int) -> None:
    with pytest.raises(ValueError, match="classes must be in"):
        _C.linear_cross_entropy_workspace(torch.ones(6, 4), classes)


def test_sizes_without_memory_do_not_overflow() -> None:
    nothing = torch.zeros(1, 0).expand(2**62, 0)
    _C.candidate_hidden_gradient(
        nothing, nothing.long(), nothing, grad_hidden=nothing, ignore_index=0, num_threads=1
    )
    endless = torch.zeros(1, 1).expand(2**30, 2**30)
    with pytest.raises(ValueError, match="gradient must be smaller than"):
        _C.scale_gradient(endless, torch.tensor(2.0), num_threads=1)


# ---- memory -------------------------------------------------------------------------------------


def losses(logits: Any, targets: Any, into: Any, **changes: Any) -> None:
    options: dict[str, Any] = {"row_scale": None, "grad_logits": None, "num_threads": 1}
    _C.reweighted_cross_entropy(
        logits, targets, losses=into, ignore_index=-100, label_smoothing=0.0, **options | changes
    )


def test_an_output_that_overlaps_an_input_is_refused() -> None:
    # A loss would be written over a target after the check of the targets.
    targets = np.zeros(3, np.int64)
    with pytest.raises(ValueError, match="losses must not overlap targets in memory"):
        losses(np.zeros((3, 4), np.float32), targets, targets.view(np.float32)[:3])


def test_the_gradient_may_replace_all_of_the_logits_only() -> None:
    memory, targets = torch.randn(4, 3), torch.zeros(3).long()
    scale, into = torch.ones(3), torch.zeros(3)
    wanted = memory[:3].softmax(1) - torch.eye(3)[:1]
    logits = memory[:3].clone()
    losses(logits, targets, into, row_scale=scale, grad_logits=logits)
    torch.testing.assert_close(logits, wanted)
    with pytest.raises(ValueError, match="grad_logits must not overlap logits in memory"):
        losses(memory[:3], targets, into, row_scale=scale, grad_logits=memory[1:])


def test_read_only_arrays_are_read_and_never_written() -> None:
    logits, into = np.ones((3, 4), np.float32), np.zeros(3, np.float32)
    logits.flags.writeable = False
    losses(logits, np.zeros(3, np.int64), into)
    assert into.all()
    into.flags.writeable = False
    before = into.copy()
    with pytest.raises(ValueError, match="losses must be writable, got read-only memory"):
        losses(logits, np.zeros(3, np.int64), into)
    np.testing.assert_array_equal(into, before)


def test_memory_that_is_not_aligned_is_refused() -> None:
    raw = np.zeros(49, np.uint8)
    off = raw[(1 - raw.ctypes.data) % 4 :][:48]  # one byte behind a multiple of four
    with pytest.raises(ValueError, match="logits must be aligned to 4 bytes, got an address 1"):
        losses(off.view(np.float32).reshape(3, 4), np.zeros(3, np.int64), np.zeros(3, np.float32))


def test_a_tensor_without_memory_is_refused_in_one_line() -> None:
    with pytest.raises((BufferError, RuntimeError)) as caught:
        losses(torch.zeros(3, 4, device="meta"), torch.zeros(3).long(), torch.zeros(3))
    assert "\n" not in str(caught.value)


# ---- operators ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [3.0, -1.0, float("nan")])
def test_the_operators_refuse_the_same_numbers(ratio: float) -> None:
    replace = torch.ops.atjt_ext._random_replacement
    sequences = torch.randint(1, 5, (3, 4))
    amounts = (0.5, None, None, ratio, None)
    with pytest.raises(ValueError, match="replace_ratio must be in"):
        replace(sequences, None, None, [], [], 5, 0, 0, *amounts, False, 0, 0, None, None)
    logits, targets = torch.zeros(3, 4), torch.zeros(3).long()
    with pytest.raises(ValueError, match="label_smoothing must be in"):
        torch.ops.atjt_ext._reweighted_cross_entropy(logits, targets, -100, ratio)


@pytest.mark.parametrize("pair", BEYOND)
def test_the_operator_of_the_gradient_refuses_pairs(pair: int) -> None:
    gradient = torch.ops.atjt_ext._candidate_table_gradient
    hidden, scores = torch.randn(3, 4), torch.randn(3, 2)
    with pytest.raises(IndexError, match="order must be in"):
        gradient(hidden, scores, torch.full((6,), pair), torch.arange(6), 6)
    beyond = gradient(hidden, scores, torch.arange(6), torch.full((6,), pair), 6)
    assert beyond.isfinite().all()


@pytest.mark.parametrize("ignored", [-(2**63), 2**63 - 1, 0])
def test_any_ignored_index_is_taken(device: torch.device, ignored: int) -> None:
    logits, targets = torch.zeros(3, 4).to(device), torch.tensor([1, ignored, 2]).to(device)
    loss = reweighted_cross_entropy(logits, targets, ignore_index=ignored, reduction="none")
    assert loss.tolist() == pytest.approx([1.3863, 0.0, 1.3863], abs=1e-4)
