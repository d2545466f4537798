"""random_replacement: refused arguments and their messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from atjt_ext import _C
from atjt_ext.ops import random_replacement
from helpers.replacement import assert_same, padded_sequences

FEATURES = {"features": [torch.zeros(2, 3)], "feature_tables": [torch.zeros(6)]}


@pytest.mark.parametrize("where", [30, 199])
@pytest.mark.parametrize("bad", [51, -3, 2**40])
def test_an_id_outside_the_catalogue_is_refused_on_the_cpu(bad: int, where: int) -> None:
    sequences = padded_sequences(300, 200, num_items=50)
    sequences[170, where] = bad
    with pytest.raises(
        ValueError, match=rf"1\.\.50 or padding_idx = 0, got {bad} at \[170, {where}\]"
    ):
        random_replacement(sequences, num_items=50, seed=0, replace_ratio=0.1, num_targets=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_items": 0}, "num_items must be in"),
        ({"num_items": 2**31}, "num_items must be in"),
        ({"num_items": 1}, "num_items must be at least 2"),
        ({"seed": -1}, "seed must be in"),
        ({"seed": 2**64}, "seed must be in"),
        ({"step": 2**32}, "step must be in"),
        ({"sequence_fraction": 1.5}, "sequence_fraction must be in"),
        ({"sequence_fraction": float("nan")}, "sequence_fraction must be in"),
        ({"replace_ratio": -0.1}, "replace_ratio must be in"),
        ({"sequence_probability": -0.5}, "sequence_probability must be in"),
        ({"sequence_probability": float("nan")}, "sequence_probability must be in"),
        (
            {"sequence_fraction": 0.5, "sequence_probability": 0.5},
            "at most one of sequence_fraction and .* may be given, got sequence_fraction=0.5",
        ),
        ({"replace_ratio": None, "replace_probability": 1.1}, "replace_probability must be in"),
        (
            {"replace_ratio": None},
            "exactly one of num_replacements, replace_ratio and replace_probability",
        ),
        ({"num_replacements": 1}, "exactly one of .* got num_replacements=1, replace_ratio=0.5"),
        ({"replace_probability": 1.0}, "exactly one of .*replace_probability=1.0"),
        ({"num_targets": -1}, "num_targets must be >= 0"),
        ({"replace_ratio": None, "num_replacements": -1}, "num_replacements must be >= 0"),
        ({"padding_idx": 3}, r"padding_idx must be in .* and outside 1\.\.5, got 3"),
        ({"row_keys": torch.zeros(3, dtype=torch.int64)}, r"row_keys must be \[2\]"),
        ({"row_keys": torch.zeros(2)}, "row_keys must be int64"),
        ({"row_keys": torch.zeros(2).long().to("meta")}, "row_keys must be on cpu, got meta"),
        ({"alias_table": torch.zeros(4, dtype=torch.int64)}, r"alias_table must be \[5\], got"),
        ({"alias_table": torch.zeros(5)}, "alias_table must be int64, got torch.float32"),
        ({"seed": torch.zeros(1, dtype=torch.int64)}, "seed must be a number or 0-d int64"),
        ({"seed": torch.tensor(1.0)}, r"seed must be .* got shape \(\), torch.float32 on cpu"),
        ({"step": torch.tensor(1, device="meta")}, "step must be .* on cpu, got .* on meta"),
        ({"features": [torch.zeros(2, 3)]}, "a table for each of the 1 features, got 0"),
        ({"feature_tables": [torch.zeros(6)]}, "a table for each of the 0 features, got 1"),
        (FEATURES | {"features": [torch.zeros(2, 2)]}, r"features\[0\] must be \[2, 3\], got"),
        (FEATURES | {"features": [torch.zeros(2, 3).half()]}, r"features\[0\] must be int32, int"),
        (FEATURES | {"feature_tables": [torch.zeros(5)]}, r"feature_tables\[0\] must be \[6\]"),
        (
            FEATURES | {"feature_tables": [torch.zeros(6).int()]},
            r"feature_tables\[0\] must be torch.float32 like features\[0\], got torch.int32",
        ),
        (
            {"features": [torch.zeros(2, 3)] * 65, "feature_tables": [torch.zeros(6)] * 65},
            "features must hold at most 64 columns, got 65",
        ),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    sequences = torch.ones(2, 3, dtype=torch.int64)
    right: dict[str, Any] = dict(num_items=5, seed=0, replace_ratio=0.5)
    with pytest.raises(ValueError, match=message):
        random_replacement(sequences, **right | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1.5}, r"seed must be an integer in \[0, 2\*\*64\), got 1.5"),
        ({"seed": None}, "seed must be an integer .* got None"),
        ({"step": "3"}, "step must be an integer .* got '3'"),
        ({"num_items": 50.0}, r"num_items must be an integer in \[1, 2\*\*31\), got 50.0"),
        ({"num_targets": 0.5}, "num_targets must be an integer >= 0, got 0.5"),
        ({"padding_idx": 0.0}, "padding_idx must be an integer in the range of .* got 0.0"),
        (
            {"replace_ratio": None, "num_replacements": 0.3},
            r"num_replacements must be an integer >= 0 \(replace_ratio takes a share\), got 0.3",
        ),
        ({"sequence_fraction": "x"}, r"sequence_fraction must be a number in \[0, 1\], got 'x'"),
        ({"sequence_probability": [1]}, r"sequence_probability must be a number .* got \[1\]"),
        ({"replace_ratio": "0.5"}, "replace_ratio must be a number in .* got '0.5'"),
        ({"replace_ratio": None, "replace_probability": 1j}, "replace_probability must be .* 1j"),
    ],
    ids=str,
)
def test_what_is_no_number_is_refused(options: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = dict(num_items=5, seed=0, replace_ratio=0.5)
    with pytest.raises(TypeError, match=message):
        random_replacement(torch.ones(2, 3, dtype=torch.int64), **right | options)


def test_numbers_of_numpy_are_numbers() -> None:
    sequences = padded_sequences(9, 8, num_items=50)
    options: dict[str, Any] = {
        "num_items": np.int32(50),
        "seed": np.uint64(2**64 - 1),
        "step": np.int64(3),
        "sequence_fraction": np.float32(0.5),
        "num_replacements": np.int64(2),
    }
    plain = {name: value.item() for name, value in options.items()}
    assert_same(random_replacement(sequences, **options), random_replacement(sequences, **plain))


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        (torch.ones(3, dtype=torch.int64), r"must be \[B, L\], got shape \(3,\)"),
        (torch.ones(3, 2), "int32 or int64, got torch.float32"),
    ],
)
def test_wrong_sequences_are_refused(sequences: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_replacement(sequences, num_items=5, seed=0, replace_ratio=0.5)


def test_rows_beyond_the_longest_are_refused() -> None:
    with pytest.raises(ValueError, match=f"sequences must be no longer than {2**23}, got"):
        random_replacement(
            torch.zeros(1, 2**23 + 1, dtype=torch.int32), num_items=5, seed=0, replace_ratio=0.5
        )


def test_more_rows_than_can_be_numbered_are_refused() -> None:
    rows = torch.zeros(1, 0, dtype=torch.int32).expand(2**31, 0)  # no memory
    with pytest.raises(ValueError, match=f"sequences must have at most {2**31 - 1} rows"):
        _C.random_replacement(
            rows, row_keys=None, alias_table=None, features=[], feature_tables=[], out=rows,
            replaced=rows, noise_labels=rows, features_out=[], num_items=5, padding_idx=0,
            num_targets=0, sequence_fraction=None, sequence_probability=None, num_replacements=1,
            replace_ratio=None, replace_probability=None, avoid_history=False, seed=0, step=0,
            seed_tensor=None, step_tensor=None, num_threads=1,
        )  # fmt: skip
