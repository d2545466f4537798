"""Sequences, options and a comparison for the tests of random_replacement."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from atjt_ext.ops import RandomReplacementOutput, alias_table


def padded_sequences(rows: int, length: int, num_items: int, seed: int = 0) -> Tensor:
    """Left-padded rows of every length from 0 to `length`."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, num_items + 1, (rows, length), generator=generator)
    lengths = torch.randint(0, length + 1, (rows, 1), generator=generator)
    return torch.where(torch.arange(length) >= length - lengths, items, 0)


def skewed_table(num_items: int) -> Tensor:
    """An alias table with popular and rare items, and weight 0 for every seventh."""
    weights = 1 / torch.arange(1, num_items + 1, dtype=torch.float64)
    weights[6::7] = 0
    return alias_table(weights)


def flat(output: RandomReplacementOutput | tuple[Any, ...]) -> list[Tensor]:
    sequences, replaced, noise_labels, features = output
    return [sequences, replaced, noise_labels, *features]


def assert_same(
    got: RandomReplacementOutput | tuple[Any, ...],
    wanted: RandomReplacementOutput | tuple[Any, ...],
) -> None:
    names = [*RandomReplacementOutput._fields[:3], *(f"features[{i}]" for i in range(len(got[3])))]
    for name, a, b in zip(names, flat(got), flat(wanted), strict=True):
        assert a.dtype == b.dtype, name
        assert torch.equal(a.cpu(), b.cpu()), name


def to(device: torch.device, options: dict[str, Any]) -> dict[str, Any]:
    """The options with their tensors on the device."""

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        return [move(tensor) for tensor in value] if isinstance(value, list) else value

    return {name: move(value) for name, value in options.items()}


ROWS = [{}, {"sequence_fraction": 0.6}, {"sequence_probability": 0.6}]
POSITIONS = [{"num_replacements": 3}, {"replace_ratio": 0.4}, {"replace_probability": 0.4}]
ITEMS = [{}, {"alias_table": "skewed"}, {"avoid_history": True}]
ITEMS += [{"alias_table": "skewed", "avoid_history": True}]
TARGETS = [{}, {"num_targets": 1}]


def every_combination() -> Iterator[dict[str, Any]]:
    """Each choice of rows with each of positions, items and targets."""
    for parts in itertools.product(ROWS, POSITIONS, ITEMS, TARGETS):
        yield {name: value for part in parts for name, value in part.items()}


def complete(options: dict[str, Any], num_items: int) -> dict[str, Any]:
    """The options as the op takes them."""
    if "alias_table" in options:
        options = options | {"alias_table": skewed_table(num_items)}
    return {"num_items": num_items, "seed": 11, "step": 4} | options


def side_features(
    sequences: Tensor, num_items: int, dtypes: tuple[torch.dtype, ...]
) -> dict[str, list[Tensor]]:
    """A column per dtype that agrees with its table at every item and at padding."""
    tables = [(torch.arange(num_items + 1) * (7 + i)).to(d) for i, d in enumerate(dtypes)]
    return {"features": [table[sequences] for table in tables], "feature_tables": tables}
