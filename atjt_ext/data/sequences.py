"""Users' item sequences in compressed sparse rows (CSR): a flat tensor of items and its offsets.

Stored sequences have no padding: 86-90 % of a padded ``[users, 50]`` grid of the usual data sets
would be padding. ``batches.py`` gathers padded batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

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
        user_ids: The id of each user code.
        item_ids: The id of each item; item code ``c`` is ``item_ids[c - 1]``.
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
        _check_dtype("offsets", self.offsets, torch.int64)
        _check_dtype("items", self.items, torch.int64)
        wanted = (len(self.user_ids) + 1,)
        if self.offsets.shape != wanted:
            raise ValueError(f"offsets must be {list(wanted)}, got {list(self.offsets.shape)}")
        if self.items.dim() != 1:
            raise ValueError(f"items must be [N], got {list(self.items.shape)}")
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
        for name, per_item, dtype in (
            ("is_noise", self.is_noise, torch.bool),
            ("weights", self.weights, torch.float32),
        ):
            if per_item is not None:
                _check_dtype(name, per_item, dtype)
                if per_item.shape != self.items.shape:
                    raise ValueError(
                        f"{name} must be {list(self.items.shape)}, got {list(per_item.shape)}"
                    )
        if self.weights is not None and not bool(((self.weights >= 0) & (self.weights <= 1)).all()):
            raise ValueError("weights must be in [0, 1]")
        for name, feature in self.item_features.items():
            if feature.num_items != self.num_items:
                raise ValueError(
                    f"item_features[{name!r}] must know {self.num_items} items, "
                    f"got {feature.num_items}"
                )

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
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def owners(self) -> Tensor:
        """``[N]`` int64, the user code of each interaction."""
        return torch.repeat_interleave(self.lengths)

    @property
    def positions(self) -> Tensor:
        """``[N]`` int64, where each interaction stands in its user's sequence, from 0."""
        return self._numbers - self.offsets[self.owners]

    @property
    def from_the_end(self) -> Tensor:
        """``[N]`` int64, where each interaction stands from the end; 1 for a user's last item."""
        return torch.repeat_interleave(self.offsets[1:], self.lengths) - self._numbers

    @property
    def _numbers(self) -> Tensor:
        return torch.arange(self.num_interactions, device=self.device)

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
        """The code of the user that the data call ``user_id``.

        Raises:
            DataError: if there is no such user; names some users.
            TypeError: if ``user_id`` is no string.
        """
        return _lookup(self._user_codes, user_id, "user", self.user_ids, self.source)

    def encode_items(self, item_ids: Sequence[str]) -> Tensor:
        """``[n]`` int64, the codes of item ids, on the CPU.

        Raises:
            DataError: on the first id that is not in the catalogue; names some items.
            TypeError: on an id that is no string.
        """
        codes = [
            _lookup(self._item_codes, item_id, "item", self.item_ids, self.source)
            for item_id in item_ids
        ]
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

        Args:
            other: The sequences to check.
            name: What the message calls ``other``.
            use: What was done with ``self``, such as "trained on".
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
        """The same interactions with users and items in the order of these ids.

        The result has no item features.

        Raises:
            ValueError: if they are not the ids of these sequences.
        """
        for kind, own, wanted in (
            ("user", self.user_ids, user_ids),
            ("item", self.item_ids, item_ids),
        ):
            if sorted(own) != sorted(wanted):
                raise ValueError(f"{kind}_ids must be the {len(own)} {kind} ids in another order")
        users = torch.tensor([self._user_codes[user_id] for user_id in user_ids])
        users = users.to(self.device)
        code = {item_id: number for number, item_id in enumerate(item_ids, start=1)}
        codes = torch.tensor([0, *(code[item_id] for item_id in self.item_ids)])
        lengths = self.lengths[users]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        rows = torch.repeat_interleave(self.offsets[users] - offsets[:-1], lengths)
        rows = rows + torch.arange(rows.numel(), device=self.device)
        kept = self._keep(rows, lengths)
        return replace(
            kept,
            items=codes.to(self.device)[kept.items],
            user_ids=user_ids,
            item_ids=item_ids,
            item_features={},
        )

    def without_last(self, count: int) -> Sequences:
        """The same users without their last ``count`` items; shorter users are left empty."""
        require_at_least(0, count=count)
        return self._keep(self.from_the_end > count, (self.lengths - count).clamp(min=0))

    def only_last(self, count: int) -> Sequences:
        """The same users with at most their last ``count`` items; the catalogue stays whole."""
        require_at_least(0, count=count)
        return self._keep(self.from_the_end <= count, self.lengths.clamp(max=count))

    def where(self, keep: Tensor) -> Sequences:
        """The same users with only the interactions ``keep`` (``[N]`` bool).

        A user may be left without any.
        """
        if keep.shape != self.items.shape or keep.dtype != torch.bool:
            raise ValueError(
                f"keep must be {list(self.items.shape)} torch.bool, "
                f"got {list(keep.shape)} {keep.dtype}"
            )
        until = torch.cat([self.offsets.new_zeros(1), keep.long().cumsum(0)])
        return self._keep(keep, until[self.offsets[1:]] - until[self.offsets[:-1]])

    def _keep(self, keep: Tensor, lengths: Tensor) -> Sequences:
        """The interactions ``keep`` (a mask or indices); each user has ``lengths`` of them."""
        return replace(
            self,
            offsets=torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]),
            items=self.items[keep],
            is_noise=None if self.is_noise is None else self.is_noise[keep],
            weights=None if self.weights is None else self.weights[keep],
        )

    def to(self, device: torch.device | str) -> Sequences:
        """The same sequences with their tensors on ``device``."""
        return replace(
            self,
            offsets=self.offsets.to(device),
            items=self.items.to(device),
            is_noise=None if self.is_noise is None else self.is_noise.to(device),
            item_features={name: f.to(device) for name, f in self.item_features.items()},
            weights=None if self.weights is None else self.weights.to(device),
        )

    @cached_property
    def _user_codes(self) -> dict[str, int]:
        return {user_id: code for code, user_id in enumerate(self.user_ids)}

    @cached_property
    def _item_codes(self) -> dict[str, int]:
        return {item_id: code for code, item_id in enumerate(self.item_ids, start=1)}


def _lookup(
    codes: dict[str, int], key: str, kind: str, known: list[str], source: str | None
) -> int:
    # Ids are text even where they look like numbers: the integer 42 would never be found.
    if not isinstance(key, str):
        raise TypeError(f"{kind} ids are strings, got {type(key).__name__} {shown(key)}")
    if key not in codes:
        raise DataError(f"{at(source)}no {kind} {shown(key)}; known are {listed(known, limit=5)}")
    return codes[key]


def _check_dtype(name: str, tensor: Tensor, wanted: torch.dtype) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
    if tensor.dtype != wanted:
        raise TypeError(f"{name} must be {wanted}, got {tensor.dtype}")


def per_user(sequences: Sequences, values: Tensor) -> Tensor:
    """The mean of ``values`` (``[N]``, on the CPU) over each user's interactions.

    Returns:
        ``[num_users]`` float32 on the CPU; NaN for users without interactions or with a NaN.
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
        raise ValueError("sequences must know their noise (is_noise), got None")
    return per_user(sequences, sequences.is_noise.cpu().float()) > 0
