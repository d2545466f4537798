"""Categorical features of items: genres, categories, brands, cities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ItemFeature:
    """One feature in compressed sparse rows: an item may have any number of values.

    Item code ``i`` has the value codes ``codes[offsets[i] : offsets[i + 1]]``, in the order of the
    data. Row 0 is padding and has no value. Value codes are ``1 .. num_values``; 0 means "no
    value".

    Args:
        values: The value of each code; code ``c`` is ``values[c - 1]``.
        offsets: ``[num_items + 2]`` int64, from 0 to ``N``, never falling.
        codes: ``[N]`` int64.

    Raises:
        ValueError: if the parts do not fit together.
    """

    values: list[str]
    offsets: Tensor
    codes: Tensor

    def __post_init__(self) -> None:
        for name, tensor in (("offsets", self.offsets), ("codes", self.codes)):
            if tensor.dim() != 1 or tensor.dtype != torch.int64:
                raise ValueError(
                    f"{name} must be 1-D torch.int64, got {list(tensor.shape)} {tensor.dtype}"
                )
        ends = self.offsets.tolist()[:2] + self.offsets.tolist()[-1:]
        if len(self.offsets) < 2 or ends != [0, 0, self.codes.numel()]:
            raise ValueError(
                f"offsets must be 0, 0, ..., {self.codes.numel()} (row 0 is padding), got {ends}"
            )
        if bool((self.offsets.diff() < 0).any()):
            raise ValueError("offsets must never fall")
        if self.codes.numel():
            low, high = int(self.codes.min()), int(self.codes.max())
            if low < 1 or high > self.num_values:
                raise ValueError(f"codes must be in 1..{self.num_values}, got {low}..{high}")

    @property
    def num_items(self) -> int:
        """Size of the catalogue, without padding."""
        return self.offsets.numel() - 2

    @property
    def num_values(self) -> int:
        """Number of different values."""
        return len(self.values)

    def one(self, pick: Literal["first", "last"] = "first") -> Tensor:
        """``[num_items + 1]`` int64, the first or last value code of each item; 0 for no value."""
        starts, ends = self.offsets[:-1], self.offsets[1:]
        at = starts if pick == "first" else ends - 1
        # Items without a value point at the 0 appended here.
        padded = torch.cat([self.codes, self.codes.new_zeros(1)])
        return padded[torch.where(ends > starts, at, len(self.codes))]

    def multi_hot(self) -> Tensor:
        """``[num_items + 1, num_values + 1]`` bool: which values each item has.

        Column ``c`` is value code ``c``; column 0 ("no value") is always false.
        """
        hot = torch.zeros(
            self.num_items + 1, self.num_values + 1, dtype=torch.bool, device=self.codes.device
        )
        hot[torch.repeat_interleave(self.offsets.diff()), self.codes] = True
        return hot

    def to(self, device: torch.device | str) -> ItemFeature:
        """The same feature with its tensors on ``device``."""
        return replace(self, offsets=self.offsets.to(device), codes=self.codes.to(device))


def same_features(one: Mapping[str, ItemFeature], other: Mapping[str, ItemFeature]) -> bool:
    """Whether both have the same features, in the same order."""
    return list(one) == list(other) and all(
        mine.values == theirs.values
        and mine.offsets.cpu().equal(theirs.offsets.cpu())
        and mine.codes.cpu().equal(theirs.codes.cpu())
        for mine, theirs in zip(one.values(), other.values(), strict=True)
    )
