"""Users' item sequences in compressed sparse rows (CSR): a flat tensor of items and its offsets.

Nothing is padded at rest: 86-90 % of a padded ``[users, 50]`` grid of the usual data sets would be
padding. Batches are gathered from here (``batches.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from .errors import DataError, listed, shown
from .features import ItemFeature


@dataclass(frozen=True, eq=False)
class Sequences:
    """Every user's items in time order, and the ids that users and items had in the data.

    User ``u`` (a code, ``0 .. num_users - 1``) owns ``items[offsets[u] : offsets[u + 1]]``. Item
    codes are ``1 .. num_items``; 0 is left free for padding.

    Args:
        offsets: ``[num_users + 1]`` int64, from 0 to ``N``, never falling.
        items: ``[N]`` int64 item codes.
        user_ids: The id of each user code.
        item_ids: The id of each item; item code ``c`` is ``item_ids[c - 1]``.
        is_noise: ``[N]`` bool, true where noise was planted; ``None`` where the truth is unknown.
        source: Where the data came from, for messages.
        item_features: Categorical features of the catalogue by name, a row per item code.
        weights: ``[N]`` float32 in ``[0, 1]``, how clean each interaction is believed to be, for
            training with ``weighting="given"``; ``None`` where nothing is believed.

    Raises:
        ValueError: where the parts do not fit together.
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
        if self.is_noise is not None:
            _check_dtype("is_noise", self.is_noise, torch.bool)
            if self.is_noise.shape != self.items.shape:
                raise ValueError(
                    f"is_noise must be {list(self.items.shape)}, got {list(self.is_noise.shape)}"
                )
        for name, feature in self.item_features.items():
            if feature.num_items != self.num_items:
                raise ValueError(
                    f"item_features[{name!r}] must know {self.num_items} items, "
                    f"got {feature.num_items}"
                )
        if self.weights is not None:
            _check_dtype("weights", self.weights, torch.float32)
            if self.weights.shape != self.items.shape:
                raise ValueError(
                    f"weights must be {list(self.items.shape)}, got {list(self.weights.shape)}"
                )
            if not bool(((self.weights >= 0) & (self.weights <= 1)).all()):
                raise ValueError("weights must be in [0, 1]")

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Size of the catalogue, padding not counted."""
        return len(self.item_ids)

    @property
    def num_interactions(self) -> int:
        return self.items.numel()

    @property
    def lengths(self) -> Tensor:
        """``[num_users]`` int64, the number of items of each user."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def device(self) -> torch.device:
        return self.items.device

    def items_of(self, user: int) -> Tensor:
        """``[n]`` int64, the items of user code ``user`` in time order (a view)."""
        if not 0 <= user < self.num_users:
            raise IndexError(f"user must be in 0..{self.num_users - 1}, got {user}")
        start, end = self.offsets[user : user + 2].tolist()
        return self.items[start:end]

    def user_index(self, user_id: str) -> int:
        """The code of a user id as it stands in the data.

        Raises:
            DataError: if there is no such user; names some that exist.
        """
        return _lookup(self._user_codes, user_id, "user", self.user_ids, self.source)

    def encode_items(self, item_ids: Sequence[str]) -> Tensor:
        """``[n]`` int64, the codes of item ids, on the CPU.

        Raises:
            DataError: on the first id that is not in the catalogue; names some that are.
        """
        codes = [
            _lookup(self._item_codes, item_id, "item", self.item_ids, self.source)
            for item_id in item_ids
        ]
        return torch.tensor(codes, dtype=torch.int64)

    def decode_items(self, codes: Tensor | Sequence[int]) -> list[str]:
        """The ids of ``[n]`` item codes; padding has none and is refused.

        Raises:
            ValueError: on a code outside ``1 .. num_items``.
        """
        numbers = codes.tolist() if isinstance(codes, Tensor) else list(codes)
        for code in numbers:
            if not 1 <= code <= self.num_items:
                raise ValueError(f"item codes must be in 1..{self.num_items}, got {code}")
        return [self.item_ids[code - 1] for code in numbers]

    def require_ids(self, other: Sequences, name: str, use: str) -> None:
        """Raises ValueError unless ``other`` has these users and items, in their order.

        Args:
            other: what is to fit.
            name: what ``other`` is called in the message.
            use: what was done with these, as "trained on".
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
        """The same interactions with users and items in the order of these ids; features are left
        out.

        Raises:
            ValueError: they are not the ids of these sequences.
        """
        for kind, own, wanted in (
            ("user", self.user_ids, user_ids),
            ("item", self.item_ids, item_ids),
        ):
            if sorted(own) != sorted(wanted):
                raise ValueError(f"{kind}_ids must be the {len(own)} that there are, reordered")
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
        """The same users without their last ``count`` items (nothing is left of shorter ones)."""
        if count < 0:
            raise ValueError(f"count must be at least 0, got {count}")
        return self._keep(self.from_the_end > count, (self.lengths - count).clamp(min=0))

    def only_last(self, count: int) -> Sequences:
        """The same users with at most their last ``count`` items; the catalogue stays whole."""
        if count < 0:
            raise ValueError(f"count must be at least 0, got {count}")
        return self._keep(self.from_the_end <= count, self.lengths.clamp(max=count))

    @property
    def from_the_end(self) -> Tensor:
        """``[N]`` int64, 1 for each user's last item."""
        ends = torch.repeat_interleave(self.offsets[1:], self.lengths)
        return ends - torch.arange(self.items.numel(), device=self.device)

    def where(self, keep: Tensor) -> Sequences:
        """The same users with only the interactions of ``keep`` (``[N]`` bool); none may be left of
        some."""
        if keep.shape != self.items.shape or keep.dtype != torch.bool:
            raise ValueError(
                f"keep must be {list(self.items.shape)} torch.bool, "
                f"got {list(keep.shape)} {keep.dtype}"
            )
        until = torch.cat([self.offsets.new_zeros(1), keep.long().cumsum(0)])
        return self._keep(keep, until[self.offsets[1:]] - until[self.offsets[:-1]])

    def _keep(self, keep: Tensor, lengths: Tensor) -> Sequences:
        """Interactions by mask or by index, of which each user has ``lengths``."""
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
    # Ids are text, also when they look like numbers: 42 would otherwise be a silent miss.
    if not isinstance(key, str):
        raise TypeError(f"{kind} ids are strings, got {type(key).__name__} {shown(key)}")
    if key not in codes:
        place = f"{source}: " if source else ""
        raise DataError(f"{place}no {kind} {shown(key)}; known are {listed(known, limit=5)}")
    return codes[key]


def _check_dtype(name: str, tensor: Tensor, wanted: torch.dtype) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
    if tensor.dtype != wanted:
        raise TypeError(f"{name} must be {wanted}, got {tensor.dtype}")


def per_user(sequences: Sequences, values: Tensor) -> Tensor:
    """Mean of ``values [N]`` over each user's interactions: ``[num_users]``; NaN stays NaN."""
    lengths = sequences.lengths.cpu()
    owner = torch.repeat_interleave(lengths)
    total = torch.zeros(sequences.num_users, dtype=torch.float64).index_add(
        0, owner, values.double()
    )
    return (total / lengths).float()


def noisy_users(sequences: Sequences) -> Tensor:
    """``[num_users]`` bool: users with any noisy interaction.

    Raises:
        ValueError: the truth is unknown.
    """
    if sequences.is_noise is None:
        raise ValueError("sequences must know their noise (is_noise), got None")
    return per_user(sequences, sequences.is_noise.cpu().float()) > 0
