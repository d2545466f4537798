// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cpu/isa.h"
#include "random_replacement.h"

namespace atjt::cpu {

constexpr int64_t kNoRow = -1;

// 32-bit words of scratch one thread needs for rows of this length: keys, then positions.
constexpr int64_t replacement_scratch(int64_t length) { return 2 * (length + 64); }

// Rows [begin, end). `chosen` [rows] says where to replace. Returns the first row that holds an id
// which is neither padding nor an item, or kNoRow; the rows behind it are then left unwritten.
template <Isa isa>
struct RandomReplacementRows {
  static int64_t run(const RandomReplacementParams<int32_t>& params, const bool* chosen,
                     int64_t begin, int64_t end, uint32_t* scratch) noexcept;
  static int64_t run(const RandomReplacementParams<int64_t>& params, const bool* chosen,
                     int64_t begin, int64_t end, uint32_t* scratch) noexcept;
};

}  // namespace atjt::cpu
