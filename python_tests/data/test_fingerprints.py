"""Fingerprints name every part of sequences that differs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from atjt_ext.data import ItemFeature, Sequences
from atjt_ext.data.fingerprints import different_parts, fingerprints
from helpers.tiny import tiny_sequences


def data() -> Sequences:
    offsets = torch.tensor([0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2])
    brand = ItemFeature(["x", "y"], offsets, torch.tensor([1, 2]))
    return replace(
        tiny_sequences([1, 2, 3], [2, 3]),
        is_noise=torch.tensor([False, True, False, False, False]),
        weights=torch.tensor([1.0, 0.5, 1.0, 1.0, 1.0]),
        item_features={"brand": brand},
    )


def brand(**changes: Any) -> dict[str, ItemFeature]:
    return {"brand": replace(data().item_features["brand"], **changes)}


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"item_ids": list("abcdefghi")}, "catalogue"),
        ({"user_ids": ["a", "b"]}, "users"),
        ({"offsets": torch.tensor([0, 2, 5])}, "borders between users"),
        ({"items": torch.tensor([1, 2, 3, 2, 2])}, "interactions"),
        ({"is_noise": None}, "known noise"),
        ({"is_noise": torch.zeros(5, dtype=torch.bool)}, "known noise"),
        ({"weights": None}, "weights"),
        ({"weights": torch.ones(5)}, "weights"),
        ({"item_features": {}}, "items' features"),
        ({"item_features": {"colour": data().item_features["brand"]}}, "items' features"),
        ({"item_features": brand(values=["x", "z"])}, "items' features"),
        ({"item_features": brand(offsets=torch.tensor([0, 0, 0, *[2] * 8]))}, "items' features"),
        ({"item_features": brand(codes=torch.tensor([2, 2]))}, "items' features"),
    ],
)
def test_a_change_of_one_part_is_named(changes: dict[str, Any], part: str) -> None:
    assert different_parts(data(), replace(data(), **changes)) == [part]


def test_equal_data_have_equal_fingerprints_wherever_they_come_from() -> None:
    assert fingerprints(data()) == fingerprints(replace(data(), source="elsewhere"))
    assert different_parts(data(), data()) == []


def test_ids_are_not_joined() -> None:
    one = replace(tiny_sequences([1, 2]), item_ids=["a,b", "c", *"1234567"])
    assert different_parts(one, replace(one, item_ids=["a", "b,c", *"1234567"])) == ["catalogue"]
