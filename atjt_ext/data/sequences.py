"""Users' item sequences in compressed sparse rows (CSR): a flat tensor of items and its offsets.

A padded ``[users, 50]`` grid of the usual data sets would be padding to 86-90 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .errors import DataError, at, listed, require_at_least, shown
from .features import ItemFeature


@dataclass(frozen=True, eq=False)
class Sequences:
    """Every user's items in time order, and the ids that users and items had in the data.

    User ``u`` (a code, ``0 .. num_users - 1``) owns ``items[offsets[u] : offsets[u + 1]]``. Item
    codes are ``1 .. num_items``; 0 is padding.

    Args:
        offsets: ``[num_users + 1]`` int64, from 0 to ``N``, never falling.
        items: ``[N]`` int64 item codes.
        user_ids: The id of user code ``u`` is ``user_ids[u]``.
        item_ids: The id of item code ``c`` is ``item_ids[c - 1]``.
        is_noise: ``[N]`` bool, true for planted noise; ``None`` if the truth is unknown.
        source: Where the data came from, for messages.
        item_features: Categorical features of the catalogue by name, a row per item code.
        weights: ``[N]`` float32 in ``[0, 1]``, P(clean) of each interaction, for training with
            ``weighting="given"``; ``None`` if there are no such weights.

    Raises:
        ValueError: if the parts do not fit together.
        TypeError: on a wrong dtype.
    """

    offsets: Tensor
    items: Tensor
    user_ids: list[str]
    item_ids: list[str]
    is_noise: Tensor | None = None
    source: str | None = None
    item_features: Mapping[str, ItemFeature] = field(default_factory=dict)
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        tensors = {"offsets": self.offsets, **self._columns}
        for name, tensor in tensors.items():
            if not isinstance(tensor, Tensor):
                raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
            dtype = {"is_noise": torch.bool, "weights": torch.float32}.get(name, torch.int64)
            if tensor.dtype != dtype:
                raise TypeError(f"{name} must be {dtype}, got {tensor.dtype}")
        if self.items.dim() != 1:
            raise ValueError(f"items must be [N], got {list(self.items.shape)}")
        for name, tensor in tensors.items():
            wanted = (self.num_users + 1,) if name == "offsets" else self.items.shape
            if tensor.shape != wanted:
                raise ValueError(f"{name} must be {list(wanted)}, got {list(tensor.shape)}")
        if int(self.offsets[0]) != 0 or int(self.offsets[-1]) != self.items.numel():
            raise ValueError(
                f"offsets must run from 0 to the {self.items.numel()} items, "
                f"got {int(self.offsets[0])} to {int(self.offsets[-1])}"
            )
        if bool((self.lengths < 0).any()):
            raise ValueError("offsets must never fall")
        if self.items.numel():
            low, high = int(self.items.min()), int(self.items.max())
            if low < 1 or high > self.num_items:
                raise ValueError(f"items must be in 1..{self.num_items}, got {low}..{high}")
        if self.weights is not None and not bool(((self.weights >= 0) & (self.weights <= 1)).all()):
            raise ValueError("weights must be in [0, 1]")
        for name, feature in self.item_features.items():
            if feature.num_items != self.num_items:
                raise ValueError(
                    f"item_features[{name!r}] must have {self.num_items} items, "
                    f"got {feature.num_items}"
                )

    @property
    def _columns(self) -> dict[str, Any]:
        """The tensors ``[N]``, without those that are None."""
        optional = {"is_noise": self.is_noise, "weights": self.weights}
        given = {name: tensor for name, tensor in optional.items() if tensor is not None}
        return {"items": self.items, **given}

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Size of the catalogue, without padding."""
        return len(self.item_ids)

    @property
    def num_interactions(self) -> int:
        return self.items.numel()

    @property
    def lengths(self) -> Tensor:
        """``[num_users]`` int64, the number of items of each user."""
        return self.offsets.diff()

    @property
    def owners(self) -> Tensor:
        """``[N]`` int64, the user code of each interaction."""
        return torch.repeat_interleave(self.lengths)

    @property
    def positions(self) -> Tensor:
        """``[N]`` int64, where each interaction stands in its user's sequence, from 0."""
        numbers = torch.arange(self.num_interactions, device=self.device)
        return numbers - self.offsets[self.owners]

    @property
    def from_the_end(self) -> Tensor:
        """``[N]`` int64, where each interaction stands from the end; 1 for a user's last item."""
        numbers = torch.arange(self.num_interactions, device=self.device)
        return torch.repeat_interleave(self.offsets[1:], self.lengths) - numbers

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.items.device

    def items_of(self, user: int) -> Tensor:
        """``[n]`` int64, the items of user code ``user`` in time order (a view).

        Raises:
            IndexError: if there is no such user code.
        """
        if not 0 <= user < self.num_users:
            raise IndexError(f"user must be in 0..{self.num_users - 1}, got {user}")
        start, end = self.offsets[user : user + 2].tolist()
        return self.items[start:end]

    def user_index(self, user_id: str) -> int:
        """The code of a user.

        Raises:
            DataError: if there is no such user; names some users.
            TypeError: if ``user_id`` is no string.
        """
        return _lookup(self._user_codes, user_id, "user", self.source)

    def encode_items(self, item_ids: Sequence[str]) -> Tensor:
        """``[n]`` int64, the codes of item ids, on the CPU.

        Raises:
            DataError: on the first id that is not in the catalogue; names some items.
            TypeError: on an id that is no string.
        """
        codes = [_lookup(self._item_codes, item_id, "item", self.source) for item_id in item_ids]
        return torch.tensor(codes, dtype=torch.int64)

    def decode_items(self, codes: Tensor | Sequence[int]) -> list[str]:
        """The ids of ``[n]`` item codes.

        Raises:
            ValueError: on a code outside ``1 .. num_items``, such as padding.
        """
        numbers = codes.tolist() if isinstance(codes, Tensor) else list(codes)
        for code in numbers:
            if not 1 <= code <= self.num_items:
                raise ValueError(f"item codes must be in 1..{self.num_items}, got {code}")
        return [self.item_ids[code - 1] for code in numbers]

    def require_ids(self, other: Sequences, name: str, use: str) -> None:
        """Raises ValueError unless ``other`` has the same users and items in the same order.

        In the message, ``name`` is ``other``, and ``use`` says what ``self`` is for ("trained on").
        """
        for kind, own, others in (
            ("users", self.user_ids, other.user_ids),
            ("items", self.item_ids, other.item_ids),
        ):
            if others is not own and others != own:
                raise ValueError(
                    f"{name} must have the {len(own)} {kind} {use}, in their order; "
                    f"got {len(others)}, not the same"
                )

    def recoded(self, user_ids: list[str], item_ids: list[str]) -> Sequences:
        """The same interactions with users and items in the order of these ids; no item features.

        Raises:
            ValueError: if they are not the ids of these sequences.
        """
        for kind, own, wanted in (
            ("user", self.user_ids, user_ids),
            ("item", self.item_ids, item_ids),
        ):
            if sorted(own) != sorted(wanted):
                raise ValueError(f"{kind}_ids must be the {len(own)} {kind} ids in another order")
        codes = [self._user_codes[user_id] for user_id in user_ids]
        users = torch.tensor(codes, dtype=torch.int64, device=self.device)
        rows = torch.argsort(torch.argsort(users)[self.owners], stable=True)
        kept = self._keep(rows, self.lengths[users])
        code = {item_id: number for number, item_id in enumerate(item_ids, start=1)}
        new = torch.tensor([0, *(code[item_id] for item_id in self.item_ids)], device=self.device)
        items = new[kept.items]
        return replace(kept, items=items, user_ids=user_ids, item_ids=item_ids, item_features={})

    def without_last(self, count: int) -> Sequences:
        """The same users without their last ``count`` items; shorter users are left empty."""
        require_at_least(0, count=count)
        return self.where(self.from_the_end > count)

    def only_last(self, count: int) -> Sequences:
        """The same users with at most their last ``count`` items; the catalogue stays whole."""
        require_at_least(0, count=count)
        return self.where(self.from_the_end <= count)

    def where(self, keep: Tensor) -> Sequences:
        """The same users with only the interactions ``keep`` (``[N]`` bool); users may be empty."""
        if keep.shape != self.items.shape or keep.dtype != torch.bool:
            raise ValueError(
                f"keep must be {list(self.items.shape)} torch.bool, "
                f"got {list(keep.shape)} {keep.dtype}"
            )
        until = torch.cat([self.offsets.new_zeros(1), keep.long().cumsum(0)])
        return self._keep(keep, until[self.offsets].diff())

    def _keep(self, keep: Tensor, lengths: Tensor) -> Sequences:
        """The interactions ``keep`` (a mask or indices); each user has ``lengths`` of them."""
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        columns = {name: tensor[keep] for name, tensor in self._columns.items()}
        return replace(self, offsets=offsets, **columns)

    def to(self, device: torch.device | str) -> Sequences:
        """The same sequences with their tensors on ``device``."""
        columns = {name: tensor.to(device) for name, tensor in self._columns.items()}
        features = {name: feature.to(device) for name, feature in self.item_features.items()}
        return replace(self, offsets=self.offsets.to(device), item_features=features, **columns)

    @cached_property
    def _user_codes(self) -> dict[str, int]:
        return {user_id: code for code, user_id in enumerate(self.user_ids)}

    @cached_property
    def _item_codes(self) -> dict[str, int]:
        return {item_id: code for code, item_id in enumerate(self.item_ids, start=1)}


def _lookup(codes: dict[str, int], key: str, kind: str, source: str | None) -> int:
    # Ids are text even where they look like numbers: the integer 42 would never be found.
    if not isinstance(key, str):
        raise TypeError(f"{kind} ids are strings, got {type(key).__name__} {shown(key)}")
    if key not in codes:
        raise DataError(f"{at(source)}no {kind} {shown(key)}; known are {listed(codes, limit=5)}")
    return codes[key]


def per_user(sequences: Sequences, values: Tensor) -> Tensor:
    """``[num_users]`` float32 on the CPU: the mean of ``values`` (``[N]``, on the CPU) by user.

    NaN for users without interactions or with a NaN.
    """
    total = torch.zeros(sequences.num_users, dtype=torch.float64)
    total.index_add_(0, sequences.owners.cpu(), values.double())
    return (total / sequences.lengths.cpu()).float()


def noisy_users(sequences: Sequences) -> Tensor:
    """``[num_users]`` bool on the CPU: the users with at least one noisy interaction.

    Raises:
        ValueError: if ``sequences.is_noise`` is None.
    """
    if sequences.is_noise is None:
        raise ValueError("sequences must have is_noise, got None")
    return per_user(sequences, sequences.is_noise.cpu().float()) > 0
