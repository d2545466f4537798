// Draws exactly from the items that are not excluded, for rows in which most items are excluded, so
// that repeated attempts seldom succeed.
//
// Both functions take the draw as two words and return 0 if no item remains.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/alias_slots.h"
#include "common/integers.h"
#include "common/philox.h"

namespace atjt {

// A remaining item of 1..num_items, all equally likely. `next_excluded(item)` returns the smallest
// excluded item above `item`, or a number above num_items; so no sorted list is needed.
template <class NextExcluded>
ATJT_HD uint32_t uniform_remaining_item(const Philox4<uint64_t>& word, uint32_t num_items,
                                        const NextExcluded& next_excluded) {
  uint32_t remaining = num_items;
  for (uint32_t item = next_excluded(0); item <= num_items; item = next_excluded(item)) --remaining;
  if (remaining == 0) return 0;
  uint32_t item = 1 + uint32_t(bounded(word.x, word.y, remaining));  // as if none were excluded
  for (uint32_t taken = next_excluded(0); taken <= item; taken = next_excluded(taken)) ++item;
  return item;
}

// A remaining item by its mass in the alias table. The draw, scaled to the remaining mass, is the
// mass that lies before the item, slot by slot, own index before alias.
template <class IsExcluded>
ATJT_HD uint32_t weighted_remaining_item(const Philox4<uint64_t>& word, const uint64_t* table,
                                         uint32_t num_items, const IsExcluded& is_excluded) {
  const auto remaining_mass = [&](uint64_t mass, uint32_t item) {
    return mass == 0 || is_excluded(item) ? uint64_t{0} : mass;
  };
  uint64_t total = 0;  // <= 2^63
  for (uint32_t i = 0; i < num_items; ++i) {
    const AliasSlot slot = slot_at(table, num_items, i);
    total += remaining_mass(slot.own_mass, 1 + i);
    total += remaining_mass(kSlotMass - slot.own_mass, 1 + slot.alias);
  }
  if (total == 0) return 0;
  uint64_t before = multiply_high(word.y << 32 | uint32_t(word.x), total);
  for (uint32_t i = 0;; ++i) {
    const AliasSlot slot = slot_at(table, num_items, i);
    const uint64_t own = remaining_mass(slot.own_mass, 1 + i);
    if (before < own) return 1 + i;
    before -= own;
    const uint64_t other = remaining_mass(kSlotMass - slot.own_mass, 1 + slot.alias);
    if (before < other) return 1 + slot.alias;
    before -= other;
  }
}

}  // namespace atjt
