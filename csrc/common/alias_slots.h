// Draw an index with given weights in one step: the alias method (Walker 1977; built as in Vose,
// "A linear algorithm for generating random numbers with a given distribution", 1991).
//
// All in integers, so that every device draws the same: the weights become masses that sum to
// n * 2^32, and each of n slots is filled with exactly 2^32, from at most two indices: its own and
// its alias. A draw picks a slot, then tosses a 32-bit coin against the share of the slot's own.
// The mass of an index over all slots is its weight to the unit.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/philox.h"

namespace atjt {

constexpr uint64_t kSlotMass = uint64_t{1} << 32;

// A slot with one index only is all alias: the mass of its own, 32 bits of it, is then 0.
struct AliasSlot {
  uint32_t own_mass;
  uint32_t alias;
};

ATJT_HD uint64_t packed(const AliasSlot& slot) {
  return uint64_t{slot.own_mass} << 32 | slot.alias;
}

// Of a table that alias_table() did not make, no alias may lead out of the table either.
ATJT_HD AliasSlot slot_at(const uint64_t* table, uint32_t n, uint32_t slot) {
  const uint64_t entry = table[slot];
  const auto alias = uint32_t(entry);
  return {uint32_t(entry >> 32), alias < n ? alias : slot};
}

// An index in [0, n), drawn with its weight.
ATJT_HD uint32_t weighted_index(const uint64_t* table, uint32_t n, const Philox4<uint64_t>& word) {
  const auto index = uint32_t(bounded(word.x, word.y, n));
  const AliasSlot slot = slot_at(table, n, index);
  return uint32_t(word.z) < slot.own_mass ? index : slot.alias;
}

}  // namespace atjt
