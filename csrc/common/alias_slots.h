// Draw an index with given weights in one step: the alias method (Walker 1977; built as in Vose,
// "A linear algorithm for generating random numbers with a given distribution", 1991).
//
// Integers only, so that every device draws the same. The weights become masses; their sum is
// n * 2^32. Each of the n slots holds exactly 2^32, from at most two indices: its own index and its
// alias. A draw picks a slot and compares 32 random bits with the mass of the slot's own index.
// Over all slots, the mass of an index is exactly its weight.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "common/philox.h"

namespace atjt {

constexpr uint64_t kSlotMass = uint64_t{1} << 32;

// A slot with one index is all alias: its own mass, 2^32, would not fit 32 bits.
struct AliasSlot {
  uint32_t own_mass;
  uint32_t alias;
};

ATJT_HD uint64_t packed(const AliasSlot& slot) {
  return uint64_t{slot.own_mass} << 32 | slot.alias;
}

// Keeps the alias inside of the table even if alias_table() did not make the table.
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
