"""Draws of catalogue items that differ from two given items."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops.keyed_draws import Purpose, uniform_integers
from ._choices import Draws

_ATTEMPTS = 8


def uniform_items(
    draws: Draws, purpose: Purpose, one: Tensor, other: Tensor, *, num_items: int
) -> Tensor:
    """``[B, L]`` int64: uniform items except ``one [B, L]`` and ``other [B, L]``. 0 in ``other``
    excludes nothing."""
    # Draw a rank among the remaining items, and skip the excluded; num_items + 1 excludes nothing.
    is_pair = (other != 0) & (other != one)
    low = torch.where(is_pair, torch.minimum(one, other), one)
    high = torch.maximum(one, other).masked_fill(~is_pair, num_items + 1)
    bound = num_items - 1 - is_pair.long()
    item = 1 + uniform_integers(draws.positions(one.shape[1], purpose), bound)
    item = item + (item >= low)
    return item + (item >= high)


def weighted_items(
    draws: Draws, purpose: Purpose, one: Tensor, other: Tensor, *, alias_table: Tensor
) -> Tensor:
    """``[B, L]`` int64: items by their weight in ``alias_table [num_items]``. ``one [B, L]`` and
    ``other [B, L]`` are drawn again; 0 if every attempt drew them."""
    rows, length = one.shape
    drawn = draws.positions(length * _ATTEMPTS, purpose).view(rows, length, _ATTEMPTS)
    slot = uniform_integers(drawn, len(alias_table))
    # The rest of the draw after the slot is uniform too: it decides between own item and alias.
    coin = drawn * len(alias_table) >> 32 & 0xFFFFFFFF
    entry = alias_table[slot]
    own_mass, alias = entry >> 32 & 0xFFFFFFFF, entry & 0xFFFFFFFF
    item = 1 + torch.where(coin < own_mass, slot, alias)
    fits = (item != one[..., None]) & (item != other[..., None])
    first = fits.to(torch.uint8).argmax(dim=2, keepdim=True)
    return item.masked_fill(~fits, 0).gather(2, first).squeeze(2)
